"""The door to Safaricom's M-Pesa: each tenant's accounts, their access tokens, and every call to Daraja.

Promises: a tenant's credentials are sealed and never shown again; one token per app, shared by all processes; whatever
Daraja says, or does not say, is a value and never an exception.
"""

from tenants.mpesa import changes, classify, credential, daraja, initiator, ratiba, services, setup
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
from tenants.mpesa.events import (
    InitiatorFaultFound,
    InitiatorPasswordAges,
    InitiatorSet,
    MpesaAccountAdded,
    MpesaChangeTold,
    MpesaFaultFound,
    MpesaFellSilent,
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
from tenants.mpesa.hooks import ask_to_register, hook_url, register_hooks
from tenants.mpesa.initiators import PASSWORD_DAYS, age, initiator_of, set_initiator, watch_passwords
from tenants.mpesa.models import (
    MpesaAccount,
    MpesaBalance,
    MpesaChange,
    MpesaCheck,
    MpesaInitiator,
    MpesaRequest,
    MpesaResult,
)
from tenants.mpesa.prompts import StkPush
from tenants.mpesa.refusals import InitiatorFrozen, InitiatorNotReady, NotReady

# M-Pesa as one of the gateways that payments take money through.
GATEWAY = StkPush()

__all__ = [
    "GATEWAY",
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
    "MpesaChange",
    "MpesaChangeTold",
    "MpesaCheck",
    "MpesaFaultFound",
    "MpesaFellSilent",
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
    "ask_to_register",
    "begin",
    "call",
    "changes",
    "classify",
    "comes_from_daraja",
    "credential",
    "daraja",
    "down_for",
    "find_account",
    "get_account",
    "hook_url",
    "initiator",
    "initiator_of",
    "latest_balance",
    "list_accounts",
    "list_drafts",
    "note_fault",
    "note_works",
    "open_app",
    "ratiba",
    "read_result",
    "receive_result",
    "record_answer",
    "register_hooks",
    "requests_about",
    "same_numbers",
    "send_balance",
    "send_status",
    "services",
    "set_initiator",
    "setup",
    "watch_passwords",
]
