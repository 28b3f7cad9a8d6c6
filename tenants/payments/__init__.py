"""Money that arrives by M-Pesa.

Promises: an attempt is sent once; silence is unknown and never failed; a success counts whenever it comes; one receipt
is credited once, whoever reports it.
"""

from tenants.payments.arrivals import Arrival, Unproven, list_arrivals, list_unproven
from tenants.payments.by_staff import enter
from tenants.payments.c2b import receive as receive_confirmation
from tenants.payments.c2b import validate
from tenants.payments.callbacks import receive as receive_callback
from tenants.payments.claims import Claim, claim
from tenants.payments.desk import METHODS, Taken, cash_held, list_taken, take, void
from tenants.payments.desk import find as find_taken
from tenants.payments.events import CallbackArrived, PaymentReported, StkAsked
from tenants.payments.inbox import MAX_BODY_BYTES, may_be_token
from tenants.payments.models import DeskPayment, InboundEvent, PaymentIntent, ProviderReceipt, ReceiptWitness
from tenants.payments.pull import LONGEST, ask_for, pull_payments, tenants_with_pull
from tenants.payments.receipts import Settled
from tenants.payments.refusals import (
    AlreadySpent,
    AlreadyVoided,
    MoreThanLeft,
    NoReceipt,
    PromptOpen,
    ReceiptKnown,
    TooLargeByHand,
    TooManyPrompts,
)
from tenants.payments.settle import PaidNoReceipt, settle_callback, settle_query, settle_report
from tenants.payments.stk import OPEN, PROMPT_SECONDS, latest_intent, query_stk, request_stk, send_stk, wait_after
from tenants.payments.suggestions import Suggestion, suggest_owners
from tenants.payments.suspense import Unmatched, find_unmatched, list_unmatched, match

__all__ = [
    "LONGEST",
    "MAX_BODY_BYTES",
    "METHODS",
    "OPEN",
    "PROMPT_SECONDS",
    "AlreadySpent",
    "AlreadyVoided",
    "Arrival",
    "CallbackArrived",
    "Claim",
    "DeskPayment",
    "InboundEvent",
    "MoreThanLeft",
    "NoReceipt",
    "PaidNoReceipt",
    "PaymentIntent",
    "PaymentReported",
    "PromptOpen",
    "ProviderReceipt",
    "ReceiptKnown",
    "ReceiptWitness",
    "Settled",
    "StkAsked",
    "Suggestion",
    "Taken",
    "TooLargeByHand",
    "TooManyPrompts",
    "Unmatched",
    "Unproven",
    "ask_for",
    "cash_held",
    "claim",
    "enter",
    "find_taken",
    "find_unmatched",
    "latest_intent",
    "list_arrivals",
    "list_taken",
    "list_unmatched",
    "list_unproven",
    "match",
    "may_be_token",
    "pull_payments",
    "query_stk",
    "receive_callback",
    "receive_confirmation",
    "request_stk",
    "send_stk",
    "settle_callback",
    "settle_query",
    "settle_report",
    "suggest_owners",
    "take",
    "tenants_with_pull",
    "validate",
    "void",
    "wait_after",
]
