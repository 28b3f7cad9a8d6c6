"""A MAC address is no secret: who knows it alone brings that device online, and learns no purchase's name."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from tenants.portal import ticket
from tests.browser_client import Browser
from tests.portal.counter import Counter, login_url
from tests.portal.customer import Customer
from tests.portal.test_balance import left_over
from tests.world import Isp
from wavu import clock


@pytest.fixture
def stranger(counter: Counter) -> Customer:
    return Customer(Browser(counter.app), counter)


def _tells(response: TestResponse, names: list[str]) -> bool:
    return any(name in f"{response.text} {response.headers}" for name in names)


def _connect(stranger: Customer) -> str:
    (link,) = stranger.browser.page.select("main section.card a.button")
    return str(link["href"])


def test_what_runs_and_waits_connects_and_names_nothing(
    customer: Customer, stranger: Customer, counter: Counter
) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    left_over(counter, isp, nonce, 10_000)
    customer.opens(isp)
    customer.pays(isp, "", pay="balance")
    names = [purchase.nonce for purchase in counter.purchases(isp)]
    assert len(names) == 2
    for been_online in (False, True):
        if been_online:
            counter.online(isp, nonce)
        for language, words in (("sw", "Umelipia: Siku 1"), ("en", "You have paid: 1 day")):
            page = stranger.opens(isp, language)
            assert words in stranger.text
            assert not _tells(page, names)
            assert "/w/" not in page.text
        hop = stranger.browser.get(isp.host, _connect(stranger))
        assert not _tells(hop, names)
        target, query = urlsplit(hop.location or ""), parse_qs(urlsplit(hop.location or "").query)
        assert target._replace(query="").geturl() == login_url(isp)
        assert query["username"] == query["password"]
        (back,) = query["dst"]
        assert back.startswith(f"https://{isp.host}/?mac=")
        landed = stranger.browser.get(isp.host, back.removeprefix(f"https://{isp.host}"))
        assert landed.status_code == 200
        assert not _tells(landed, names)
        assert "You have paid: 1 day" in stranger.text, "it still knows the router and the device"


def test_an_open_request_is_told_without_its_page(customer: Customer, stranger: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    for language, words in (("sw", "Kuna ombi wazi: Siku 1"), ("en", "A request is open: 1 day")):
        page = stranger.opens(isp, language)
        assert words in stranger.text
        assert not _tells(page, [nonce])
    assert "Check again" in stranger.text
    assert not stranger.browser.page.select("a[href*='/w/'], a[href*='/on/']")
    assert stranger.browser.get(isp.host, _connect(stranger)).status_code == 200
    assert "A request is open: 1 day" in stranger.text


def test_the_same_number_typed_again_leads_to_no_page(customer: Customer, stranger: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    stranger.opens(isp)
    answer = stranger.pays(isp)
    assert not _tells(answer, [nonce])
    assert not _tells(stranger.follows(isp, answer), [nonce])
    assert "This phone was asked a moment ago" in stranger.text
    customer.opens(isp)
    assert customer.pays(isp).location == f"/w/{nonce}", "its own browser goes on with it"
    assert len(counter.intents(isp)) == 1


def _pass(stranger: Customer, counter: Counter, customer: Customer, isp: Isp) -> str:
    counter.paid(isp, customer.buys(isp))
    stranger.opens(isp)
    return _connect(stranger)


def test_a_pass_is_this_isps_and_young_and_whole(customer: Customer, stranger: Customer, counter: Counter) -> None:
    a, b = counter.world.a, counter.world.b
    url = _pass(stranger, counter, customer, a)
    for other in (url[:-1], url + "x", url.replace("/on/", "/on/x"), "/on/x", "/on/" + "." * 50, "/on/%00"):
        assert stranger.browser.get(a.host, other).status_code == 404, other
    assert stranger.browser.get(b.host, url).status_code == 404
    customer.browser.get(a.host)
    assert stranger.browser.get(a.host, "/on/" + customer.form()["state"]).status_code == 404, "signed for a form"
    with clock.fixed(clock.now() + timedelta(seconds=ticket.MAX_AGE + 2)):
        assert stranger.browser.get(a.host, url).status_code == 404
    assert stranger.browser.get(a.host, url).status_code == 302


def test_a_pass_serves_no_other_device(customer: Customer, stranger: Customer, counter: Counter) -> None:
    isp = counter.world.a
    url = _pass(stranger, counter, customer, isp)
    hop = stranger.browser.get(isp.host, f"{url}?mac=02:AB:CD:00:00:99&lo=http://evil.test/login")
    assert (hop.location or "").startswith(f"{login_url(isp)}?username=")
    assert "evil" not in (hop.location or "")
    assert "00%3A99" not in (hop.location or "")
