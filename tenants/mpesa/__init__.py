"""The door to Safaricom's M-Pesa: each tenant's accounts, their access tokens, and every call to Daraja.

Promises: a tenant's credentials are sealed and never shown again; one token per app, shared by all processes; whatever
Daraja says, or does not say, is a value and never an exception.
"""

from tenants.mpesa import classify, credential, daraja, initiator, ratiba, services
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
from tenants.mpesa.events import (
    InitiatorFaultFound,
    InitiatorPasswordAges,
    InitiatorSet,
    MpesaAccountAdded,
    MpesaFaultFound,
    ResultArrived,
    StatusAnswered,
)
from tenants.mpesa.exchange import (
    Answered,
    Outgoing,
    answer_to,
    ask_balance,
    ask_status,
    begin,
    comes_from_daraja,
    latest_balance,
    read_result,
    receive_result,
    record_answer,
    requests_about,
    send_balance,
    send_status,
)
from tenants.mpesa.hooks import hook_url, register_hooks
from tenants.mpesa.initiators import PASSWORD_DAYS, age, initiator_of, set_initiator, watch_passwords
from tenants.mpesa.models import MpesaAccount, MpesaBalance, MpesaInitiator, MpesaRequest, MpesaResult
from tenants.mpesa.refusals import InitiatorFrozen, InitiatorNotReady, NotReady

__all__ = [
    "PASSWORD_DAYS",
    "Answered",
    "InitiatorFaultFound",
    "InitiatorFrozen",
    "InitiatorNotReady",
    "InitiatorPasswordAges",
    "InitiatorSet",
    "MpesaAccount",
    "MpesaAccountAdded",
    "MpesaBalance",
    "MpesaFaultFound",
    "MpesaInitiator",
    "MpesaRequest",
    "MpesaResult",
    "NotReady",
    "Outgoing",
    "ResultArrived",
    "StatusAnswered",
    "active_account",
    "add_account",
    "age",
    "answer_to",
    "ask_balance",
    "ask_status",
    "begin",
    "call",
    "classify",
    "comes_from_daraja",
    "credential",
    "daraja",
    "find_account",
    "hook_url",
    "initiator",
    "initiator_of",
    "latest_balance",
    "list_accounts",
    "note_fault",
    "note_works",
    "open_app",
    "ratiba",
    "read_result",
    "receive_result",
    "record_answer",
    "register_hooks",
    "requests_about",
    "send_balance",
    "send_status",
    "services",
    "set_initiator",
    "watch_passwords",
]
