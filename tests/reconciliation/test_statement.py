"""What a statement may look like, and what is refused with its row and column."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from rehearsal.daraja.simulator import Simulator
from tenants.reconciliation.refusals import NoStatement, StatementBroken, StatementShort, StatementUnreadable
from tenants.reconciliation.statement import Reader, Row
from tests.reconciliation.books import HEADER, Moved, receipt, statement
from wavu import money

AT = datetime(2026, 3, 10, 7, 0, tzinfo=UTC)


def read(content: bytes | str) -> list[Row]:
    return list(Reader(io.BytesIO(content if isinstance(content, bytes) else content.encode())).rows())


def one(**cells: str) -> Row:
    """The only row of a file with these columns, in this order."""
    file = io.StringIO()
    csv.writer(file).writerows([cells.keys(), cells.values()])
    (row,) = read(file.getvalue())
    return row


PLAIN = {
    "Receipt No.": receipt(1), "Completion Time": "2026-03-10 10:00:00", "Paid In": "1500.00", "Withdrawn": "",
}  # fmt: skip


def test_a_row_and_its_neighbours() -> None:
    content = statement(
        [Moved(receipt(1), 150_000, account="70012"), Moved(receipt(2), -3_300, reason="Pay Bill Charge")]
    )
    payment, charge = read(content)
    assert payment[:6] == (6, receipt(1), "payment", 150_000, AT, "Pay Bill Online from 25471****678 - ASHA")
    assert (payment.account_reference, payment.linked_receipt, payment.balance_cents) == ("70012", None, None)
    assert (charge.number, charge.kind, charge.amount_cents) == (7, "charge", -3_300)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_marks_and_delimiters(encoding: str, delimiter: str) -> None:
    text = statement([Moved(receipt(1), 150_000)]).decode().replace(",", delimiter)
    assert [row[1:5] for row in read(text.encode(encoding))] == [(receipt(1), "payment", 150_000, AT)]


@pytest.mark.parametrize(
    ("paid_in", "withdrawn", "cents"),
    [
        ("1,500.00", "", 150_000), ("1 500.00", "0.00", 150_000), ("1500", "", 150_000), ("KES 1,500.5", "", 150_050),
        ("", "1,234,567.89", -123_456_789), ("", "-20.00", -2_000), ("", "\N{MINUS SIGN}20.00", -2_000),
    ],
)  # fmt: skip
def test_amounts(paid_in: str, withdrawn: str, cents: int) -> None:
    assert one(**PLAIN | {"Paid In": paid_in, "Withdrawn": withdrawn}).amount_cents == cents


def test_a_comma_is_the_decimal_point_only_where_it_cannot_be_anything_else() -> None:
    head, line = "Receipt No.;Completion Time;Paid In;Withdrawn", f"{receipt(1)};2026-03-10 10:00:00;%s;"
    (row,) = read(f"{head}\n{line % '1.500,00'}\n")
    assert row.amount_cents == 150_000
    for doubtful in ("1.500", "1,5", "1,500,0"):
        with pytest.raises(StatementUnreadable):
            read(f"{head}\n{line % doubtful}\n")


@pytest.mark.parametrize(
    "said",
    ["2026-03-10 10:00:00", "10-03-2026 10:00:00", "10/03/2026 10:00", "2026-03-10T10:00:00", "10.3.2026 10:00:00"],
)  # fmt: skip
def test_times_are_nairobis(said: str) -> None:
    assert one(**PLAIN | {"Completion Time": said}).completed_at == AT


def test_columns_are_found_by_name_in_any_order() -> None:
    row = one(
        **{"A/C No.": "77", "WITHDRAWN": "", "Balance": "9,000.00", "Something new": "x", "paid in": "20.00",
           "Completion  time": "2026-03-10 10:00:00", "Receipt No": receipt(3).lower()}
    )  # fmt: skip
    assert (row.receipt, row.amount_cents, row.account_reference, row.balance_cents) == (
        receipt(3),
        2_000,
        "77",
        900_000,
    )


@pytest.mark.parametrize(
    ("cents", "reason", "kind"),
    [
        (100, "Pay Bill Online", "payment"), (100, "Customer Buy Goods Online", "payment"),
        (100, "Lipa na M-PESA", "payment"),
        (-100, "Pay Bill Charge", "charge"), (-100, "Merchant Fee", "charge"), (50, "Charge Reversal", "charge"),
        (-100, "Organization Reversal Initiated", "reversal"), (100, "Transaction Reversal", "other"),
        (-100, "Organization Settlement to Bank", "transfer"), (-100, "Business Payment to Customer via API", "payout"),
        (-100, "Kitu kingine", "other"),
    ],
)  # fmt: skip
def test_what_a_row_is(cents: int, reason: str, kind: str) -> None:
    assert [row.kind for row in read(statement([Moved(receipt(1), cents, reason=reason)]))] == [kind]


def test_a_customers_name_makes_no_charge_of_a_payment() -> None:
    row = one(**PLAIN | {"Details": "Pay Bill from 25471****678 - FEE CHARGES BANK Acc. reversal"})
    assert row.kind == "payment"


def test_what_did_not_happen_is_counted_and_left_out() -> None:
    said = [("Failed", "10.00"), ("Completed", "20.00"), ("Declined", "30.00"), ("Completed", "0.00"), ("", "5.00")]
    lines = [HEADER, *(f"{receipt(n)},2026-03-10 10:00:00,,,{one},{paid},,,,,,," for n, (one, paid) in enumerate(said))]
    reader = Reader(io.BytesIO("\n".join([*lines, "", HEADER, ",,,,,25.00,,,,,,,", ""]).encode()))
    assert [row.amount_cents for row in reader.rows()] == [2_000, 500]
    assert reader.skipped == 3


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"Paid In": "x"}, "Paid In"), ({"Paid In": "1.500.00"}, "Paid In"), ({"Withdrawn": "5.00"}, "Withdrawn"),
        ({"Completion Time": "2026-13-10 10:00:00"}, "Completion Time"),
        ({"Completion Time": "10-03-26 10:00:00"}, "Completion Time"),
        ({"Receipt No.": "7E+12"}, "Receipt No."), ({"Transaction Status": "Perhaps"}, "Transaction Status"),
    ],
)  # fmt: skip
def test_what_is_refused_names_row_and_column(changes: dict[str, str], column: str) -> None:
    with pytest.raises(StatementUnreadable) as refused:
        one(**PLAIN | {"Transaction Status": "Completed"} | changes)
    assert (refused.value.facts["row"], refused.value.facts["column"]) == (2, column)


def test_a_row_that_ends_too_early() -> None:
    with pytest.raises(StatementShort) as refused:
        read(f"{HEADER}\n{receipt(1)},2026-03-10 10:00:00\n")
    assert refused.value.facts == {"row": 2, "column": "Paid In"}


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\xff", b"a,b\n1,2\n", b"%PDF-1.7\n" * 100, b"PK\x03\x04" * 50])
def test_no_statement(content: bytes) -> None:
    with pytest.raises(NoStatement):
        Reader(io.BytesIO(content))


def test_the_period_is_what_the_file_says_or_what_its_rows_prove() -> None:
    reader = Reader(io.BytesIO(statement([Moved(receipt(1), 100)], days=2)))
    assert reader.covers() == (datetime(2026, 3, 9, 21, tzinfo=UTC), datetime(2026, 3, 11, 21, tzinfo=UTC))
    bare = b"\r\n".join(statement([Moved(receipt(1), 100), Moved(receipt(2), 100, minute=30)]).split(b"\r\n")[4:])
    reader = Reader(io.BytesIO(bare))
    assert len(list(reader.rows())) == 2
    assert reader.covers() == (datetime(2026, 3, 9, 21, tzinfo=UTC), datetime(2026, 3, 10, 7, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize("dates", ["day_first", "iso"])
@pytest.mark.parametrize("withdrawn", ["negative", "positive"])
def test_the_simulators_export(dates: str, withdrawn: str) -> None:
    with Simulator(seed=1).serve() as sim:
        sim.add_app("k", "s", shortcode="600100", till=None, passkey="p")
        sim.set_knobs({"statement.dates": dates, "statement.thousands": True, "statement.withdrawn": withdrawn})
        paid = sim.pay("254712345678", "600100", 1500, "A1")
        sim.reverse(paid.receipt)
        back, came = read(sim.statement("600100"))
    assert (came.receipt, came.kind, came.amount_cents, came.account_reference) == (
        paid.receipt,
        "payment",
        150_000,
        "A1",
    )
    assert (back.kind, back.amount_cents, back.linked_receipt) == ("reversal", -150_000, paid.receipt)


def chained(cents: list[int], start: int = 500_000) -> list[list[str]]:
    """The rows of a statement whose balances follow each other, the oldest first."""
    rows, balance = [], start
    for n, moved in enumerate(cents):
        balance += moved
        line = Moved(receipt(n + 1), moved, 600 + n // 2).line().split(",")
        rows.append([*line[:7], f"{balance / 100:.2f}", *line[8:]])
    return rows


def as_file(rows: list[list[str]]) -> bytes:
    return statement([]) + "\r\n".join(",".join(row) for row in rows).encode()


MOVED = [1_000, 2_500, -300, 1_000, 90_000, -50_000, 1_000]


@pytest.mark.parametrize("newest_first", [True, False])
def test_balances_that_follow_each_other_are_taken(newest_first: bool) -> None:
    rows = chained(MOVED)
    assert len(read(as_file(rows[::-1] if newest_first else rows))) == len(MOVED)
    assert len(read(as_file(chained([1_000, -1_000])))) == 2, "a chain that comes back to where it began"


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("left_out", [1, 3, 5])
def test_a_row_that_is_missing_is_found_and_named(newest_first: bool, left_out: int) -> None:
    rows = chained(MOVED)
    del rows[left_out]
    after = rows[left_out][0]
    with pytest.raises(StatementBroken) as caught:
        read(as_file(rows[::-1] if newest_first else rows))
    assert caught.value.facts["receipt"] == after
    assert caught.value.facts["gap"] == money.show(MOVED[left_out])
    content = as_file(rows[::-1] if newest_first else rows).decode().splitlines()
    assert after in content[caught.value.facts["row"] - 1]


@pytest.mark.parametrize(("column", "value"), [(5, "1234.00"), (7, "1.00")])
def test_a_row_that_was_altered_is_found_and_named(column: int, value: str) -> None:
    rows = chained(MOVED)
    rows[4][column] = value
    with pytest.raises(StatementBroken) as caught:
        read(as_file(rows))
    assert caught.value.facts["receipt"] == rows[4][0]


def test_a_statement_without_balances_is_taken_as_before() -> None:
    rows = chained(MOVED)
    rows[2][7] = ""
    del rows[4]
    assert len(read(as_file(rows))) == len(MOVED) - 1
