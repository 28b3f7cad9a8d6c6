"""The crash points of money-and-reliability 3.3 that are no kill: what comes twice, late, in another order or with
another amount; a clock that is wrong; and a host that is lost with all that it had not backed up."""

from __future__ import annotations

import datetime as time_of_day
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tenants import checkout, ledger, subscribers
from tests.access import test_accounting as accounting
from tests.access.conftest import Scene
from tests.payments import test_by_hand as by_hand
from tests.payments import test_callbacks as callbacks
from tests.payments import test_purchase as purchases
from tests.radius import test_access as radius
from tests.radius.conftest import Wire
from tests.shop import PHONE, Shop
from wavu import clock
from wavu.db import transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope

MSISDN, STRANGER = by_hand.MSISDN, by_hand.STRANGER


def _number(shop: Shop, nonce: str) -> str:
    """The account number of one purchase."""
    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction():
        bought = checkout.find_purchase(nonce)
        return subscribers.number_for(bought.subscriber_id, bought.id)


def _wallet(shop: Shop, tenant_id: UUID) -> int:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        return ledger.balance(ledger.wallet(subscribers.by_phone(Phone.parse(PHONE)).id))


def _pay(shop: Shop, amount: int, account: str) -> None:
    shop.sim.pay(STRANGER, "600100", amount, account)
    assert shop.sim.wait_idle()
    shop.work("settle_report")


def _type_pin(shop: Shop) -> None:
    shop.sim.answer(MSISDN, "pin")
    assert shop.sim.wait_idle()
    shop.work("settle_callback")


def _books(shop: Shop) -> list[Any]:
    """All that money is: receipts, postings and entitlements."""
    return [
        shop.rows(f"SELECT * FROM {table} ORDER BY id")
        for table in ("provider_receipt", "ledger_transaction", "ledger_entry", "entitlement", "suspense_item")
    ]


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(purchases.test_late_success_wins_over_an_earlier_no, id="cp15.no_then_yes"),
        pytest.param(callbacks.test_a_no_after_a_yes_changes_nothing, id="cp15.yes_then_no"),
        pytest.param(purchases.test_a_silent_callback_is_chased_and_its_receipt_still_counts, id="cp15.query_first"),
        pytest.param(purchases.test_the_callback_may_come_before_the_answer_to_our_request, id="cp15.callback_first"),
    ],
)
def test_witnesses_in_another_order(shop: Shop, scenario: Any) -> None:
    scenario(shop)


@pytest.mark.parametrize("which", ["a", "b"], ids="cp15.c2b_first.{}".format)
def test_the_confirmation_before_the_callback(hand: Shop, which: str) -> None:
    by_hand.test_one_prompt_told_of_by_three_is_credited_once(hand, which, ("c2b", "stk", "pull"))


@pytest.mark.parametrize("which", ["a", "b"], ids="cp16.{}".format)
def test_a_replay_days_later_changes_nothing(hand: Shop, which: str) -> None:
    isp = getattr(hand.world, which)
    hand.buy(isp.id)
    hand.work("send_stk")
    _type_pin(hand)
    hand.work()
    by_hand._two_minutes_later(hand)
    before = _books(hand)
    assert len(before[0]) == 1
    for days in (1, 3, 9):
        hand.later(days * 86_400)
        (attempt,) = hand.sim.attempts()
        hand.sim.resend(attempt.checkout_request_id)
        # Spaces make another body of it: it is not the same bytes that save us.
        hand.admin.execute("UPDATE inbound_event SET body_digest = sha256(id::text::bytea)")
        assert hand.sim.wait_idle()
        hand.work()
    assert hand.rows("SELECT count(*) FROM inbound_event WHERE outcome IN ('duplicate', 'settled')")[0][0] >= 4
    assert _books(hand) == before
    by_hand._everything_arrived(hand)


@pytest.mark.parametrize("first", ["stk", "hand"], ids="cp17.{}_first".format)
def test_who_pays_twice_has_the_second_in_the_wallet(hand: Shop, first: str) -> None:
    nonce = hand.buy(hand.world.a.id)
    hand.work("send_stk")
    number = _number(hand, nonce)
    for way in (first, {"stk": "hand", "hand": "stk"}[first]):
        if way == "stk":
            _type_pin(hand)
        else:
            _pay(hand, 10, number)
        assert hand.progress(hand.world.a.id, nonce).state == "paid"
    hand.work()
    assert _wallet(hand, hand.world.a.id) == 1000
    assert hand.rows("SELECT count(*), count(DISTINCT receipt) FROM provider_receipt") == [(2, 2)]
    by_hand._everything_arrived(hand)


@pytest.mark.parametrize("names", ["purchase", "prompt"])
@pytest.mark.parametrize(
    ("amounts", "left"),
    [pytest.param([4, 6], 0, id="cp18.under"), pytest.param([15], 500, id="cp18.over"),
     pytest.param([4, 9], 300, id="cp18.both")],
)  # fmt: skip
def test_too_little_or_too_much_by_hand(hand: Shop, names: str, amounts: list[int], left: int) -> None:
    """The wallet holds it, the attempt stays open to its own success, and the purchase is made once it is enough."""
    nonce = hand.buy(hand.world.a.id)
    hand.work("send_stk")
    account = _number(hand, nonce) if names == "purchase" else hand.intents("reference")[0]
    paid = 0
    for amount in amounts:
        _pay(hand, amount, account)
        paid += amount
        bought = paid >= 10
        assert _wallet(hand, hand.world.a.id) == paid * 100 - 1000 * bought
        assert hand.rows("SELECT state FROM purchase") == [("bought" if bought else "open",)]
    assert hand.progress(hand.world.a.id, nonce).state == "paid"
    _type_pin(hand)
    hand.work()
    assert _wallet(hand, hand.world.a.id) == left + 1000, "the prompt was paid as well"
    by_hand._everything_arrived(hand)


def test_cp20_a_lost_accept_is_sent_again_byte_for_byte(wire: Wire) -> None:
    radius.test_a_lost_accept_is_sent_again_byte_for_byte(wire)


@pytest.mark.parametrize("with_class", [True, False], ids=["cp21.with_class", "cp21.without"])
def test_accounting_in_every_order_and_twice(scene: Scene, with_class: bool) -> None:
    accounting.test_every_order_and_every_copy_ends_alike(scene, with_class)


# Half a minute more than the five in which a Till's payment may follow its attempt: not on the edge of that.
@pytest.mark.parametrize("skew", [-330, 330], ids=["cp24.before", "cp24.after"])
@pytest.mark.parametrize("lost", [False, True], ids=["told", "lost"])
def test_a_clock_five_minutes_wrong(hand: Shop, monkeypatch: pytest.MonkeyPatch, skew: int, lost: bool) -> None:
    """Ours against the database's and M-Pesa's: what was paid is credited once, and is an hour."""

    class Skewed(time_of_day.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return time_of_day.datetime.now(tz) + timedelta(seconds=skew)

    monkeypatch.setattr(clock, "datetime", Skewed)
    hand.sim.set_knobs({"callback.drop": 1 if lost else 0})
    nonces = {isp.id: hand.buy(isp.id, phone) for isp, phone in ((hand.world.a, PHONE), (hand.world.b, "0733000222"))}
    hand.work("send_stk")
    for attempt in hand.sim.attempts():
        hand.sim.answer(attempt.checkout_request_id, "pin")
    assert hand.sim.wait_idle()
    if lost:
        _later(hand, 21 + abs(skew))
        hand.work("query_stk")
        assert hand.intents() == ["paid_no_receipt"] * 2
        by_hand._pull(hand)
    hand.work()
    by_hand._two_minutes_later(hand)
    hand.work()
    assert {hand.progress(isp, nonce).state for isp, nonce in nonces.items()} == {"paid"}
    # A Till's payment names no attempt, and without its callback only its time could: then it lies in suspense.
    states = {hand.world.a.id: "succeeded", hand.world.b.id: "paid_no_receipt" if lost else "succeeded"}
    assert dict(hand.rows("SELECT tenant_id, state FROM payment_intent")) == states
    assert by_hand._balances(hand, hand.world.b.id, "0733000222") == (0, 1000 if lost else 0)
    lengths = "SELECT DISTINCT extract(epoch FROM ends_at - starts_at)::int FROM entitlement"
    assert hand.rows(lengths) == [(3600,)]
    by_hand._everything_arrived(hand)


def _later(shop: Shop, seconds: int) -> None:
    """Makes time pass as Shop.later() does, and leaves M-Pesa's clock where it is: what was paid is older instead."""
    shop.later(seconds)
    with shop.sim.world.lock:
        for line in shop.sim.book():
            line.paid_at -= seconds
