"""Selling to a customer: catalog, payment, wallet and access composed.

Promises: a press of the button is one purchase; each paid purchase has exactly one entitlement; money that cannot buy
lies in the wallet, in sight of whom balance.py says and of nobody else; what is bought while another package of the
same device or line runs begins when that one is over; a package that renews itself is paid once per period, whole or
not at all; promotional credit is spent before money and never leaves.
"""

from tenants.checkout import history, promo, renewals, sales
from tenants.checkout.balance import Balance
from tenants.checkout.fulfilment import give_back, money_arrived, try_renewals
from tenants.checkout.holdings import Held, Holdings, holdings
from tenants.checkout.models import DeskSale, PromoGrant, Purchase, Renewal
from tenants.checkout.progress import Progress, progress
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
from tenants.mpesa import NotReady
from tenants.payments import PromptOpen, TooManyPrompts

__all__ = [
    "AlreadyBought",
    "Balance",
    "DeskSale",
    "Held",
    "Holdings",
    "NoBalance",
    "NoRoom",
    "NobodyHasThat",
    "NotReady",
    "Progress",
    "PromoGrant",
    "PromptOpen",
    "Purchase",
    "Renewal",
    "TooManyPrompts",
    "begin",
    "begin_for_line",
    "begin_with_balance",
    "enter_payment",
    "find_purchase",
    "give_back",
    "hand_back",
    "history",
    "holdings",
    "match_unmatched",
    "money_arrived",
    "progress",
    "promo",
    "renewals",
    "sales",
    "settle_callback",
    "settle_query",
    "settle_report",
    "try_again",
    "try_renewals",
    "use_on",
]
