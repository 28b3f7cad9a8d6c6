"""The tenant's book, in double entry. Promises: a business event posts once, what is posted never changes, and the
database itself refuses what does not balance or takes a wallet below nothing. Credits are positive, debits negative.
"""

from tenants.ledger.accounts import (
    BANK,
    INCOME_ACCESS,
    INCOME_PROMO,
    MPESA_FEES,
    MPESA_PAYOUTS,
    PROMO_COST,
    REFUND_PENDING,
    SUSPENSE,
    airtel,
    cash,
    mpesa,
    promo,
    receivable,
    wallet,
)
from tenants.ledger.checks import audit
from tenants.ledger.models import LedgerAccount, LedgerEntry, LedgerTransaction
from tenants.ledger.posting import Leg, balance, find, post, reverse
from tenants.ledger.refusals import AlreadyReversed, NotEnoughMoney
from tenants.ledger.series import next_number

__all__ = [
    "BANK",
    "INCOME_ACCESS",
    "INCOME_PROMO",
    "MPESA_FEES",
    "MPESA_PAYOUTS",
    "PROMO_COST",
    "REFUND_PENDING",
    "SUSPENSE",
    "AlreadyReversed",
    "LedgerAccount",
    "LedgerEntry",
    "LedgerTransaction",
    "Leg",
    "NotEnoughMoney",
    "airtel",
    "audit",
    "balance",
    "cash",
    "find",
    "mpesa",
    "next_number",
    "post",
    "promo",
    "receivable",
    "reverse",
    "wallet",
]
