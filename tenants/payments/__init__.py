"""Money that arrives through a gateway: M-Pesa or Airtel Money.

Promises: an attempt is sent once; silence is unknown and never failed; a success counts whenever it comes; one receipt
is credited once, whoever reports it.
"""

from tenants.payments.arrivals import Arrival, Unproven, is_proven, list_arrivals, list_unproven
from tenants.payments.by_staff import enter
from tenants.payments.c2b import receive as receive_confirmation
from tenants.payments.c2b import validate
from tenants.payments.callbacks import receive as receive_callback
from tenants.payments.callbacks import receive_airtel
from tenants.payments.claims import Claim, Known, ask_status, claim, code_in, credit_proven, is_theirs, known_payment
from tenants.payments.desk import METHODS, Taken, cash_held, list_taken, take, void
from tenants.payments.desk import find as find_taken
from tenants.payments.events import CallbackArrived, PaymentReported, StkAsked, UssdAsked
from tenants.payments.failover import Standing
from tenants.payments.gateways import account_for, standings
from tenants.payments.health import Health, health, notice_silence, tenants_that_asked
from tenants.payments.inbox import MAX_BODY_BYTES, may_be_token
from tenants.payments.models import DeskPayment, InboundEvent, PaymentIntent, ProviderReceipt, ReceiptWitness
from tenants.payments.pull import LONGEST, ask_for, pull_payments, store_statement_row, tenants_with_pull
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
from tenants.payments.stk import (
    OPEN,
    PROMPT_SECONDS,
    latest_intent,
    query_stk,
    request_stk,
    send_stk,
    wait_after,
    withdraw,
)
from tenants.payments.suggestions import Suggestion, suggest_owners
from tenants.payments.suspense import (
    Unmatched,
    find_unmatched,
    left_of,
    list_unmatched,
    match,
    owner_found,
    owners_of,
    set_aside,
    take_out,
)

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
    "Health",
    "InboundEvent",
    "Known",
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
    "Standing",
    "StkAsked",
    "Suggestion",
    "Taken",
    "TooLargeByHand",
    "TooManyPrompts",
    "Unmatched",
    "Unproven",
    "UssdAsked",
    "account_for",
    "ask_for",
    "ask_status",
    "cash_held",
    "claim",
    "code_in",
    "credit_proven",
    "enter",
    "find_taken",
    "find_unmatched",
    "health",
    "is_proven",
    "is_theirs",
    "known_payment",
    "latest_intent",
    "left_of",
    "list_arrivals",
    "list_taken",
    "list_unmatched",
    "list_unproven",
    "match",
    "may_be_token",
    "notice_silence",
    "owner_found",
    "owners_of",
    "pull_payments",
    "query_stk",
    "receive_airtel",
    "receive_callback",
    "receive_confirmation",
    "request_stk",
    "send_stk",
    "set_aside",
    "settle_callback",
    "settle_query",
    "settle_report",
    "standings",
    "store_statement_row",
    "suggest_owners",
    "take",
    "take_out",
    "tenants_that_asked",
    "tenants_with_pull",
    "validate",
    "void",
    "wait_after",
    "withdraw",
]
