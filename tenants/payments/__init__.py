"""Money that arrives by M-Pesa.

Promises: an attempt is sent once; silence is unknown and never failed; a success counts whenever it comes; one receipt
is credited once, whoever reports it; a tenant's credentials are sealed and never shown again.
"""

from tenants.payments.callbacks import MAX_BODY_BYTES, may_be_token, receive
from tenants.payments.events import CallbackArrived, MpesaFaultFound, StkAsked
from tenants.payments.models import InboundEvent, MpesaAccount, PaymentIntent, ProviderReceipt
from tenants.payments.mpesa_accounts import active_account, add_account, find_account, list_accounts
from tenants.payments.refusals import NotReady, PromptOpen, TooManyPrompts
from tenants.payments.settle import PaidNoReceipt, Settled, settle_callback, settle_query
from tenants.payments.stk import OPEN, PROMPT_SECONDS, latest_intent, query_stk, request_stk, send_stk, wait_after

__all__ = [
    "MAX_BODY_BYTES",
    "OPEN",
    "PROMPT_SECONDS",
    "CallbackArrived",
    "InboundEvent",
    "MpesaAccount",
    "MpesaFaultFound",
    "NotReady",
    "PaidNoReceipt",
    "PaymentIntent",
    "PromptOpen",
    "ProviderReceipt",
    "Settled",
    "StkAsked",
    "TooManyPrompts",
    "active_account",
    "add_account",
    "find_account",
    "latest_intent",
    "list_accounts",
    "may_be_token",
    "query_stk",
    "receive",
    "request_stk",
    "send_stk",
    "settle_callback",
    "settle_query",
    "wait_after",
]
