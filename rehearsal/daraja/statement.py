"""The organisation portal's statement as CSV: the final word on what moved (build sheet 22.5, layer 4).

The columns are those of exports that public importers are tested with (field); the portal documents none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from .book import Transaction
from .clock import Clock
from .identifiers import masked
from .knobs import Knobs
from .parties import Merchant

_COLUMNS = (
    "Receipt No.", "Completion Time", "Initiation Time", "Details", "Transaction Status", "Paid In", "Withdrawn",
    "Balance", "Balance Confirmed", "Reason Type", "Other Party Info", "Linked Transaction ID", "A/C No.",
)  # fmt: skip


def export(
    merchant: Merchant, lines: Sequence[Transaction], start: float, end: float, clock: Clock, knobs: Knobs
) -> str:
    """A few lines about the organisation, the columns, and the newest transaction first."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    moments = [_time(clock, moment, knobs) for moment in (start, end)]
    writer.writerow(["Organization Name:", merchant.name])
    writer.writerow(["Short Code:", merchant.credit_party])
    writer.writerow(["Time Period:", " - ".join(moments)])
    writer.writerow([])
    writer.writerow(_COLUMNS)
    for n, line in enumerate(reversed(lines)):
        writer.writerow(_row(line, clock, knobs, knobs.statement_off_by if n == 0 else 0))
    return file.getvalue()


def _row(line: Transaction, clock: Clock, knobs: Knobs, off_by: int) -> list[str]:
    at = _time(clock, line.paid_at, knobs)
    amount = line.amount + (off_by if line.amount > 0 else -off_by)
    paid_in = _money(amount, knobs) if amount > 0 else ""
    withdrawn = "" if amount > 0 else _money(amount if knobs.statement_withdrawn == "negative" else -amount, knobs)
    other = f"{masked(line.msisdn, 'stars')} - {line.name}"
    account = f" Acc. {line.reference}" if line.reference else ""
    details, reason = _WORDS[line.kind, line.till is not None]
    return [
        line.receipt, at, at, f"{details} {other}{account}", "Completed", paid_in, withdrawn,
        _money(line.balance + amount - line.amount, knobs), "true", reason, other, line.linked, line.reference,
    ]  # fmt: skip


# By kind and whether it is a till: the beginning of Details, and Reason Type.
_WORDS = {
    ("stk", False): ("Pay Bill from", "Pay Bill Online"),
    ("c2b", False): ("Pay Bill from", "Pay Bill Online"),
    ("stk", True): ("Merchant Payment from", "Customer Buy Goods Online"),
    ("c2b", True): ("Merchant Payment from", "Customer Buy Goods Online"),
} | {
    (kind, till): words
    for till in (False, True)
    for kind, words in (
        ("b2c", ("Business Payment to", "Business Payment to Customer via API")),
        ("reversal", ("Transaction Reversal to", "Organization Reversal Initiated")),
    )
}


def _time(clock: Clock, moment: float, knobs: Knobs) -> str:
    at = clock.eat(moment)
    return f"{at:%d-%m-%Y %H:%M:%S}" if knobs.statement_dates == "day_first" else f"{at:%Y-%m-%d %H:%M:%S}"


def _money(amount: int, knobs: Knobs) -> str:
    return f"{amount:,}.00" if knobs.statement_thousands else f"{amount}.00"
