"""What the gate means for payments: a flood is spread, a firewall's ban stops calls and never money."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tenants.mpesa.egress import Gate
from tests.browser_client import Browser
from tests.shop import PHONE, Shop
from wavu import clock

AHEAD = 120


@pytest.fixture
def paced(shop: Shop) -> Shop:
    """A shop whose gate has the pace of production."""
    slow = {"daraja_stk_per_second": 5.0, "daraja_queries_per_second": 1.0, "daraja_calls_per_second": 20.0}
    shop.app.extensions["daraja_gate"] = Gate(shop.settings.model_copy(update=slow))
    return shop


@pytest.fixture
def now() -> Iterator[datetime]:
    """The clock stands still, so that no bucket fills while a slow machine works; and somewhat ahead of PostgreSQL's,
    so that what is put off is not due at once."""
    instant = datetime.now(UTC) + timedelta(seconds=AHEAD)
    with clock.fixed(instant):
        yield instant


def _bring_forward(shop: Shop, which: str) -> None:
    """What is due within two seconds of the standing clock is due by PostgreSQL's."""
    moved = f"UPDATE outbox SET run_at = run_at - make_interval(secs => %s) WHERE {which}"
    shop.admin.execute(moved.encode(), (AHEAD + 2,))


def _pushed(shop: Shop) -> int:
    return len(shop.sim.prompts())


def test_a_flood_is_spread_and_what_cannot_go_in_its_minute_is_told_at_once(paced: Shop, now: datetime) -> None:
    shop = paced
    shop.sim.set_knobs({"stk.repeat_window": 0})
    for number in range(240):
        shop.buy(shop.world.a.id, f"0712{number:06}")
    shop.buy(shop.world.b.id, "0799000001")
    shop.admin.execute("UPDATE payment_intent SET created_at = %s - interval '30 s'", (now,))
    assert shop.work("send_stk") < 241, "none waited in a thread, and many were turned away together"
    assert _pushed(shop) == 6, "the burst of A's app, and B's customer"
    states = shop.rows("SELECT state, code, count(*) FROM payment_intent GROUP BY 1, 2 ORDER BY 1, 2")
    assert [row for row in states if row[0] != "created"] == [("failed", "busy", states[1][2]), ("pending", None, 6)]
    assert 25 <= states[1][2] <= 90, "beyond what is left of their minute, at 5 a second"
    (waits,) = shop.rows(
        "SELECT array_agg(round(extract(epoch FROM run_at - %s)::numeric, 1) ORDER BY run_at) FROM outbox"
        " WHERE state = 'ready' AND job = 'send_stk'", now,
    )  # fmt: skip
    assert [float(wait) for wait in waits[0][:5]] == [0.2, 0.4, 0.6, 0.8, 1.0]

    shop.admin.execute(
        "UPDATE outbox SET run_at = run_at - make_interval(secs => %s) WHERE job = 'send_stk'", (AHEAD + 2,)
    )
    with clock.fixed(now + timedelta(seconds=2)):
        shop.work("send_stk")
    assert _pushed(shop) == 6 + 5, "ten come two seconds later, all at once: still no more than a burst goes out"


def test_a_question_that_is_kept_back_is_asked_at_its_moment(paced: Shop, now: datetime) -> None:
    shop = paced
    shop.sim.set_knobs({"callback.drop": 1})
    for number in range(2):
        shop.buy(shop.world.a.id, f"071234567{number}")
    shop.work("send_stk")
    for prompt in shop.sim.prompts():
        shop.sim.answer(prompt.checkout_request_id, "pin")
    shop.later(AHEAD + 25)
    with clock.fixed(now):
        shop.work("query_stk")
    assert sorted(shop.intents()) == ["paid_no_receipt", "pending"]
    shop.admin.execute(
        "UPDATE outbox SET run_at = run_at - make_interval(secs => %s) WHERE payload ? 'in_line'", (AHEAD + 2,)
    )
    with clock.fixed(now + timedelta(seconds=2)):
        shop.work("query_stk")
    assert shop.intents() == ["paid_no_receipt"] * 2


def test_a_ban_of_the_firewall_stops_calls_and_never_money(paced: Shop, now: datetime) -> None:
    shop, isp = paced, paced.world.a
    shop.buy(isp.id, PHONE)
    shop.work("send_stk")
    assert _home(shop).count("M-Pesa is not answering") == 0

    shop.sim.set_knobs({"gateway.fault": "html_403"})
    shop.buy(isp.id, "0712000001")
    shop.work("send_stk")
    assert shop.intents() == ["pending", "unknown"], "who was answered by a page cannot know whether it went out"
    with clock.fixed(now + timedelta(seconds=3)):
        assert "M-Pesa is not answering at this moment" in _home(shop)
        assert "PayBill 600100" in _home(shop)
    asked = len(shop.sim.journal.lines)
    nonce = shop.buy(shop.world.b.id, "0712000002")
    shop.work("send_stk", "query_stk")
    assert len(shop.sim.journal.lines) == asked, "nothing was sent, not for another ISP either"
    assert shop.progress(shop.world.b.id, nonce).state == "held", "it may yet go out within its minute"

    shop.sim.answer(shop.sim.prompts()[0].checkout_request_id, "pin")
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    assert shop.intents()[0] == "succeeded", "what was paid before settles meanwhile"

    with clock.fixed(now + timedelta(seconds=61)):
        shop.buy(isp.id, "0712000003")
        shop.work("send_stk")
        assert shop.intents()[-1] == "unknown", "the probe met the ban again"
        nonce = shop.buy(shop.world.b.id, "0712000009")
        shop.work("send_stk")
        told = shop.progress(shop.world.b.id, nonce)
        assert (told.state, told.code, told.retry_in_seconds) == ("failed", "down", 0), "it cannot, and is told so"
    shop.sim.reset_knobs()
    with clock.fixed(now + timedelta(seconds=100)):
        assert "M-Pesa is not answering" in _home(shop), "now it rests for two minutes"
    with clock.fixed(now + timedelta(seconds=200)):
        assert "M-Pesa is not answering" not in _home(shop)
        for number in (4, 5):
            shop.buy(isp.id, f"071200000{number}")
            shop.work("send_stk")
    assert shop.intents()[-2:] == ["pending", "pending"]
    shop.check_books()


@pytest.mark.parametrize("fault", ["spike_429", "busy", "maintenance", "internal_error", "soap_fault", "empty_400"])
def test_what_is_no_ban_does_not_stop_the_others(paced: Shop, now: datetime, fault: str) -> None:
    shop = paced
    shop.sim.set_knobs({"gateway.fault": fault})
    for number in range(3):
        shop.buy(shop.world.a.id, f"071200000{number}")
    shop.work("send_stk")
    shop.sim.reset_knobs()
    shop.buy(shop.world.b.id, PHONE)
    shop.work("send_stk")
    assert shop.intents()[-1] == "pending"


def _home(shop: Shop) -> str:
    browser = Browser(shop.app)
    browser.get("isp-a.wavu.test", "/")
    return browser.text
