"""What a page costs: requests, bytes, statements; and that a page which is kept shows nothing that is over."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import cast

import pytest
from sqlalchemy import Connection, select

from tenants import network
from tenants.catalog import Package
from tests.browser_client import Browser
from tests.portal.counter import Counter
from tests.portal.customer import Customer
from tests.world import Isp
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope

# The test's own: its outer transaction makes a savepoint of each of the product's transactions.
OUTER = ("SAVEPOINT sa_savepoint", "RELEASE SAVEPOINT sa_savepoint")


def _statements(seen: list[str], ask: Callable[[], object]) -> int:
    """How many a warm page sends, the naming of the tenant among them."""
    ask()
    seen.clear()
    ask()
    return len([sql for sql in seen if not sql.startswith(OUTER)])


def test_a_page_sends_few_statements(customer: Customer, counter: Counter, statements: list[str]) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    assert _statements(statements, lambda: customer.opens(isp)) == 3
    assert _statements(statements, lambda: customer.browser.get(isp.host)) == 3, "this browser has bought something"
    assert _statements(statements, lambda: Browser(counter.app).get(isp.host)) == 2
    assert _statements(statements, lambda: customer.looks(isp, nonce)) == 3
    assert _statements(statements, lambda: customer.state(isp, nonce)) == 3


def test_a_first_load_is_two_requests_and_light(customer: Customer, counter: Counter) -> None:
    for isp in (counter.world.a, counter.world.b):
        page = customer.opens(isp)
        sources = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
        assert len(sources) == 1
        script = customer.browser.get(isp.host, sources[0])
        assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert len(page.data) + len(script.data) < 20 * 1024


def test_the_policy_allows_the_page_its_own_style_and_script_only(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    pages = [customer.opens(isp), customer.opens(isp, err="radius-timeout"), customer.looks(isp, nonce)]
    for page in pages:
        style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = page.headers["Content-Security-Policy"]
        assert f"style-src 'sha256-{digest}'" in policy
        assert "unsafe" not in policy
        assert "no-store" in page.headers["Cache-Control"]
        assert "Set-Cookie" not in page.headers or "lang=" in page.request.query_string.decode()


def test_no_page_is_anybody_elses(customer: Customer, counter: Counter, browser: Browser) -> None:
    """Kept pages differ in the ticket each time, in the language, and between ISPs."""
    a, b = counter.world.a, counter.world.b
    tickets = set()
    for _ in range(3):
        customer.opens(a)
        tickets.add(customer.form()["state"])
    assert len(tickets) == 3
    for isp, other in ((a, b), (b, a)):
        text = customer.opens(isp).text
        assert isp.name in text
        assert other.name not in text
        assert not {str(key) for key in counter.packages[other.id].values()} & set(re.findall(r'value="([^"]+)"', text))
    assert "Chagua kifurushi" in customer.opens(a, "sw").text
    assert "Choose a package" in customer.opens(a, "en").text
    assert "?" not in {str(form["action"]) for form in customer.browser.page.select("form")} - {"/buy?lang=en"}


@pytest.mark.parametrize("language", ["en", "sw"])
@pytest.mark.parametrize("change", ["price", "name", "sold out", "new"])
def test_a_change_of_the_catalog_shows_at_once(
    customer: Customer, counter: Counter, change: str, language: str
) -> None:
    isp, other = counter.world.a, counter.world.b
    hour = {"en": "1 hour", "sw": "Saa 1"}[language]
    beside = _shelf(customer, other, language)
    customer.opens(isp, language)
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        package = db.session.scalars(select(Package).where(Package.name == "1 hour")).one()
        if change == "price":
            package.price_cents = 1_100
        elif change == "name":
            package.name = package.name_sw = "One <b>hour</b>"
        elif change == "sold out":
            package.on_sale = False
        else:
            db.session.add(
                Package(name="Quick", price_cents=500, validity="hours", speed_down_bps=512_000, speed_up_bps=512_000)
            )
    customer.opens(isp, language)
    seen = {
        "price": "KES 11 " in customer.text, "name": "One <b>hour</b>" in customer.text,
        "sold out": hour not in customer.text, "new": "512 kbps" in customer.text,
    }  # fmt: skip
    assert seen[change]
    assert _shelf(customer, other, language) == beside


def _shelf(customer: Customer, isp: Isp, language: str) -> str:
    customer.opens(isp, language)
    return " ".join(form.get_text(" ") for form in customer.browser.page.select("form[data-pay]"))


def test_a_change_that_is_taken_back_names_no_later_one(customer: Customer, counter: Counter) -> None:
    """A page seen before a rollback must not come back when another change is made."""
    isp = counter.world.a
    for price in (1_100, 1_200):
        connection = cast(Connection, db.engine)  # the one of the test, around all that the product commits
        undo = connection.begin_nested()
        with tenant_scope(isp.id), transaction():
            db.session.scalars(select(Package).where(Package.name == "1 hour")).one().price_cents = price
        assert f"KES {price // 100} " in _shelf(customer, isp, "en")
        undo.rollback()
        assert "KES 10 " in _shelf(customer, isp, "en")


def test_a_router_that_goes_takes_its_log_in_address_along(customer: Customer, counter: Counter) -> None:
    isp, other = counter.world.a, counter.world.b
    assert customer.opens(isp).status_code == 200
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        for router in network.routers():
            router.login_url = None
    assert customer.opens(isp).status_code == 422
    assert customer.opens(other).status_code == 200


def _numbers_in(customer: Customer, isp: Isp, nonce: str) -> list[str]:
    return re.findall(r"0?712345678|\+254712345678", customer.looks(isp, nonce).text)


def test_no_phone_number_is_in_any_address_or_page(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp)
    response = customer.pays(isp, "0712345678")
    nonce = (response.location or "").rpartition("/")[2]
    assert "712345678" not in (response.location or "")
    assert _numbers_in(customer, isp, nonce) == []
    counter.paid(isp, nonce)
    assert _numbers_in(customer, isp, nonce) == []
    assert "712345678" not in customer.browser.get(isp.host, f"/w/{nonce}/status.json").text
    assert "712345678" not in customer.opens(isp).text, "a MAC address alone shows no number"
