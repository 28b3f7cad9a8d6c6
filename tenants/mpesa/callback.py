"""What an STK push's callback says (build sheet 4.1)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from tenants.gateway import Told

RECEIPT = re.compile(r"[A-Z0-9]{10}", re.ASCII)
# Failures may carry a made-up receipt such as OAK0000000 (build sheet 2.6).
_DUMMY = re.compile(r"[A-Z]{3}0{7}", re.ASCII)


def parse(body: bytes) -> Told | None:
    """Reads an stkCallback (build sheet 4.1); None for anything else. Numbers may come as text and text as numbers."""
    try:
        callback = json.loads(body, parse_float=Decimal)["Body"]["stkCallback"]
        code = callback["ResultCode"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if isinstance(code, bool) or not isinstance(code, int | str) or not re.fullmatch(r"[\w.]{1,40}", str(code)):
        return None
    items = _items(callback)
    return Told(
        str(code),
        _text(callback.get("CheckoutRequestID")),
        _text(callback.get("MerchantRequestID")),
        cents_of(items.get("Amount")),
        receipt_of(items.get("MpesaReceiptNumber")),
    )


def _items(callback: Any) -> dict[str, Any]:
    """The items by name; the first of a name counts, whatever their order."""
    metadata = callback.get("CallbackMetadata")
    listed = metadata.get("Item") if isinstance(metadata, dict) else None
    found: dict[str, Any] = {}
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and isinstance(item.get("Name"), str) and "Value" in item:
            found.setdefault(item["Name"], item["Value"])
    return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def receipt_of(value: Any) -> str | None:
    """An M-Pesa receipt; None for anything else, and for the made-up ones."""
    return value if isinstance(value, str) and RECEIPT.fullmatch(value) and not _DUMMY.fullmatch(value) else None


def cents_of(value: Any) -> int | None:
    """Whole cents between one and 250,000 shillings, out of a number or its text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if not re.fullmatch(r"\d{1,6}(\.\d{1,2})?0*", str(value), re.ASCII):
        return None
    cents = int(Decimal(str(value)) * 100)
    return cents if 100 <= cents <= 25_000_000 else None
