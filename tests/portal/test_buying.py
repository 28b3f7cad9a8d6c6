"""From the first page to the Internet, as a phone walks it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.portal.counter import Counter, login_url
from tests.portal.customer import Customer, nonce_of
from tests.world import Isp
from wavu import tenancy
from wavu.db import transaction
from wavu.tenancy import tenant_scope


def _isp(counter: Counter, which: str) -> Isp:
    isp: Isp = getattr(counter.world, which)
    return isp


each_isp = pytest.mark.parametrize("which", ["a", "b"])
each_language = pytest.mark.parametrize("language", ["en", "sw"])


@each_isp
def test_the_first_page_shows_what_is_sold(customer: Customer, counter: Counter, which: str) -> None:
    isp = _isp(counter, which)
    assert customer.opens(isp).status_code == 200
    shown = [
        label.get_text(" ", strip=True).replace("\xa0", " ") for label in customer.browser.page.select("label.pick")
    ]
    assert shown == [
        "1 hour Up to 5 Mbps · unlimited KES 10",
        "1 day Popular Up to 5 Mbps · unlimited KES 50",
        "Student week Up to 8 Mbps · 7 days · 20 GB · 2 devices KES 250",
        "Night owl Up to 10 Mbps · until midnight · 2 hours of use KES 30",
        "1 month Up to 10 Mbps · unlimited · 3 devices KES 1,500",
    ]
    assert set(customer.form()) == {"state", "package", "phone"}
    assert customer.form()["package"] == str(counter.packages[isp.id]["day"]), "what the ISP puts forward is chosen"
    assert "Saa 1" not in customer.text
    customer.opens(isp, "sw")
    assert "Siku 1 Maarufu Hadi 5 Mbps · bila kikomo KES 50" in customer.text
    assert "1 day" not in customer.text


@each_isp
def test_a_phone_gets_online(customer: Customer, counter: Counter, which: str) -> None:
    isp = _isp(counter, which)
    nonce = customer.buys(isp)
    assert customer.looks(isp, nonce).status_code == 200
    assert "Look at your phone" in customer.text
    assert "Sending the request" in customer.text
    counter.answer(isp, nonce, "pending", ago=15)
    assert customer.state(isp, nonce) == "prompted"
    customer.looks(isp, nonce)
    number = "600100" if which == "a" else "5123456"
    assert f"The request on your phone says {isp.name} · {number} and KES 50." in customer.text
    assert customer.browser.page.select_one("[data-clock]").text in {"1:00", "0:59"}  # type: ignore[union-attr]

    counter.paid(isp, nonce)
    assert customer.state(isp, nonce) == "paid"
    page = customer.looks(isp, nonce)
    assert "Payment received" in customer.text
    assert "TKN4H7XQ2M" in customer.text
    assert f'data-go="/w/{nonce}/go?lang=en"' in page.text
    hop = customer.browser.get(isp.host, f"/w/{nonce}/go?lang=en")
    assert hop.status_code == 302
    target, query = urlsplit(hop.location or ""), parse_qs(urlsplit(hop.location or "").query)
    assert target._replace(query="").geturl() == login_url(isp)
    assert query["username"] == query["password"]
    assert query["dst"] == [f"https://{isp.host}/w/{nonce}?back=1&lang=en"]

    customer.looks(isp, nonce, rest="&back=1")
    assert "Connect again" in customer.text
    assert "data-go" not in str(customer.browser.page), "it does not go round in circles"
    counter.online(isp, nonce)
    customer.looks(isp, nonce, rest="&back=1")
    assert "You are online" in customer.text
    assert "Tomorrow, " in customer.text
    (onward,) = (link for link in customer.browser.page.select("main a.button[href^=http]"))
    assert (onward["href"], onward.text) == ("http://example.com/news", "Go on to example.com")
    counter.end(isp, nonce)
    customer.looks(isp, nonce)
    assert "Your package has ended" in customer.text


def test_each_log_in_code_is_new(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    assert (customer.browser.get(isp.host, f"/w/{nonce}/go").location or "").startswith(f"/w/{nonce}"), "not paid yet"
    counter.paid(isp, nonce)
    hops = {customer.browser.get(isp.host, f"/w/{nonce}/go").location for _ in range(3)}
    assert len(hops) == 3


def test_without_a_hotspot_the_page_says_how_to_get_online(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.browser.get(isp.host)
    nonce = nonce_of(customer.pays(isp))
    counter.paid(isp, nonce)
    customer.looks(isp, nonce)
    assert "Join the Wi-Fi of Canary A Net" in customer.text
    assert "data-go" not in str(customer.browser.page)
    assert customer.browser.get(isp.host, f"/w/{nonce}/go").location == f"/w/{nonce}?back=1"


@each_language
def test_the_language_holds_without_cookies(customer: Customer, counter: Counter, language: str) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp, language)
    customer.browser.client.delete_cookie("__Host-wavu-portal", domain=isp.host)
    customer.looks(isp, nonce, language)
    links = [str(link["href"]) for link in customer.browser.page.select("main a, header a.name")]
    assert links
    assert all(f"lang={language}" in link for link in links), links
    counter.answer(isp, nonce, "failed", "1032", ago=200)
    customer.looks(isp, nonce, language)
    (form,) = customer.browser.page.select("form")
    again = customer.browser.post(isp.host, str(form["action"]))
    assert again.location == f"/w/{nonce}?lang={language}"


def test_the_other_language_is_the_same_page(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp, "en")
    (link,) = customer.browser.page.select("a.lang")
    customer.browser.get(isp.host, str(link["href"]))
    nonce = nonce_of(customer.pays(isp))
    (purchase,) = counter.purchases(isp)
    assert (purchase.mac, purchase.login_url, purchase.original_url) == (
        "02ABCD000001",
        login_url(isp),
        "http://example.com/news",
    )
    customer.looks(isp, nonce, "sw", "&back=1")
    (link,) = customer.browser.page.select("a.lang")
    assert link["href"] == f"/w/{nonce}?back=1&lang=en"


def test_what_the_router_said_is_kept_with_the_purchase(customer: Customer, counter: Counter) -> None:
    for isp in (counter.world.a, counter.world.b):
        customer.buys(isp)
        (purchase,) = counter.purchases(isp)
        assert purchase.router_id == isp.router_id
        assert purchase.price_cents == 5_000


def test_the_name_on_top_brings_the_phone_back_as_it_came(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    for path in (f"/w/{nonce}", "/"):
        if path != "/":
            customer.browser.get(isp.host, path)
        (home,) = customer.browser.page.select("a.name")
        assert customer.browser.get(isp.host, str(home["href"])).status_code == 200
        assert customer.form()["state"]
    customer.pays(isp, "0722 000111")
    assert [purchase.login_url for purchase in counter.purchases(isp)] == [login_url(isp)] * 2


def test_a_failed_log_in_leads_back_to_what_was_paid(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    back = f"https://{isp.host}/w/{nonce}?back=1"
    response = customer.opens(isp, "en", dst=back, err="RADIUS server is not responding")
    assert (response.status_code, response.location) == (
        302,
        f"/w/{nonce}?back=1&err=RADIUS+server+is+not+responding&lang=en",
    )
    customer.browser.get(isp.host, response.location or "")
    assert "You have paid" in customer.text
    assert "We are connecting you" not in customer.text
    assert "The Wi-Fi could not reach our server." in customer.text
    assert "Pay KES" not in customer.text


def test_another_isps_purchase_is_not_there(customer: Customer, counter: Counter) -> None:
    a, b = counter.world.a, counter.world.b
    nonce = customer.buys(b)
    missing = "0" * 32
    for path in ("", "/status.json", "/go", "/again"):
        foreign, unknown = (customer.browser.get(a.host, f"/w/{name}{path}") for name in (nonce, missing))
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(nonce, missing) == unknown.text
    assert customer.browser.post(a.host, f"/w/{nonce}/again").status_code == 404
    assert customer.state(b, nonce) == "requested"


@pytest.mark.parametrize("nonce", ["1", "0" * 31, "G" * 32, "%00" * 32, "0" * 33, "0" * 32 + "%0a", "A" * 32])
def test_what_is_no_nonce_is_not_there(customer: Customer, counter: Counter, nonce: str) -> None:
    assert customer.browser.get(counter.world.a.host, f"/w/{nonce}").status_code == 404


def test_a_suspended_isp_sells_nothing(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp)
    form = customer.form() | {"phone": "0712345678"}
    nonce = nonce_of(customer.pays(isp))
    with counter.app.app_context(), tenant_scope(tenancy.PLATFORM_ID), transaction():
        tenancy.suspend(isp.id, "Unpaid for three months")
    for response in (
        customer.browser.get(isp.host),
        customer.browser.post(isp.host, "/buy", form),
        customer.browser.get(isp.host, f"/w/{nonce}"),
        customer.browser.get(isp.host, f"/w/{nonce}/go"),
        customer.browser.post(isp.host, f"/w/{nonce}/again"),
    ):
        assert response.status_code == 403
        assert "We will be back" in response.text
        assert "Unpaid" not in response.text
    assert len(counter.purchases(isp)) == 1
