"""Selling to a customer: catalog, payment, wallet and access composed.

Promises: a press of the button is one purchase; each paid purchase has exactly one entitlement; money that cannot buy
lies in the wallet, in sight of whom balance.py says and of nobody else; what is bought while another package of the
same device or line runs begins when that one is over; a package that renews itself is paid once per period, whole or
not at all; promotional credit is spent before money and never leaves.
"""

from tenants.checkout import history, promo, renewals, sales
from tenants.checkout.balance import Balance
from tenants.checkout.claims import (
    NoCode,
    TooManyClaims,
    begin_claim,
    find_claim,
    look_for_claim,
    purchase_of,
    settle_status,
)
from tenants.checkout.fulfilment import give_back, money_arrived, try_renewals
from tenants.checkout.holdings import Held, Holdings, held_purchase, holdings
from tenants.checkout.models import DeskSale, PaymentClaim, PromoGrant, Purchase, Renewal, StandingOrder
from tenants.checkout.progress import ByHand, Progress, progress
from tenants.checkout.purchases import (
    AlreadyBought,
    NoBalance,
    NobodyHasThat,
    NoRoom,
    begin,
    begin_for_line,
    begin_with_balance,
    enter_payment,
    find_purchase,
    hand_back,
    match_unmatched,
    settle_callback,
    settle_query,
    settle_report,
    try_again,
    use_on,
)
from tenants.checkout.standing import (
    NotMonthly,
    TooManyOrders,
    ask_standing_order,
    find_standing_order,
    first_days,
    is_monthly,
    list_standing_orders,
    receive_standing_order,
    send_standing_order,
    settle_standing_order,
    standing_order_state,
    standing_orders_offered,
)
from tenants.mpesa import NotReady
from tenants.payments import PromptOpen, TooManyPrompts

__all__ = [
    "AlreadyBought",
    "Balance",
    "ByHand",
    "DeskSale",
    "Held",
    "Holdings",
    "NoBalance",
    "NoCode",
    "NoRoom",
    "NobodyHasThat",
    "NotMonthly",
    "NotReady",
    "PaymentClaim",
    "Progress",
    "PromoGrant",
    "PromptOpen",
    "Purchase",
    "Renewal",
    "StandingOrder",
    "TooManyClaims",
    "TooManyOrders",
    "TooManyPrompts",
    "ask_standing_order",
    "begin",
    "begin_claim",
    "begin_for_line",
    "begin_with_balance",
    "enter_payment",
    "find_claim",
    "find_purchase",
    "find_standing_order",
    "first_days",
    "give_back",
    "hand_back",
    "held_purchase",
    "history",
    "holdings",
    "is_monthly",
    "list_standing_orders",
    "look_for_claim",
    "match_unmatched",
    "money_arrived",
    "progress",
    "promo",
    "purchase_of",
    "receive_standing_order",
    "renewals",
    "sales",
    "send_standing_order",
    "settle_callback",
    "settle_query",
    "settle_report",
    "settle_standing_order",
    "settle_status",
    "standing_order_state",
    "standing_orders_offered",
    "try_again",
    "try_renewals",
    "use_on",
]
