"""What a page costs: requests, bytes, statements; and that a page which is kept shows nothing that is over."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import pytest
from sqlalchemy import select

from tenants.catalog import Package
from tests.browser_client import Browser
from tests.portal.counter import Counter
from tests.portal.customer import Customer
from tests.world import Isp
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope

EDGES = ("SAVEPOINT", "RELEASE", "ROLLBACK", "SET LOCAL")


def _selects(statements: list[str], ask: Callable[[], object]) -> int:
    ask()  # the host's name is remembered for some seconds
    statements.clear()
    ask()
    return len([sql for sql in statements if not sql.startswith(EDGES)])


def test_the_first_page_asks_the_database_thrice(customer: Customer, counter: Counter, statements: list[str]) -> None:
    isp = counter.world.a
    assert _selects(statements, lambda: customer.opens(isp)) == 3
    assert _selects(statements, lambda: customer.browser.get(isp.host)) == 2


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


@pytest.mark.parametrize("change", ["price", "name", "sold out", "new"])
def test_a_change_of_the_catalog_shows_at_once(customer: Customer, counter: Counter, change: str) -> None:
    isp = counter.world.a
    customer.opens(isp)
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        package = db.session.scalars(select(Package).where(Package.name == "1 hour")).one()
        if change == "price":
            package.price_cents = 1_100
        elif change == "name":
            package.name = "One <b>hour</b>"
        elif change == "sold out":
            package.on_sale = False
        else:
            db.session.add(
                Package(name="Quick", price_cents=500, validity="hours", speed_down_bps=512_000, speed_up_bps=512_000)
            )
    customer.opens(isp)
    seen = {
        "price": "KES 11 " in customer.text, "name": "One <b>hour</b>" in customer.text,
        "sold out": "1 hour" not in customer.text, "new": "512 kbps" in customer.text,
    }  # fmt: skip
    assert seen[change]


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
