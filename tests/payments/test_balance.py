"""Money that no purchase took: who sees it, what it buys, and what it never buys."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tenants import checkout, ledger, subscribers
from tenants.access import Entitlement
from tests.payments.test_by_hand import MSISDN, hand  # noqa: F401 - a fixture
from tests.shop import PHONE, Shop
from wavu import clock, ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope


def _inside(shop: Shop, tenant_id: UUID | None = None):  # type: ignore[no-untyped-def]
    return shop.app.app_context(), tenant_scope(tenant_id or shop.world.a.id), transaction()


def _balance(shop: Shop, *nonces: str) -> int:
    app, scope, work = _inside(shop)
    with app, scope, work:
        found = checkout.holdings(None, nonces).balance
        return found.cents if found else 0


def _wallet(shop: Shop) -> int:
    app, scope, work = _inside(shop)
    with app, scope, work:
        return ledger.balance(ledger.wallet(subscribers.by_phone(Phone.parse(PHONE)).id))


def _spend(shop: Shop, *held: str, nonce: str | None = None, mac: str = "02AABBCCDD02") -> str:
    nonce = nonce or ids.new_token()[:32]
    app, scope, work = _inside(shop)
    with app, scope, work:
        checkout.begin_with_balance(
            nonce=nonce, package_id=shop.packages[shop.world.a.id], held=held, mac=mac, router_id=None,
            login_url=None, original_url=None,
        )  # fmt: skip
    return nonce


def _again(shop: Shop, nonce: str) -> None:
    app, scope, work = _inside(shop)
    with app, scope, work:
        checkout.try_again(checkout.find_purchase(nonce))


def _answer(shop: Shop) -> None:
    shop.work("send_stk")
    shop.sim.answer(MSISDN, "pin")
    assert shop.sim.wait_idle()
    shop.work("settle_callback")


def _price(shop: Shop, cents: int) -> None:
    """What the next purchase costs."""
    shop.admin.execute("UPDATE package SET price_cents = %s", (cents,))


def _paid_twice(shop: Shop) -> str:
    """Two prompts of one purchase were both answered: KES 10 bought it, and KES 10 lie in the wallet."""
    shop.sim.set_knobs({"callback.drop": 1})
    nonce = shop.buy(shop.world.a.id)
    _answer(shop)
    shop.admin.execute("UPDATE payment_intent SET state = 'unknown'")
    shop.later(125)
    _again(shop, nonce)
    shop.sim.reset_knobs()
    _answer(shop)
    for attempt in shop.sim.attempts():
        shop.sim.resend(attempt.checkout_request_id)
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    assert shop.intents() == ["succeeded", "succeeded"]
    shop.later(700)
    return nonce


def _to_number(shop: Shop, shillings: int, nonce: str | None = None) -> None:
    """The customer pays by hand: to the purchase's own account number, or to the subscriber's."""
    app, scope, work = _inside(shop)
    with app, scope, work:
        who = subscribers.by_phone(Phone.parse(PHONE)).id
        number = subscribers.number_for(who, checkout.find_purchase(nonce).id if nonce else None)
    shop.sim.pay(MSISDN, "600100", shillings, number)
    assert shop.sim.wait_idle()
    shop.work("settle_report")


def _rights(shop: Shop) -> list[Entitlement]:
    app, scope, work = _inside(shop)
    with app, scope, work:
        return list(db.session.query(Entitlement).order_by(Entitlement.starts_at, Entitlement.id))


def test_a_second_payment_is_seen_by_its_purchase_and_buys_the_next_in_one_tap(shop: Shop) -> None:
    nonce = _paid_twice(shop)
    assert shop.progress(shop.world.a.id, nonce).spare_cents == 1000
    assert _balance(shop, nonce) == 1000
    assert _balance(shop, "0" * 32) == 0, "who does not hold the purchase sees nothing"
    prompts = len(shop.sim.attempts())
    second = _spend(shop, nonce)
    assert _spend(shop, nonce, nonce=second) == second, "a second tap is the same purchase"
    shop.work()
    assert shop.progress(shop.world.a.id, second).state == "paid"
    assert len(shop.sim.attempts()) == prompts
    assert (_balance(shop, nonce), _balance(shop, second, nonce), _wallet(shop)) == (0, 0, 0)
    assert shop.progress(shop.world.a.id, nonce).spare_cents == 0
    with pytest.raises(checkout.NoBalance):
        _spend(shop, nonce)
    shop.check_books()


def test_another_tenants_names_show_nothing(shop: Shop) -> None:
    nonce = _paid_twice(shop)
    app, scope, work = _inside(shop, shop.world.b.id)
    with app, scope, work:
        assert checkout.holdings(None, [nonce]).balance is None


def test_a_part_of_the_price_asks_for_the_missing_shillings_only(shop: Shop) -> None:
    nonce = _paid_twice(shop)
    _price(shop, 2500)
    second = _spend(shop, nonce)
    assert [amount for (amount,) in shop.rows("SELECT amount_cents FROM payment_intent ORDER BY id")][-1] == 1500
    assert _balance(shop, nonce) == 0, "it has moved to the new purchase"
    assert _balance(shop, second) == 1000, "which keeps it until it is bought"
    _answer(shop)
    assert shop.progress(shop.world.a.id, second).state == "paid"
    assert (_wallet(shop), _balance(shop, nonce, second)) == (0, 0)
    shop.check_books()


def test_what_a_refused_prompt_leaves_can_be_spent_again(shop: Shop) -> None:
    nonce = _paid_twice(shop)
    _price(shop, 2500)
    second = _spend(shop, nonce)
    shop.sim.script(MSISDN, "cancel")
    shop.work("send_stk")
    shop.sim.advance(20)
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    assert shop.progress(shop.world.a.id, second).state == "failed"
    _price(shop, 1000)
    third = _spend(shop, second, nonce)
    assert shop.progress(shop.world.a.id, third).state == "paid"
    assert _wallet(shop) == 0
    shop.check_books()


def test_money_of_one_wallet_that_came_for_somebody_elses_purchase_is_not_ours(shop: Shop) -> None:
    """A friend's phone paid for both: each browser has what came for its own purchase."""
    ours = _paid_twice(shop)
    theirs = shop.buy(shop.world.a.id)
    _answer(shop)
    assert _balance(shop, theirs) == 0
    with pytest.raises(checkout.NoBalance):
        _spend(shop, theirs)
    assert (_balance(shop, ours), _wallet(shop)) == (1000, 1000)


def test_underpaid_by_hand_and_topped_up_by_prompt(hand: Shop) -> None:  # noqa: F811
    nonce = hand.buy(hand.world.a.id)
    _to_number(hand, 6, nonce)
    hand.later(80)
    progress = hand.progress(hand.world.a.id, nonce)
    assert (progress.state, progress.spare_cents, progress.missing_cents) == ("short", 600, 400)
    hand.later(60)
    _again(hand, nonce)
    _answer(hand)
    assert hand.progress(hand.world.a.id, nonce).state == "paid"
    assert _wallet(hand) == 0
    hand.check_books()


@pytest.mark.parametrize("named", [True, False])
def test_underpaid_and_topped_up_by_hand(hand: Shop, named: bool) -> None:  # noqa: F811
    nonce = hand.buy(hand.world.a.id)
    _to_number(hand, 6, nonce)
    assert _rights(hand) == []
    _to_number(hand, 5, nonce if named else None)
    progress = hand.progress(hand.world.a.id, nonce)
    assert (progress.state, _wallet(hand)) == ("paid", 100)
    assert _balance(hand, nonce) == (100 if named else 0), "what nobody said to be for it is not its browser's to spend"
    hand.check_books()


def test_what_was_left_behind_is_not_bought_by_later_money(hand: Shop) -> None:  # noqa: F811
    old = hand.buy(hand.world.a.id)
    hand.admin.execute("UPDATE purchase SET created_at = created_at - interval '31 minutes'")
    _to_number(hand, 10)
    assert (hand.progress(hand.world.a.id, old).state, _wallet(hand)) != ("paid", 0)
    assert _wallet(hand) == 1000
    hand.check_books()


def test_what_was_cancelled_on_the_phone_is_not_bought_by_other_money(hand: Shop) -> None:  # noqa: F811
    """Whoever types a stranger's number and waits for the stranger to pay gets nothing once the stranger says no."""
    hand.sim.script(MSISDN, "cancel")
    hand.buy(hand.world.a.id)
    hand.work("send_stk")
    hand.sim.advance(20)
    assert hand.sim.wait_idle()
    hand.work("settle_callback")
    _to_number(hand, 10)
    assert (_rights(hand), _wallet(hand)) == ([], 1000)


def test_of_two_choices_on_one_device_the_last_one_is_bought(hand: Shop) -> None:  # noqa: F811
    first = hand.buy(hand.world.a.id)
    hand.later(130)
    second = hand.buy(hand.world.a.id)
    _to_number(hand, 20)
    assert hand.progress(hand.world.a.id, second).state == "paid"
    assert hand.progress(hand.world.a.id, first).state != "paid"
    assert _wallet(hand) == 1000
    hand.check_books()


def test_staff_that_find_the_owner_of_money_complete_what_waits(hand: Shop) -> None:  # noqa: F811
    nonce = hand.buy(hand.world.a.id)
    hand.sim.pay(MSISDN, "600100", 10, "no such number")
    assert hand.sim.wait_idle()
    hand.work("settle_report")
    ((item,),) = hand.rows("SELECT id FROM suspense_item")
    app, scope, work = _inside(hand)
    with app, scope, work:
        checkout.match_unmatched(item, PHONE, 1000)
    assert hand.progress(hand.world.a.id, nonce).state == "paid"
    hand.check_books()


def test_the_same_device_waits_its_turn_and_another_does_not(shop: Shop) -> None:
    first = shop.buy(shop.world.a.id)
    _answer(shop)
    shop.later(130)
    second = shop.buy(shop.world.a.id)
    _answer(shop)
    a, b = _rights(shop)
    assert (b.starts_at, b.ends_at, b.follows_id) == (a.ends_at, a.ends_at + timedelta(hours=1), a.id)
    progress = shop.progress(shop.world.a.id, second)
    assert (progress.state, progress.starts_at) == ("waits", a.ends_at)
    shop.later(130)
    shop.buy(shop.world.a.id, phone="0712000001")
    shop.work("send_stk")
    shop.sim.answer("254712000001", "pin")
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    third = _rights(shop)[-1]
    assert third.follows_id == b.id, "whoever pays: it is the same device"
    app, scope, work = _inside(shop)
    with app, scope, work:
        has = checkout.holdings("02AABBCCDD01", [])
        assert [one.kind for one in has.held] == ["runs", "waits", "waits"]
        assert has.free_at == third.ends_at
        assert has.held[0].nonce == first
        assert checkout.holdings("02AABBCCDD09", []) == checkout.Holdings()
    app, scope, work = _inside(shop, shop.world.b.id)
    with app, scope, work:
        assert checkout.holdings("02AABBCCDD01", [first]) == checkout.Holdings()
    shop.check_books()


def test_a_used_up_package_holds_nothing_back(shop: Shop) -> None:
    shop.admin.execute("UPDATE package SET data_cap_bytes = 1000")
    shop.buy(shop.world.a.id)
    _answer(shop)
    shop.admin.execute("UPDATE entitlement SET used_bytes = 1000")
    shop.later(130)
    shop.buy(shop.world.a.id)
    before = clock.now()
    _answer(shop)
    second = max(_rights(shop), key=lambda right: right.starts_at)
    assert second.follows_id is None
    assert second.starts_at <= clock.now()
    assert second.starts_at >= before


def test_a_provisional_right_keeps_its_place_when_the_receipt_comes(shop: Shop) -> None:
    shop.buy(shop.world.a.id)
    _answer(shop)
    shop.later(130)
    shop.sim.set_knobs({"callback.drop": 1})
    shop.buy(shop.world.a.id)
    _answer(shop)
    shop.later(21)
    shop.work("query_stk")
    a, b = _rights(shop)
    assert (b.provisional, b.starts_at) == (True, a.ends_at)
    shop.sim.reset_knobs()
    shop.sim.resend(shop.sim.attempts()[-1].checkout_request_id)
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    a, b = _rights(shop)
    assert (b.provisional, b.starts_at, b.ends_at) == (False, a.ends_at, a.ends_at + timedelta(hours=1))
    shop.check_books()
