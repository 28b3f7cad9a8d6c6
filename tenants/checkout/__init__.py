"""Selling to a customer: catalog, payment, wallet and access composed.

Promises: a press of the button is one purchase; each paid purchase has exactly one entitlement; money that cannot buy
lies in the wallet.
"""

from tenants.checkout.models import Purchase
from tenants.checkout.progress import Held, Progress, held_by, progress
from tenants.checkout.purchases import (
    AlreadyBought,
    NobodyHasThat,
    begin,
    find_purchase,
    hand_back,
    match_unmatched,
    settle_callback,
    settle_query,
    settle_report,
    try_again,
)
from tenants.mpesa import NotReady
from tenants.payments import PromptOpen, TooManyPrompts

__all__ = [
    "AlreadyBought",
    "Held",
    "NobodyHasThat",
    "NotReady",
    "Progress",
    "PromptOpen",
    "Purchase",
    "TooManyPrompts",
    "begin",
    "find_purchase",
    "hand_back",
    "held_by",
    "match_unmatched",
    "progress",
    "settle_callback",
    "settle_query",
    "settle_report",
    "try_again",
]
