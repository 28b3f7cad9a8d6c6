"""A day against the statement: each difference has its name and its price."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tenants import ledger, reconciliation
from tenants.reconciliation.models import StatementRow
from tenants.reconciliation.refusals import OfAnotherShortcode, SaysOtherwise, StatementUnreadable
from tests.reconciliation.books import (
    DAY,
    MIDNIGHT,
    Moved,
    bought,
    credited,
    found,
    payout,
    receipt,
    statement,
    subscriber,
    take,
    the_account,
)  # fmt: skip
from tests.world import World
from wavu import audit
from wavu.db import db, savepoint


def rows() -> int:
    return int(db.session.execute(text("SELECT count(*) FROM statement_row")).scalar_one())


PAID = [Moved(receipt(n), 1000 * n, minute=600 + n) for n in range(1, 6)]


def test_a_day_that_fits(books: World) -> None:
    credited(PAID)
    assert found() == {("no_statement", "rehearsal 600100"): -15_000}
    imported = take(statement(PAID))
    assert (imported.is_new, imported.statement.row_count, imported.statement.new_count) == (True, 5, 5)
    assert imported.days == [DAY]
    matched = reconciliation.match(DAY)
    assert matched.differences == []
    (one,) = matched.totals["shortcodes"]
    assert (one["stated_payment"], one["credited"]) == ({"cents": 15_000, "count": 5}, {"cents": 15_000, "count": 5})


def test_the_same_file_counts_once_and_overlapping_files_merge(books: World) -> None:
    first = take(statement(PAID[:3]))
    again = take(statement(PAID[:3]), name="again.csv")
    assert (again.is_new, again.statement.id) == (False, first.statement.id)
    both = take(statement([*PAID, PAID[0], PAID[4]]))
    assert (both.statement.row_count, both.statement.new_count, rows()) == (7, 2, 5)
    assert len(reconciliation.list_statements()) == 2
    assert [entry.action for entry in audit.trail(limit=2)] == ["books.statement_imported"] * 2


def test_a_file_that_contradicts_an_earlier_one_is_refused_whole(books: World) -> None:
    take(statement(PAID[:2]))
    changed = [PAID[2], Moved(PAID[0].receipt, 1001, PAID[0].minute)]
    with pytest.raises(SaysOtherwise) as refused, savepoint():
        take(statement(changed))
    assert refused.value.facts == {"row": 7, "receipt": PAID[0].receipt}
    with pytest.raises(SaysOtherwise), savepoint():
        take(statement([Moved(receipt(8), 100), Moved(receipt(8), 200)]))
    with pytest.raises(StatementUnreadable), savepoint():
        take(statement(PAID[2:]) + b"nonsense,2026-03-10 10:00:00,,,,1.00,,\r\n")
    assert rows() == 2


def test_a_statement_of_another_shortcode(books: World) -> None:
    with pytest.raises(OfAnotherShortcode), savepoint():
        take(statement(PAID, shortcode="600300"))
    assert rows() == 0


def test_each_difference_is_named_and_priced(books: World) -> None:
    owner = subscriber()
    credited([PAID[0], Moved(receipt(90), 4_000), Moved(PAID[2].receipt, 2_900, PAID[2].minute)], owner)
    credited([Moved(receipt(91), 5_000, minute=-200)], owner)
    bought(owner)
    take(
        statement(
            [
                PAID[0], PAID[1], PAID[2], Moved(receipt(60), -5_000, linked=receipt(91), reason="Reversal"),
                Moved(receipt(61), -700, reason="Pay Bill Charge"), Moved(receipt(62), -9_000, reason="Kitu"),
                Moved(receipt(63), -90_000, reason="Settlement to bank"),
                Moved(receipt(64), -50, linked=receipt(404), reason="Reversal"),
            ]
        )
    )  # fmt: skip
    unserved, unpaid = bought(owner, served=False), bought(owner, posted=False)
    assert found() == {
        ("missing_with_us", PAID[1].receipt): 2_000,
        ("amount_differs", PAID[2].receipt): 100,
        ("not_at_safaricom", receipt(90)): -4_000,
        ("reversed_outside", receipt(60)): -5_000,
        ("unexplained", receipt(62)): -9_000,
        ("unexplained", receipt(64)): -50,
        ("paid_without_service", str(unserved)): 1_000,
        ("service_without_money", str(unpaid)): 1_000,
    }
    kinds = [each.kind for each in reconciliation.match(DAY).differences]
    assert kinds == sorted(kinds, key=reconciliation.KINDS.index)


def test_a_service_on_credit_is_a_difference_when_it_is_over_and_the_receipt_never_came(books: World) -> None:
    take(statement([]))
    purchase = bought(subscriber(), posted=False)
    db.session.execute(text("UPDATE entitlement SET provisional = true, ends_at = now() + interval '1 hour'"))
    assert found() == {}
    db.session.execute(text("UPDATE entitlement SET ends_at = now() - interval '1 hour'"))
    assert found() == {("service_without_money", str(purchase)): 1_000}


def test_midnight_is_the_tenants_and_safaricom_says_when(books: World) -> None:
    last, first = Moved(receipt(1), 1_000, minute=24 * 60 - 1), Moved(receipt(2), 2_000, minute=24 * 60)
    # Ours heard of the first one on the next day.
    credited([Moved(last.receipt, last.cents, minute=24 * 60 + 5), first])
    take(statement([last, first], days=2))
    for day, cents in ((DAY, 1_000), (DAY + timedelta(days=1), 2_000)):
        matched = reconciliation.match(day)
        assert matched.differences == []
        assert matched.totals["shortcodes"][0]["credited"]["cents"] == cents


def test_pull_is_a_witness_where_there_is_no_statement(books: World) -> None:
    credited(PAID[:1], source="pull")
    credited(PAID[1:2])
    assert found() == {("no_statement", "rehearsal 600100"): -2_000}
    db.session.execute(
        text("""INSERT INTO receipt_witness (tenant_id, id, receipt_id, source) SELECT tenant_id, gen_random_uuid(), id,
            'pull' FROM provider_receipt WHERE receipt = :receipt"""),
        {"receipt": PAID[1].receipt},
    )
    assert found() == {("no_statement", "rehearsal 600100"): 0}


def test_statements_laid_end_to_end_cover_a_day(books: World) -> None:
    bare = [
        statement([moved]).split(b"\r\n", 4)[4] for moved in (Moved(receipt(1), 100, 60), Moved(receipt(2), 100, 1500))
    ]
    take(bare[0])
    assert ("no_statement", "rehearsal 600100") in found()
    take(bare[1])
    # It begins with the day of its first row, which is the next one: between them nobody knows what came.
    assert ("no_statement", "rehearsal 600100") in found()
    take(statement([Moved(receipt(1), 100, 60), Moved(receipt(2), 100, 1500)]).split(b"\r\n", 4)[4])
    assert ("no_statement", "rehearsal 600100") not in found()


def test_our_own_payouts_and_reversals_are_no_differences(books: World) -> None:
    credited([Moved(receipt(1), 90_000)])
    with db.session.begin_nested() as undone:
        payout(receipt(7), 20_000)
        payout(receipt(8), 30_000, method="reversal")
        stated = [
            Moved(receipt(1), 90_000),
            Moved(receipt(7), -20_000, reason="Business Payment to Customer via API"),
            Moved(receipt(8), -30_000, reason="Organization Reversal Initiated", linked=receipt(1)),
        ]
        take(statement(stated))
        assert found() == {}
        undone.rollback()
    take(statement(stated))
    assert found() == {("unexplained", receipt(7)): -20_000, ("reversed_outside", receipt(8)): -30_000}, (
        "not ours, and B's of the same receipt and amount is B's"
    )


@pytest.mark.parametrize(("cents", "state"), [(20_100, "paid"), (19_900, "paid"), (20_000, "unknown")])
def test_a_payout_of_another_amount_or_without_proof_is_one(books: World, cents: int, state: str) -> None:
    credited([Moved(receipt(1), 90_000)])
    payout(receipt(7), cents, state=state)
    take(statement([Moved(receipt(1), 90_000), Moved(receipt(7), -20_000, reason="Business Payment to Customer")]))
    assert found() == {("unexplained", receipt(7)): -20_000}


# -- what the match is a function of


@st.composite
def days(draw: st.DrawFn) -> tuple[list[Moved], list[Moved]]:
    """(what Safaricom has, what we have) of up to eight payments."""
    stated, ours = [], []
    for n in range(draw(st.integers(1, 8))):
        cents, where = (
            draw(st.integers(1, 400_000)),
            draw(st.sampled_from(["both", "both", "both", "stated", "ours", "off"])),
        )
        minute = draw(st.integers(0, 1439))
        if where != "ours":
            stated.append(Moved(receipt(n + 1), cents + (draw(st.integers(1, 500)) if where == "off" else 0), minute))
        if where != "stated":
            ours.append(Moved(receipt(n + 1), cents, minute))
    return stated, ours


@given(days=days(), seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 8), max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_and_multiplicity_change_nothing(
    books: World, days: tuple[list[Moved], list[Moved]], seed: int, cuts: list[int]
) -> None:
    """Whatever the order of the rows, however often they come and into how many files they are cut, a day comes to the
    same, and its differences add up to what the two sides differ by."""
    stated, ours = days
    dice, results = random.Random(seed), []
    for shuffled in (False, True):
        with db.session.begin_nested() as undone:
            moved, credits_ = list(stated), list(ours)
            if shuffled:
                moved += dice.choices(stated, k=5) if stated else []
                dice.shuffle(moved)
                dice.shuffle(credits_)
            half = len(credits_) // 2
            credited(credits_[:half])
            for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(moved)], strict=True):
                if shuffled:
                    take(statement(moved[start:end]))
            take(statement(moved))
            credited(credits_[half:])
            results.append(reconciliation.match(DAY))
            undone.rollback()
    assert results[0].differences == results[1].differences
    assert results[0].totals["shortcodes"] == results[1].totals["shortcodes"]
    differ = sum(one.cents for one in stated) - sum(one.cents for one in ours)
    assert sum(each.amount_cents for each in results[0].differences) == differ


@given(which=st.integers(0, 4), cents=st.sampled_from([-100, 100, 1]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_planted_shilling_is_found(books: World, which: int, cents: int) -> None:
    with db.session.begin_nested() as undone:
        credited(PAID)
        wrong = PAID[which]._replace(cents=PAID[which].cents + cents)
        take(statement([wrong if n == which else moved for n, moved in enumerate(PAID)]))
        assert found() == {("amount_differs", wrong.receipt): cents}
        undone.rollback()


def test_rows_are_never_edited(books: World) -> None:
    take(statement(PAID))
    for change in ("UPDATE statement_row SET amount_cents = 1", "DELETE FROM statement_row"):
        with pytest.raises(Exception, match="permission denied"), savepoint():
            db.session.execute(text(change))
    assert db.session.query(StatementRow).count() == 5
    assert ledger.audit() == []
    assert the_account().created_at < MIDNIGHT
