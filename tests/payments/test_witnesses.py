"""Whoever tells of a payment, in whatever order and however often: each shilling is credited once and buys once.

Each example is a story of some minutes in one transaction that is undone: attempts that were paid or not, payments by
hand, and what callbacks, confirmations, Pull and the chaser's questions say of them, shuffled and repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from tenants import checkout, ledger, mpesa, subscribers
from tenants.access import Entitlement
from tenants.payments import inbox, receipts, settle
from tenants.payments.models import PaymentIntent, ProviderReceipt
from tests.shop import open_account
from tests.world import World
from wavu import clock, ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope

PRICE = 1_000
HERE = "127.0.0.1"
RECEIPTS = ["TKU0000AA1", "TKU0000AA2", "TKU0000AA3", "TKU0000AA4"]


class Payment(NamedTuple):
    """One that M-Pesa took: for an attempt (its number), or by hand to the account of a customer, or to none."""

    attempt: int | None
    cents: int
    named: bool = True


class Telling(NamedTuple):
    """`how` a payment is told of: callback, confirmation, pull or query; or a no about an attempt."""

    how: str
    about: int


class Story(NamedTuple):
    attempts: int
    payments: list[Payment]
    told: list[Telling]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    attempts = draw(st.integers(1, 3))
    paid = draw(st.lists(st.integers(0, attempts - 1), unique=True, max_size=2))
    by_hand = st.builds(Payment, st.none(), st.sampled_from([500, PRICE, 2_500]), st.booleans())
    made = [Payment(attempt, PRICE) for attempt in paid] + draw(st.lists(by_hand, max_size=2))
    told: list[Telling] = []
    for number, payment in enumerate(made):
        ways = ["confirmation", "pull"] if payment.attempt is None else ["callback", "confirmation", "pull", "query"]
        said = draw(st.lists(st.sampled_from(ways), min_size=1, max_size=5))
        # What only says that it was paid needs somebody who knows the receipt.
        told += [Telling(way, number) for way in ([*said, "pull"] if set(said) == {"query"} else said)]
    noes = draw(st.lists(st.integers(0, attempts - 1), max_size=3))
    told += [Telling(draw(st.sampled_from(["no", "forged"])), attempt) for attempt in noes]
    return Story(attempts, made, draw(st.permutations(told)))


class Till(NamedTuple):
    """A's counter: its account, and the attempts that went out."""

    account_id: UUID
    intents: list[UUID]
    number: str

    def tell(self, story: Story, telling: Telling, copy: int) -> None:
        """Delivers one message. A `copy` differs in a field that nobody looks at, so that it is stored again."""
        if telling.how in {"no", "forged"}:
            return self._answer(telling.about, self._body(telling.about, telling.how, None, copy))
        payment, receipt = story.payments[telling.about], RECEIPTS[telling.about]
        if telling.how == "callback":
            assert payment.attempt is not None
            return self._answer(payment.attempt, self._body(payment.attempt, "paid", receipt, copy))
        if telling.how == "query":
            assert payment.attempt is not None
            return checkout.settle_query(self.intents[payment.attempt])
        return self._report(telling.how, payment, receipt, copy)

    def _body(self, attempt: int, what: str, receipt: str | None, copy: int) -> bytes:
        checkout_id = f"ws_CO_{attempt}" if what != "forged" else "ws_CO_of_another"
        said: dict[str, Any] = {"CheckoutRequestID": checkout_id, "ResultCode": 1032 if what == "no" else 0, "n": copy}
        if what != "no":
            items = {"Amount": PRICE // 100, "MpesaReceiptNumber": receipt or "TKU0FORGED"}
            said["CallbackMetadata"] = {"Item": [{"Name": name, "Value": value} for name, value in items.items()]}
        return json.dumps({"Body": {"stkCallback": said}}).encode()

    def _answer(self, attempt: int, body: bytes) -> None:
        event_id = inbox.store("stk", body, HERE, intent_id=self.intents[attempt])
        if event_id is not None:
            checkout.settle_callback(event_id)

    def _report(self, how: str, payment: Payment, receipt: str, copy: int) -> None:
        if payment.attempt is not None:
            reference = _intent(self.intents[payment.attempt]).reference
        else:
            reference = self.number if payment.named else "nobody"
        amount, paid_at = f"{payment.cents / 100:.2f}", clock.now()
        if how == "pull":
            said = {"transactionId": receipt, "amount": amount, "billreference": reference, "n": copy,
                    "trxDate": paid_at.isoformat()}  # fmt: skip
        else:
            nairobi = f"{paid_at + timedelta(hours=3):%Y%m%d%H%M%S}"
            said = {"TransID": receipt, "TransAmount": amount, "BillRefNumber": reference, "n": copy,
                    "BusinessShortCode": "600100", "TransTime": nairobi}  # fmt: skip
        body = json.dumps(said).encode()
        event_id = inbox.store("pull" if how == "pull" else "c2b", body, HERE, mpesa_account_id=self.account_id)
        if event_id is not None:
            checkout.settle_report(event_id)


def _intent(intent_id: UUID) -> PaymentIntent:
    return db.session.scalars(select(PaymentIntent).where(PaymentIntent.id == intent_id)).one()


class _Undone(Exception):
    pass


@contextmanager
def _counter(world: World, story: Story) -> Iterator[Till]:
    """Opens for one story, and nothing of it stays."""
    with pytest.raises(_Undone), tenant_scope(world.a.id), transaction():
        package_id = open_account(world, world.a.id)
        account = mpesa.active_account()
        intents = []
        for n in range(story.attempts):
            checkout.begin(
                nonce=ids.new_token()[:32], package_id=package_id, phone=Phone.parse(f"071234567{n}"),
                mac=f"02AABBCCDD0{n}", router_id=None, login_url=None, original_url=None,
            )  # fmt: skip
            intent = db.session.scalars(select(PaymentIntent).order_by(PaymentIntent.id.desc()).limit(1)).one()
            intent.state, intent.submitted_at, intent.checkout_request_id = "pending", clock.now(), f"ws_CO_{n}"
            intents.append(intent.id)
        db.session.flush()
        walker = subscribers.by_phone(Phone.parse("0733000111")).id
        yield Till(account.id, intents, subscribers.number_for(walker))
        raise _Undone


def _holds(world: World, story: Story) -> None:
    """What is asked of every story, whoever told it in whatever order."""
    with _counter(world, story) as till:
        for copy, telling in enumerate(story.told):
            till.tell(story, telling, copy)
            db.session.flush()
        db.session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        assert ledger.audit() == []
        credited = db.session.execute(select(ProviderReceipt.receipt, ProviderReceipt.amount_cents)).all()
        told_of = {telling.about for telling in story.told if telling.how not in {"no", "forged", "query"}}
        assert sorted(tuple(row) for row in credited) == sorted(
            (RECEIPTS[number], payment.cents) for number, payment in enumerate(story.payments) if number in told_of
        )
        arrived = sum(payment.cents for payment in story.payments)
        assert ledger.balance(ledger.mpesa(mpesa.active_account().shortcode_group)) == -arrived
        paid_for = {payment.attempt for payment in story.payments if payment.attempt is not None}
        for number, intent_id in enumerate(till.intents):
            intent = _intent(intent_id)
            count = select(func.count()).where(Entitlement.purchase_id == intent.purchase_id)
            assert db.session.scalar(count) == (number in paid_for)
            assert (intent.state == "succeeded") == (number in paid_for)
        by_hand = [payment for payment in story.payments if payment.attempt is None]
        walker = subscribers.by_phone(Phone.parse("0733000111")).id
        assert ledger.balance(ledger.wallet(walker)) == sum(each.cents for each in by_hand if each.named)
        assert ledger.balance(ledger.SUSPENSE) == sum(each.cents for each in by_hand if not each.named)


# The stories of a run are always the same ones; a story that fails is told as short as it can be.
_STORIES = settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def test_any_order_and_any_number_of_witnesses_come_to_the_same(world: World) -> None:
    @_STORIES
    @given(stories())
    def check(story: Story) -> None:
        _holds(world, story)

    check()


def _credit_each_source(right: Callable[..., bool]) -> Callable[..., bool]:
    """A receipt counts as another one where another source tells of it."""

    def credit(account: Any, report: Any, **owner: Any) -> bool:
        return right(account, report._replace(receipt=f"{report.receipt[:9]}{report.source[0].upper()}"), **owner)

    return credit


def _last_word_wins(right: Callable[..., str]) -> Callable[..., str]:
    """A no takes back what was paid."""

    def failure(intent: PaymentIntent, code: str, meaning: Any, **trust: bool) -> str:
        if intent.state == "succeeded":
            intent.state, intent.receipt = "failed", None
        return right(intent, code, meaning, **trust)

    return failure


def _whoever_says_so(_: Callable[..., bool]) -> Callable[..., bool]:
    """A callback is believed about whichever push it speaks of."""
    return lambda intent, said: False


def _by_its_amount(_: Callable[..., Any]) -> Callable[..., PaymentIntent | None]:
    """A payment is that of an attempt for as much, whatever reference it carries."""

    def named(account: Any, report: Any) -> PaymentIntent | None:
        alike = select(PaymentIntent).where(PaymentIntent.amount_cents == report.amount_cents)
        return db.session.scalars(alike.order_by(PaymentIntent.id).limit(1)).first()

    return named


MUTANTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a receipt is credited for each of its sources": (receipts, "credit", _credit_each_source),
    "a late no takes a success back": (settle, "_failure", _last_word_wins),
    "a callback of another push is believed": (settle, "_is_of_another", _whoever_says_so),
    "a payment is matched by its amount": (settle, "_named", _by_its_amount),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_property_notices(world: World, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    module, name, made = MUTANTS[mutant]
    monkeypatch.setattr(module, name, made(getattr(module, name)))

    @settings(_STORIES, phases=[Phase.generate], report_multiple_bugs=False)
    @given(stories())
    def check(story: Story) -> None:
        _holds(world, story)

    # The database itself refuses one of them.
    with pytest.raises((AssertionError, IntegrityError)):
        check()
