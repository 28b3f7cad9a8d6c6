"""A customer who closed the page and comes through the router again: what was paid or asked for is not asked anew."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tenants import access, checkout
from tests.browser_client import Browser
from tests.portal.counter import Counter, login_url
from tests.portal.customer import Customer
from wavu import clock
from wavu.db import transaction
from wavu.tenancy import tenant_scope

OTHER_MAC = "02:AB:CD:00:00:02"


def _cards(customer: Customer) -> list[tuple[str, str]]:
    """(heading, where its button leads) of each."""
    cards = customer.browser.page.select("main section.card")
    return [(card.h2.text, str(card.select_one("a.button")["href"])) for card in cards]  # type: ignore[union-attr,index]


def test_who_has_paid_sees_it_on_top_and_connects(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    for language, heading, until in (("en", "You have paid: 1 day", "Tomorrow, "), ("sw", "Umelipia: Siku 1", "Kesho")):
        page = customer.opens(isp, language)
        assert _cards(customer) == [(heading, f"/w/{nonce}?lang={language}")]
        assert until in customer.text
        assert "no-store" in page.headers["Cache-Control"]
        assert "712345678" not in page.text
    customer.looks(isp, nonce)
    assert "data-go" in str(customer.browser.page), "which hands back to the router"
    customer.opens(isp)
    second = customer.pays(isp, "0722 000 111")
    assert second.status_code == 303, "buying more remains possible"


def test_who_was_online_goes_straight_to_the_router(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    counter.online(isp, nonce)
    customer.opens(isp)
    ((_heading, url),) = _cards(customer)
    assert url == f"/w/{nonce}/go"
    assert (customer.browser.get(isp.host, url).location or "").startswith(f"{login_url(isp)}?username=")


def test_an_open_request_leads_to_its_page_for_three_minutes(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    for state, ago, shown in (
        ("created", 0, True), ("pending", 170, True), ("unknown", 100, True), ("pending", 190, False),
        ("failed", 10, False),
    ):  # fmt: skip
        counter.answer(isp, nonce, state, "1032" if state == "failed" else None, ago=ago)
        customer.opens(isp)
        assert _cards(customer) == ([("A request is open: 1 day", f"/w/{nonce}")] if shown else []), (state, ago)
    counter.answer(isp, nonce, "pending")
    customer.opens(isp, "sw")
    assert _cards(customer)[0][0] == "Kuna ombi wazi: Siku 1"


def test_what_runs_and_what_is_asked_for_are_both_there(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    first = customer.buys(isp)
    counter.paid(isp, first)
    second = customer.buys(isp, phone="0722 000 111")
    customer.opens(isp)
    assert [url for _heading, url in _cards(customer)] == [f"/w/{first}", f"/w/{second}"]


@pytest.mark.parametrize("over", ["ended", "used up", "time used"])
def test_what_is_over_is_not_shown(customer: Customer, counter: Counter, over: str) -> None:
    isp = counter.world.a
    package = counter.packages[isp.id]["night" if over == "time used" else "week"]
    customer.opens(isp)
    nonce = (customer.pays(isp, package=str(package)).location or "").rpartition("/")[2]
    counter.paid(isp, nonce)
    customer.opens(isp)
    assert len(_cards(customer)) == 1
    if over == "ended":
        counter.end(isp, nonce)
    else:
        with counter.app.app_context(), tenant_scope(isp.id), transaction():
            granted = access.entitlement_of(checkout.find_purchase(nonce).id)
            assert granted is not None
            granted.used_bytes, granted.used_seconds = 20 * 1024**3, 7_200
    customer.opens(isp)
    assert _cards(customer) == []


def test_no_other_device_and_no_other_isp_sees_it(customer: Customer, counter: Counter) -> None:
    a, b = counter.world.a, counter.world.b
    nonce = customer.buys(a)
    for paid in (False, True):
        if paid:
            counter.paid(a, nonce)
        customer.opens(a)
        assert len(_cards(customer)) == 1
        stranger = Customer(Browser(counter.app), counter)
        bare = [
            stranger.opens(a, mac=OTHER_MAC),
            stranger.opens(a, mac=""),
            customer.opens(b),
            stranger.browser.get(a.host),
            stranger.opens(a, lo=""),
            stranger.opens(a, lo=login_url(b)),
            stranger.opens(a, mac="' OR true --"),
        ]
        assert not [page for page in bare if nonce in page.text or "You have paid" in page.text]
    with clock.fixed(clock.now() + timedelta(days=2)):
        assert nonce not in customer.opens(a).text
