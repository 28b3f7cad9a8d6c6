"""Money is an integer number of cents, with its ISO 4217 currency beside it."""

from __future__ import annotations

import re
from decimal import Decimal

_AMOUNT = re.compile(r"(\d{1,12}|\d{1,3}(,\d{3}){1,3})(\.\d{1,2})?", re.ASCII)


def parse(text: str) -> int:
    """Cents from what a person typed: `1500`, `1,500` or `1,500.50`. Raises ValueError for anything else."""
    text = text.strip()
    if not _AMOUNT.fullmatch(text):
        raise ValueError("an amount looks like 1500, 1,500 or 1,500.50")
    return int(Decimal(text.replace(",", "")) * 100)


def show(cents: int, currency: str = "KES") -> str:
    """`KES 1,500`, or `KES 1,500.50` where there are cents; a minus sign stands before the currency."""
    whole, part = divmod(abs(cents), 100)
    sign = "\N{MINUS SIGN}" if cents < 0 else ""
    return f"{sign}{currency} {whole:,}" + (f".{part:02}" if part else "")
