"""Selling to a customer: catalog, payment, wallet and access composed.

Promises: a press of the button is one purchase; each paid purchase has exactly one entitlement; money that cannot buy
lies in the wallet, in sight of whom balance.py says and of nobody else; what is bought while another package of the
same device or line runs begins when that one is over.
"""

from tenants.checkout.balance import Balance
from tenants.checkout.fulfilment import money_arrived
from tenants.checkout.holdings import Held, Holdings, holdings
from tenants.checkout.models import Purchase
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
    "Held",
    "Holdings",
    "NoBalance",
    "NoRoom",
    "NobodyHasThat",
    "NotReady",
    "Progress",
    "PromptOpen",
    "Purchase",
    "TooManyPrompts",
    "begin",
    "begin_for_line",
    "begin_with_balance",
    "enter_payment",
    "find_purchase",
    "hand_back",
    "holdings",
    "match_unmatched",
    "money_arrived",
    "progress",
    "settle_callback",
    "settle_query",
    "settle_report",
    "try_again",
    "use_on",
]
