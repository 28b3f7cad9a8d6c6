"""The door to Safaricom's M-Pesa: each tenant's accounts, their access tokens, and every call to Daraja.

Promises: a tenant's credentials are sealed and never shown again; one token per app, shared by all processes; whatever
Daraja says, or does not say, is a value and never an exception.
"""

from tenants.mpesa import changes, classify, daraja, setup
from tenants.mpesa.accounts import (
    active_account,
    add_account,
    call,
    down_for,
    find_account,
    get_account,
    list_accounts,
    list_drafts,
    note_fault,
    note_works,
    open_app,
    same_numbers,
)
from tenants.mpesa.events import MpesaAccountAdded, MpesaChangeTold, MpesaFaultFound, MpesaFellSilent
from tenants.mpesa.hooks import ask_to_register, hook_url, register_hooks
from tenants.mpesa.models import MpesaAccount, MpesaChange, MpesaCheck
from tenants.mpesa.refusals import NotReady

__all__ = [
    "MpesaAccount",
    "MpesaAccountAdded",
    "MpesaChange",
    "MpesaChangeTold",
    "MpesaCheck",
    "MpesaFaultFound",
    "MpesaFellSilent",
    "NotReady",
    "active_account",
    "add_account",
    "ask_to_register",
    "call",
    "changes",
    "classify",
    "daraja",
    "down_for",
    "find_account",
    "get_account",
    "hook_url",
    "list_accounts",
    "list_drafts",
    "note_fault",
    "note_works",
    "open_app",
    "register_hooks",
    "same_numbers",
    "setup",
]
