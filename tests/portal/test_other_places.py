"""What was bought in one place and is used in another: another router of the ISP, another device of the customer."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from tenants import access, checkout, network, subscribers
from tenants.access import AccessSession
from tests.browser_client import Browser
from tests.portal.counter import MAC, Counter, login_url
from tests.portal.customer import Customer, nonce_of
from tests.world import Isp
from wavu import clock
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope

ANNEX = "http://127.0.9.77:8180/login"
TABLET = "02:AB:CD:00:00:77"


@pytest.fixture(autouse=True)
def _annex(counter: Counter) -> None:
    """Each ISP has a second hotspot; A's is the one that is used here."""
    for isp, address, url in (
        (counter.world.a, "127.0.9.77", ANNEX), (counter.world.b, "127.0.9.78", "http://127.0.9.78:8180/login"),
    ):  # fmt: skip
        with counter.app.app_context(), tenant_scope(isp.id), transaction():
            network.add_router(name="annex", identifier="annex", address=address, secret="nas secret", login_url=url)


def _goes(customer: Customer, isp: Isp, url: str) -> str:
    """Where the hop leads, without its code."""
    hop = customer.browser.get(isp.host, url)
    target = urlsplit(hop.location or "")
    if target.query:
        assert parse_qs(target.query)["username"]
    return target._replace(query="").geturl()


def _button(customer: Customer) -> str:
    (link,) = customer.browser.page.select("main section.card a.button")
    return str(link["href"])


def test_another_router_of_the_isp_takes_the_log_in(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    customer.opens(isp, lo=ANNEX)
    customer.browser.get(isp.host, _button(customer))
    assert "data-go" in str(customer.browser.page)
    assert _goes(customer, isp, _button(customer)) == ANNEX
    counter.online(isp, nonce)
    customer.opens(isp, lo=ANNEX)
    assert _goes(customer, isp, _button(customer)) == ANNEX
    customer.opens(isp)
    assert _goes(customer, isp, _button(customer)) == login_url(isp), "and back again"


def test_a_failed_log_in_there_leads_back_there(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    response = customer.opens(
        isp, dst=f"https://{isp.host}/w/{nonce}?back=1", lo=ANNEX, err="RADIUS server is not responding"
    )
    customer.browser.get(isp.host, response.location or "")
    assert "The Wi-Fi could not reach our server." in customer.text
    assert _goes(customer, isp, _button(customer)) == ANNEX


@pytest.mark.parametrize("lo", ["http://evil.test/login", "http://127.0.9.78:8180/login", ANNEX + "?x"])
def test_no_other_address_takes_it(customer: Customer, counter: Counter, lo: str) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    for path in (f"/w/{nonce}/go", f"/w/{nonce}"):
        page = customer.browser.get(isp.host, f"{path}?mac={MAC}&lo={lo}")
        assert page.status_code == 422
        assert "username" not in (page.location or "")


def test_a_router_that_is_gone_takes_no_log_in(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        for router in network.routers():
            router.login_url = None
    assert customer.browser.get(isp.host, f"/w/{nonce}/go").location == f"/w/{nonce}?back=1"


def test_no_code_for_a_device_that_is_not_the_purchases(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    hop = customer.browser.get(isp.host, f"/w/{nonce}/go?mac={TABLET}&lo={login_url(isp)}")
    assert "username" not in (hop.location or "")


def _bought_at_home(customer: Customer, counter: Counter, isp: Isp) -> str:
    customer.browser.get(isp.host)
    nonce = nonce_of(customer.pays(isp))
    counter.paid(isp, nonce)
    return nonce


def test_what_was_bought_at_home_is_used_on_the_phone_that_holds_it(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = _bought_at_home(customer, counter, isp)
    for language, words in (("sw", "Kitumie kwenye kifaa hiki"), ("en", "Use it on this device")):
        customer.opens(isp, language, lo=ANNEX)
        assert words in customer.text
    form = customer.browser.page.select_one("main section.card form")
    assert form is not None
    used = customer.browser.post(isp.host, str(form["action"]))
    assert (used.status_code, urlsplit(used.location or "").path) == (303, f"/w/{nonce}")
    (purchase,) = counter.purchases(isp)
    assert (purchase.mac, purchase.login_url) == (MAC.replace(":", ""), ANNEX)
    customer.browser.get(isp.host, used.location or "")
    assert _goes(customer, isp, _button(customer)) == ANNEX
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        assert subscribers.owners_of(MAC.replace(":", "")) == [purchase.subscriber_id]
    stranger = Customer(Browser(counter.app), counter)
    stranger.opens(isp, mac=TABLET)
    assert "Use it on this device" not in stranger.text


def test_a_package_for_one_device_that_is_online_has_no_room(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        right = access.entitlement_of(checkout.find_purchase(nonce).id)
        assert right is not None
        db.session.add(
            AccessSession(
                id=uuid4(), router_id=isp.router_id, subscriber_id=right.subscriber_id, entitlement_id=right.id,
                session_key="1", acct_session_id="1", user_name="1", mac=MAC.replace(":", ""), service="hotspot",
                started_at=clock.now(), updated_at=clock.now(),
            )
        )  # fmt: skip
    customer.opens(isp, mac=TABLET)
    form = customer.browser.page.select_one("main section.card form")
    assert form is not None
    refused = customer.follows(isp, customer.browser.post(isp.host, str(form["action"])))
    assert "All devices of this package are online already." in refused.text
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        assert subscribers.owners_of(TABLET.replace(":", "")) == []


@pytest.mark.parametrize("changes", [{"lo": ""}, {"mac": ""}, {"lo": "http://evil.test/login"}])
def test_only_a_router_says_which_device(customer: Customer, counter: Counter, changes: dict[str, str]) -> None:
    isp = counter.world.a
    nonce = _bought_at_home(customer, counter, isp)
    said = {"mac": TABLET, "lo": ANNEX} | changes
    path = f"/w/{nonce}/use?mac={said['mac']}&lo={said['lo']}"
    assert customer.browser.post(isp.host, path).status_code in {404, 422}
    foreign = {"Sec-Fetch-Site": "cross-site"}
    path = f"/w/{nonce}/use?mac={TABLET}&lo={ANNEX}"
    assert customer.browser.post(isp.host, path, headers=foreign).status_code == 404
    assert customer.browser.post(counter.world.b.host, path).status_code in {404, 422}
    assert counter.purchases(isp)[0].mac is None
