"""Money that arrives by M-Pesa.

Promises: an attempt is sent once; silence is unknown and never failed; a success counts whenever it comes; one receipt
is credited once, whoever reports it.
"""

from tenants.payments.callbacks import MAX_BODY_BYTES, may_be_token, receive
from tenants.payments.events import CallbackArrived, StkAsked
from tenants.payments.models import InboundEvent, PaymentIntent, ProviderReceipt
from tenants.payments.refusals import PromptOpen, TooManyPrompts
from tenants.payments.settle import PaidNoReceipt, Settled, settle_callback, settle_query
from tenants.payments.stk import OPEN, PROMPT_SECONDS, latest_intent, query_stk, request_stk, send_stk, wait_after

__all__ = [
    "MAX_BODY_BYTES",
    "OPEN",
    "PROMPT_SECONDS",
    "CallbackArrived",
    "InboundEvent",
    "PaidNoReceipt",
    "PaymentIntent",
    "PromptOpen",
    "ProviderReceipt",
    "Settled",
    "StkAsked",
    "TooManyPrompts",
    "latest_intent",
    "may_be_token",
    "query_stk",
    "receive",
    "request_stk",
    "send_stk",
    "settle_callback",
    "settle_query",
    "wait_after",
]
