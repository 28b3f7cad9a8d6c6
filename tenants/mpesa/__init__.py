"""The door to Safaricom's M-Pesa: each tenant's accounts, their access tokens, and every call to Daraja.

Promises: a tenant's credentials are sealed and never shown again; one token per app, shared by all processes; whatever
Daraja says, or does not say, is a value and never an exception.
"""

from tenants.mpesa import classify, daraja
from tenants.mpesa.accounts import (
    active_account,
    add_account,
    call,
    find_account,
    list_accounts,
    note_fault,
    note_works,
    open_app,
)
from tenants.mpesa.events import MpesaAccountAdded, MpesaFaultFound
from tenants.mpesa.hooks import hook_url, register_hooks
from tenants.mpesa.models import MpesaAccount
from tenants.mpesa.refusals import NotReady

__all__ = [
    "MpesaAccount",
    "MpesaAccountAdded",
    "MpesaFaultFound",
    "NotReady",
    "active_account",
    "add_account",
    "call",
    "classify",
    "daraja",
    "find_account",
    "hook_url",
    "list_accounts",
    "note_fault",
    "note_works",
    "open_app",
    "register_hooks",
]
