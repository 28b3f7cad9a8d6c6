"""The chart of accounts: codes, and which of them may never fall below nothing."""

from __future__ import annotations

from uuid import UUID

SUSPENSE = "liab:suspense:unmatched"
INCOME_ACCESS = "income:access"
# What was sold for promotional credit: income that is no cash, against what the credit had cost when it was given.
INCOME_PROMO = "income:promo"
PROMO_COST = "expense:promo"
BANK = "asset:bank"
# Money on its way back to a customer: out of their wallet, and not yet known to be out of ours.
REFUND_PENDING = "liab:refund_pending"
MPESA_PAYOUTS = "asset:mpesa_b2c"
MPESA_FEES = "expense:mpesa_fees"

# Money that is somebody's: it can be spent down to nothing, and no further.
_NEVER_NEGATIVE = (
    "liab:wallet:", "liab:suspense:", "liab:promo:", "liab:voucher_outstanding:", "liab:reseller_float:",
    REFUND_PENDING,
)  # fmt: skip


def wallet(subscriber_id: UUID) -> str:
    """What a tenant owes a subscriber: good for the tenant's own services."""
    return f"liab:wallet:{subscriber_id}"


def promo(subscriber_id: UUID) -> str:
    """What a subscriber may spend of promotional credit. It is nobody's money, and never goes back to a phone."""
    return f"liab:promo:{subscriber_id}"


def receivable(subscriber_id: UUID | None) -> str:
    """What a subscriber owes a tenant; without one, what somebody does."""
    return f"asset:receivable:{subscriber_id or 'unknown'}"


def cash(person_id: UUID) -> str:
    """Cash that a member of staff has taken and not handed over yet."""
    return f"asset:cash:{person_id}"


def mpesa(shortcode_group: str) -> str:
    """The tenant's money at M-Pesa: a PayBill, or a Till with its store number."""
    return f"asset:mpesa:{shortcode_group}"


def airtel(merchant_number: str) -> str:
    """The tenant's money at Airtel Money, by its merchant's number."""
    return f"asset:airtel:{merchant_number}"


def floor_of(code: str) -> int | None:
    """The least balance in cents that an account may have; None for any."""
    return 0 if code.startswith(_NEVER_NEGATIVE) else None
