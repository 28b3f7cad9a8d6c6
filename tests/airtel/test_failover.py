"""Several gateways at once: which of them asks a phone, what the portal says of one that is down, how it recovers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants import checkout, mpesa
from tenants.payments import failover, gateways
from tests.airtel.conftest import MSISDN, SAFARICOM, Counter
from tests.browser_client import Browser
from tests.shop import Shop
from wavu.db import transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope
from wavu.web.security import flood, limiter

BOTH = ("mpesa", "airtel")


@pytest.fixture(autouse=True)
def _no_limits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many customers share one address here."""
    monkeypatch.setattr(limiter, "enabled", False)
    monkeypatch.setattr(flood, "limits", {})


@pytest.mark.parametrize(
    ("number", "operator"),
    [
        ("0733123456", "airtel"), ("0750123456", "airtel"), ("0756123456", "airtel"), ("0785123456", "airtel"),
        ("0100123456", "airtel"), ("0102123456", "airtel"), ("0712345678", "safaricom"), ("0722345678", "safaricom"),
        ("0745345678", "safaricom"), ("0757345678", "safaricom"), ("0790345678", "safaricom"),
        ("0110345678", "safaricom"), ("0768345678", "safaricom"), ("0770345678", None), ("0763345678", None),
    ],
)  # fmt: skip
def test_whose_range_a_number_is_in(number: str, operator: str | None) -> None:
    assert Phone.parse(number).operator == operator


@pytest.mark.parametrize(
    ("number", "wish", "offered", "down", "chosen"),
    [
        ("0733123456", None, BOTH, (), "airtel"),
        ("0712345678", None, BOTH, (), "mpesa"),
        ("0733123456", "mpesa", BOTH, (), "mpesa"),
        ("0712345678", "airtel", BOTH, (), "airtel"),
        ("0712345678", None, BOTH, ("mpesa",), "mpesa"),
        ("0733123456", None, BOTH, ("airtel",), "airtel"),
        ("0770345678", None, BOTH, (), "mpesa"),
        ("0770345678", None, BOTH, ("mpesa",), "airtel"),
        ("0770345678", None, BOTH, BOTH, "mpesa"),
        ("0733123456", None, ("mpesa",), (), "mpesa"),
        ("0733123456", "airtel", ("mpesa",), (), "mpesa"),
        ("0712345678", None, ("airtel",), (), "airtel"),
        ("0712345678", None, (), (), None),
    ],
)
def test_which_gateway_asks(
    number: str, wish: str | None, offered: tuple[str, ...], down: tuple[str, ...], chosen: str | None
) -> None:
    assert failover.choose(Phone.parse(number), wish, offered, down) == chosen


def test_when_a_gateway_is_down() -> None:
    no, yes = False, True
    assert not failover.is_down([])
    assert not failover.is_down([no] * 4), "too few to say"
    assert failover.is_down([no] * 5)
    assert failover.is_down([no, no, no, no, yes])
    assert not failover.is_down([no, no, no, yes, yes]), "two of five are enough"
    assert failover.is_down([yes, *[no] * 9]), "one probe may be luck"
    assert not failover.is_down([yes, yes, *[no] * 8]), "two in a row are not"
    assert failover.is_down([no] * 10 + [yes] * 90), "only the latest count"


@given(st.lists(st.booleans(), max_size=30))
def test_all_paid_is_never_down_and_none_paid_is_once_there_are_enough(paid: list[bool]) -> None:
    seen = paid[: failover.LATEST]
    if all(seen):
        assert not failover.is_down(paid)
    if not any(seen) and len(seen) >= failover.AT_LEAST:
        assert failover.is_down(paid)


def _portal(counter: Counter, browser: Browser, path: str = "/") -> str:
    gateways.forget()
    browser.get(counter.shop.world.a.host, path)
    return browser.text


def _press(counter: Counter, browser: Browser, phone: str, via: str = "") -> str:
    """On the portal of A; returns the purchase's nonce."""
    (form,) = browser.page.select("form[data-pay]")
    fields = {str(each["name"]): str(each.get("value", "")) for each in form.select("input[type=hidden]")}
    package = str(form.select_one("input[name=package]")["value"])  # type: ignore[index]
    answer = browser.post(
        counter.shop.world.a.host, str(form["action"]), fields | {"package": package, "phone": phone, "via": via}
    )
    found = re.fullmatch(r"/w/([0-9a-f]{32}).*", answer.location or "")
    assert found, answer.location
    return found[1]


def _fail_m_pesa(counter: Counter, times: int = 6) -> None:
    """Attempts of our own that M-Pesa never answers."""
    counter.shop.sim.set_knobs({"gateway.fault": "internal_error"})
    for number in range(times):
        counter.asks(phone=f"07120000{number:02}")
    counter.shop.admin.execute("UPDATE payment_intent SET created_at = created_at - interval '2 minutes',"
                               " submitted_at = submitted_at - interval '2 minutes'")  # fmt: skip


def test_the_portal_asks_by_the_number_and_lets_the_customer_switch(counter: Counter) -> None:
    browser = Browser(counter.shop.app)
    text = _portal(counter, browser)
    assert "Automatic" in text
    assert [each["value"] for each in browser.page.select("input[name=via]")] == ["", "mpesa", "airtel"]
    _press(counter, browser, "0733123456")
    _portal(counter, browser)
    _press(counter, browser, "0733999999", via="mpesa")
    _portal(counter, browser)
    _press(counter, browser, "0712345678")
    assert [row for (row,) in counter.shop.rows("SELECT provider FROM payment_intent ORDER BY id")] == [
        "airtel", "mpesa", "mpesa",
    ]  # fmt: skip


def test_an_isp_with_one_gateway_shows_no_choice(counter: Counter) -> None:
    counter.shop.admin.execute("UPDATE airtel_account SET state = 'off'")
    browser = Browser(counter.shop.app)
    assert "Automatic" not in _portal(counter, browser)
    assert not browser.page.select("input[name=via]")


def test_m_pesa_down_is_said_with_the_other_way_and_the_paybill_and_recovers(counter: Counter) -> None:
    browser = Browser(counter.shop.app)
    assert "not answering" not in _portal(counter, browser)
    _fail_m_pesa(counter)
    text = _portal(counter, browser)
    assert "M-Pesa is not answering at this moment. You can pay with Airtel Money instead." in text
    # B, with no attempts of its own, sees nothing of it.
    browser.get(counter.shop.world.b.host)
    assert "not answering" not in browser.text
    _portal(counter, browser)
    nonce = _press(counter, browser, SAFARICOM)
    counter.shop.work("send_stk")
    counter.shop.later(100)
    text = _portal(counter, browser, f"/w/{nonce}")
    ((number,),) = counter.shop.rows(
        "SELECT n.number FROM account_number n JOIN purchase p ON p.id = n.purchase_id WHERE p.nonce = %s", nonce
    )
    assert "PayBill number 600100" in text
    assert number in text
    assert _portal(counter, browser, f"/w/{nonce}").count(number) == 1, "the same number again"
    # Paid by hand to that number, it is this purchase that is bought.
    counter.shop.sim.set_knobs({"gateway.fault": "none"})
    with counter.shop.app.app_context(), tenant_scope(counter.a), transaction():
        mpesa.ask_to_register(mpesa.active_account())
    counter.shop.work("register_hooks")
    counter.shop.sim.pay("254712345678", "600100", 10, number)
    counter.shop.sim.wait_idle()
    counter.shop.work()
    assert counter.state(nonce)[0] == "paid"
    # Two probes that are paid, and the banner is gone.
    counter.shop.later(130)
    for phone in ("0712000050", "0712000051"):
        counter.shop.sim.script(f"254{phone[1:]}", "pay")
        counter.asks(phone=phone)
    counter.shop.sim.advance(5)
    counter.shop.work()
    assert "not answering" not in _portal(counter, browser)
    counter.check_books()


def test_who_turns_to_the_other_gateway_is_not_asked_by_the_first_too(counter: Counter) -> None:
    """The first prompt has not gone out yet."""
    browser = Browser(counter.shop.app)
    _portal(counter, browser)
    nonce = _press(counter, browser, SAFARICOM)
    with counter.shop.app.app_context(), tenant_scope(counter.a), transaction():
        checkout.try_again(checkout.find_purchase(nonce), Phone.parse("0733123456"), "airtel")
    counter.shop.work("send_stk")
    assert counter.shop.sim.prompts() == []
    assert counter.shop.rows("SELECT provider, state, code FROM payment_intent ORDER BY id") == [
        ("mpesa", "failed", "replaced"), ("airtel", "pending", None),
    ]  # fmt: skip


def test_it_recovers_by_itself_when_nobody_tries(counter: Counter) -> None:
    _fail_m_pesa(counter)
    browser = Browser(counter.shop.app)
    assert "M-Pesa is not answering" in _portal(counter, browser)
    counter.shop.later(16 * 60)
    assert "M-Pesa is not answering" not in _portal(counter, browser)


def test_customers_who_decline_say_nothing_of_the_gateway(counter: Counter) -> None:
    for number in range(6):
        phone = f"7331110{number:02}"
        counter.airtel.script(phone, "wrong_pin")
        counter.asks(phone=f"0{phone}")
    counter.settles()
    counter.shop.later(95)
    assert "not answering" not in _portal(counter, Browser(counter.shop.app))


def test_from_the_page_that_failed_the_other_gateway_is_a_tap_away(counter: Counter) -> None:
    browser = Browser(counter.shop.app)
    _portal(counter, browser)
    counter.shop.sim.script("254712345678", "cancel")
    nonce = _press(counter, browser, SAFARICOM)
    counter.shop.work("send_stk")
    counter.shop.sim.advance(5)
    counter.shop.work()
    text = _portal(counter, browser, f"/w/{nonce}")
    assert "Pay with Airtel Money instead" in text
    assert "Pay from your M-Pesa menu" not in text, "M-Pesa works"
    host = counter.shop.world.a.host
    refused = browser.post(host, f"/w/{nonce}/again", {"via": "airtel", "phone": "12"})
    assert refused.status_code == 422
    assert "That is not a phone number" in browser.text
    assert browser.post(host, f"/w/{nonce}/again", {"via": "airtel", "phone": "0733 123 456"}).status_code == 303
    counter.airtel.script(MSISDN, "pay")
    counter.shop.work("send_stk")
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    assert counter.shop.intents() == ["failed", "succeeded"]
    assert "Airtel Money code" in _portal(counter, browser, f"/w/{nonce}")
    counter.check_books()


def test_paid_at_both_is_credited_at_both_and_bought_once(counter: Counter) -> None:
    """M-Pesa was unknown, the customer paid with Airtel, and M-Pesa's callback comes after all."""
    browser = Browser(counter.shop.app)
    _portal(counter, browser)
    nonce = _press(counter, browser, SAFARICOM)
    counter.shop.work("send_stk")
    browser.post(counter.shop.world.a.host, f"/w/{nonce}/again", {"via": "airtel", "phone": "0733123456"})
    counter.airtel.script(MSISDN, "pay")
    counter.shop.work("send_stk")
    counter.settles()
    counter.shop.sim.answer("254712345678", "pin")
    counter.shop.sim.wait_idle()
    counter.shop.work()
    assert counter.shop.intents() == ["succeeded", "succeeded"]
    assert counter.shop.progress(counter.a, nonce).spare_cents == 1000, "the second stays the customer's"
    assert counter.shop.rows("SELECT count(*) FROM entitlement") == [(1,)]
    counter.check_books()
