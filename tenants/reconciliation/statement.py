"""Reads the statement that the M-Pesa organisation portal exports as CSV (build sheet 22.5, layer 4).

Safaricom documents no format. Exports have a few lines about the organisation, then the columns in an order that has
varied, times in Nairobi's zone, and amounts in shillings with or without separators. What is read is found by the
columns' names; what cannot be read for certain is refused with its row and column, never guessed.

Where every movement has its balance, each must begin where another ended, but for the first: the file is then whole and
unchanged between its first and its last row, in whatever order they stand.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple
from zoneinfo import ZoneInfo

from tenants.reconciliation.refusals import NoStatement, StatementBroken, StatementShort, StatementUnreadable
from wavu import money

_ZONE = ZoneInfo("Africa/Nairobi")
_LOOK_FOR_COLUMNS = 60  # lines
_TEXT = 300

# The names that a column has had, without case, spaces and signs.
_COLUMNS = {
    "receipt": ("receiptno", "receiptnumber", "receipt", "transactionid", "transid", "transactionreference"),
    "completed": ("completiontime", "completedtime", "completiondate", "transactiondate", "transactiontime"),
    "initiated": ("initiationtime",),
    "details": ("details", "description", "transactiondetails", "narrative"),
    "status": ("transactionstatus", "status"),
    "paid_in": ("paidin", "credit", "amountin", "moneyin"),
    "withdrawn": ("withdrawn", "debit", "paidout", "amountout", "moneyout", "withdrawal"),
    "balance": ("balance", "accountbalance"),
    "reason": ("reasontype", "transactiontype", "type"),
    "party": ("otherpartyinfo", "oppositeparty", "otherparty"),
    "linked": ("linkedtransactionid", "linkedtransaction", "originaltransactionid"),
    "account": ("acno", "accountno", "accountnumber", "accountreference", "billrefnumber"),
}
_NEEDED = ("receipt", "completed", "paid_in", "withdrawn")
_LABELS = {
    "receipt": "Receipt No.", "completed": "Completion Time", "paid_in": "Paid In", "withdrawn": "Withdrawn",
    "status": "Transaction Status", "balance": "Balance", "linked": "Linked Transaction ID",
}  # fmt: skip
_FIELDS = {name: field for field, names in _COLUMNS.items() for name in names}

_DONE = {"", "completed", "complete", "success", "successful", "imekamilika"}
_NOT_DONE = {
    "failed", "declined", "cancelled", "canceled", "expired", "pending", "initiated", "authorized", "authorised",
    "rejected",
}  # fmt: skip

# What Reason Type, or Details where that is silent, says of a row (field: exports that importers are tested with).
_CHARGE = re.compile(r"\b(charges?|fees?|tariff)\b")
_REVERSAL = re.compile(r"revers")
_TRANSFER_IN = re.compile(r"settlement|funds transfer|transfer of funds|merchant account")
_TRANSFER_OUT = re.compile(r"settlement|funds transfer|transfer of funds|merchant account|withdraw|\bbank\b")
_PAYOUT = re.compile(r"business payment|salary|promotion payment|\bb2c\b|payout")
# Where the other party begins: a customer may be called Mary Bank.
_PARTY = re.compile(r"\d|\b(from|to|by)\b")

_OF_SHORTCODE = re.compile(r"short\s*code|\b(till|store|pay ?bill)\b")
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,2})?|\d{1,3}(,\d{3}){1,3}(\.\d{1,2})?")
_NUMBER_WITH_COMMA = re.compile(r"(\d{1,12}|\d{1,3}(\.\d{3}){1,3}),\d{2}")
_TIME = re.compile(r"(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.0+)?)?")
_RECEIPT = re.compile(r"[A-Z0-9]{10}")


class Row(NamedTuple):
    """One movement. `amount_cents` is above zero for what came in; `kind` is that of StatementRow."""

    number: int
    receipt: str
    kind: str
    amount_cents: int
    completed_at: datetime
    details: str
    other_party: str
    account_reference: str
    linked_receipt: str | None
    balance_cents: int | None


class _Step(NamedTuple):
    """A movement by the balances around it."""

    at: datetime
    number: int
    receipt: str
    before: int
    after: int


class Reader:
    """`rows()` yields each movement once, as the file is read; then `skipped`, `covers` and the period hold.

    `numbers` are the shortcodes that the lines about the organisation name. Raises NoStatement at once where there are
    no columns, StatementUnreadable or StatementShort while reading, StatementBroken in the end. Closes the
    file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.skipped = 0
        self._lines = _lines(file)
        self._about: list[list[str]] = []
        self._delimiter, self._at, self._number, self._header = self._find_columns()
        self._first: datetime | None = None
        self._last: datetime | None = None
        # What the balance column says of each movement, while it says something of all of them.
        self._chain: list[_Step] | None = []

    @property
    def numbers(self) -> set[str]:
        named = [line for line in self._about if line and _OF_SHORTCODE.search(line[0].casefold())]
        return {found for line in named for found in re.findall(r"\b\d{5,7}\b", " ".join(line))}

    def covers(self) -> tuple[datetime, datetime] | None:
        """From when until when every movement is in the file. None for an empty file that does not say.

        What the lines about the organisation say, both ends included; else from the beginning of the first row's day
        until just after the last row, since nobody knows what came then.
        """
        for line in self._about:
            found = [at for at in map(_moment, _TIME.finditer(" ".join(line))) if at is not None]
            if len(found) == 2 and found[0] < found[1]:
                return found[0], found[1] + timedelta(seconds=1)
        if self._first is None or self._last is None:
            return None
        local = self._first.astimezone(_ZONE)
        return local.replace(hour=0, minute=0, second=0).astimezone(UTC), self._last + timedelta(seconds=1)

    def rows(self) -> Iterator[Row]:
        reader = csv.reader(self._lines, delimiter=self._delimiter)
        try:
            for cells in reader:
                number = self._number + reader.line_num
                row = None if self._is_no_row(cells) else self._row(number, cells)
                if row is not None:
                    self._first = min(self._first or row.completed_at, row.completed_at)
                    self._last = max(self._last or row.completed_at, row.completed_at)
                    self._follow(row)
                    yield row
        except csv.Error:
            number = self._number + reader.line_num
            raise StatementUnreadable(row=number, column="1", value="?") from None
        self._check_chain()

    def _follow(self, row: Row) -> None:
        if row.balance_cents is None:
            self._chain = None
        elif self._chain is not None:
            before = row.balance_cents - row.amount_cents
            self._chain.append(_Step(row.completed_at, row.number, row.receipt, before, row.balance_cents))

    def _check_chain(self) -> None:
        """Raises StatementBroken, naming the earliest movement that begins where none ended."""
        if not self._chain:
            return
        begun, ended = (Counter(step[place] for step in self._chain) for place in (3, 4))
        # The first movement's beginning and the last one's end belong to nobody else.
        loose, ends = begun - ended, ended - begun
        if loose.total() <= 1:
            return
        steps = sorted(self._chain)
        _opening, broken, *_rest = [step for step in steps if step.before in loose]
        earlier = [step.after for step in steps if step.after in ends and step.at <= broken.at and step is not broken]
        gap = broken.before - earlier[-1] if earlier else 0
        raise StatementBroken(row=broken.number, receipt=broken.receipt, gap=money.show(gap))

    def _find_columns(self) -> tuple[str, dict[str, int], int, list[str]]:
        for number, line in enumerate(self._lines, 1):
            for delimiter in ",;\t":
                cells = next(csv.reader([line], delimiter=delimiter), [])
                at: dict[str, int] = {}
                for place, cell in enumerate(cells):
                    field = _FIELDS.get(re.sub(r"[^a-z0-9]", "", cell.casefold()))
                    if field is not None:
                        at.setdefault(field, place)
                if all(field in at for field in _NEEDED):
                    return delimiter, at, number, cells
            if number >= _LOOK_FOR_COLUMNS:
                break
            self._about.append(next(csv.reader([line], delimiter=";" if ";" in line else ","), []))
        raise NoStatement

    def _is_no_row(self, cells: Sequence[str]) -> bool:
        """A blank line, the columns once more, or a foot: sums that belong to no receipt."""
        if not any(cell.strip() for cell in cells) or list(cells) == self._header:
            return True
        places = self._at["receipt"], self._at["completed"]
        return not any(place < len(cells) and cells[place].strip() for place in places)

    def _row(self, number: int, cells: Sequence[str]) -> Row | None:
        """The movement; None for what did not happen."""

        def cell(field: str) -> str:
            place = self._at.get(field)
            if place is None:
                return ""
            if place >= len(cells):
                if field in _NEEDED:
                    raise StatementShort(row=number, column=_LABELS[field])
                return ""
            return cells[place].replace("\x00", "").strip()

        def refuse(field: str) -> StatementUnreadable:
            return StatementUnreadable(row=number, column=_LABELS[field], value=repr(cell(field)[:40]))

        def cents(field: str) -> int | None:
            try:
                return _cents(cell(field), self._delimiter)
            except ValueError:
                raise refuse(field) from None

        status = cell("status").casefold()
        if status not in _DONE:
            if status not in _NOT_DONE:
                raise refuse("status")
            self.skipped += 1
            return None
        receipt, linked = cell("receipt").upper(), cell("linked").upper()
        if not _RECEIPT.fullmatch(receipt):
            raise refuse("receipt")
        came, went = abs(cents("paid_in") or 0), abs(cents("withdrawn") or 0)
        if came and went:
            raise refuse("withdrawn")
        if not came and not went:
            self.skipped += 1
            return None
        found = _TIME.fullmatch(cell("completed"))
        completed_at = _moment(found) if found else None
        if completed_at is None:
            raise refuse("completed")
        details, reason = cell("details")[:_TEXT], cell("reason")
        return Row(
            number, receipt, _kind(came - went, reason, details), came - went, completed_at, details,
            cell("party")[:_TEXT], cell("account")[:_TEXT], linked if _RECEIPT.fullmatch(linked) else None,
            cents("balance"),
        )  # fmt: skip


def _lines(file: BinaryIO) -> Iterator[str]:
    """UTF-8 with or without a mark, or UTF-16 with one. A letter that is neither shows as a question mark."""
    start = file.read(4)
    file.seek(0)
    wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    yield from io.TextIOWrapper(file, "utf-16" if wide else "utf-8-sig", errors="replace", newline="")


def _cents(text: str, delimiter: str) -> int | None:
    """Cents of an amount in shillings, None for an empty cell. Raises ValueError for what may mean two things."""
    bare = text.replace(" ", "").replace("\N{NO-BREAK SPACE}", "").replace("\N{MINUS SIGN}", "-")
    if bare in {"", "-"}:
        return None
    sign = -1 if bare.startswith("-") else 1
    bare = bare.removeprefix("-").upper().removeprefix("KES").removeprefix("KSH")
    if _NUMBER.fullmatch(bare):
        whole, _, part = bare.replace(",", "").partition(".")
    elif delimiter != "," and _NUMBER_WITH_COMMA.fullmatch(bare):
        whole, _, part = bare.replace(".", "").partition(",")
    else:
        raise ValueError(text)
    return sign * (int(whole) * 100 + int(part.ljust(2, "0")))


def _moment(found: re.Match[str]) -> datetime | None:
    """2026-11-24 18:30:00 and 24-11-2026 18:30:00 alike, with dashes, slashes or dots; the day stands before the month
    where the year comes last."""
    first, month, last, hour, minute, second = found.groups()
    year, day = (first, last) if len(first) == 4 else (last, first)
    if len(year) != 4:
        return None
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=_ZONE)
    except ValueError:
        return None
    return local.astimezone(UTC)


def _kind(amount_cents: int, reason: str, details: str) -> str:
    """What a row is. Money that came in and is none of the named things is a payment; money that left and is none of
    them is `other`, which a person must explain: in whatever language it stands, nothing passes unseen."""
    said = (reason or _PARTY.split(details.casefold(), maxsplit=1)[0]).casefold()
    came = amount_cents > 0
    if _CHARGE.search(said):
        return "charge"
    if _REVERSAL.search(said):
        return "other" if came else "reversal"
    if (_TRANSFER_IN if came else _TRANSFER_OUT).search(said):
        return "transfer"
    if came:
        return "payment"
    return "payout" if _PAYOUT.search(said) else "other"
