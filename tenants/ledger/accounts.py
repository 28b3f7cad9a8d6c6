"""The chart of accounts: codes, and which of them may never fall below nothing."""

from __future__ import annotations

from uuid import UUID

SUSPENSE = "liab:suspense:unmatched"
INCOME_ACCESS = "income:access"
BANK = "asset:bank"

# Money that is somebody's: it can be spent down to nothing, and no further.
_NEVER_NEGATIVE = ("liab:wallet:", "liab:suspense:", "liab:promo:", "liab:voucher_outstanding:", "liab:reseller_float:")


def wallet(subscriber_id: UUID) -> str:
    """What a tenant owes a subscriber: good for the tenant's own services."""
    return f"liab:wallet:{subscriber_id}"


def cash(person_id: UUID) -> str:
    """Cash that a member of staff has taken and not handed over yet."""
    return f"asset:cash:{person_id}"


def mpesa(shortcode_group: str) -> str:
    """The tenant's money at M-Pesa: a PayBill, or a Till with its store number."""
    return f"asset:mpesa:{shortcode_group}"


def floor_of(code: str) -> int | None:
    """The least balance in cents that an account may have; None for any."""
    return 0 if code.startswith(_NEVER_NEGATIVE) else None
