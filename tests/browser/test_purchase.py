"""A purchase on a phone: every page of it in both themes and languages, and the walk with a script and without."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Route
from sqlalchemy import select

from tests.browser.site import Site
from tests.browser.visitor import PORTAL, Visitor, visit
from tests.portal.counter import Counter, set_up_shop
from tests.world import Isp
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, Tenant, tenant_scope


class Stall(NamedTuple):
    """An ISP that sells, made for one test, and a phone: all ISPs together may ask one phone only a few times."""

    counter: Counter
    isp: Isp
    host: str
    phone: str

    def arrival(self, language: str = "en", **changes: str) -> str:
        return f"/?{urlencode(self.counter.arrive(self.isp, **changes) | {'lang': language})}"

    def buy(self, customer: Visitor, language: str = "en") -> str:
        """Opens the portal and pays; returns the purchase's nonce."""
        customer.go(self.host, self.arrival(language))
        customer.fill(phone=self.phone)
        with customer.page.expect_navigation():
            customer.page.locator("form[data-pay] button").click()
        return urlsplit(customer.page.url).path.rpartition("/")[2]


_number = iter(range(10, 250))


def stall_of(site: Site, theme: str, color: str) -> Stall:
    number = next(_number)
    slug = f"stall-{number}"
    bare = site.isp({"mtaa": "Pendo WiFi", "nyumba": "Kilimani Fibre"}[theme], slug)
    isp = bare._replace(nas_address=f"127.0.8.{number}")
    with site.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        tenant = db.session.scalars(select(Tenant).where(Tenant.id == isp.id)).one()
        tenant.theme, tenant.brand_color, tenant.help_phone = theme, color, "+254700000001"
    packages = set_up_shop(site.app, isp, "paybill", f"60{number:04d}")
    return Stall(Counter(site.app, site.world, {isp.id: packages}), isp, slug, f"0712 345 {number:03}")


@pytest.fixture
def stall(site: Site) -> Stall:
    return stall_of(site, "mtaa", "#00853e")


@pytest.mark.parametrize("language", ["en", "sw"])
@pytest.mark.parametrize(("theme", "color"), [("mtaa", "#00853e"), ("nyumba", "#1d4ed8")])
def test_every_page_of_a_purchase(chromium: Browser, site: Site, theme: str, color: str, language: str) -> None:
    stall = stall_of(site, theme, color)
    counter, isp = stall.counter, stall.isp
    with visit(chromium, site, budget=PORTAL) as customer:

        def look(name: str, path: str, status: int = 200) -> None:
            customer.go(stall.host, path)
            customer.look(f"{theme} {language} {name}", status=status)

        look("shop", stall.arrival(language))
        look("shop after an error", stall.arrival(language, err="radius-timeout"))
        look("stranger", stall.arrival(language, lo="http://evil.test/login"), 422)
        customer.go(stall.host, stall.arrival(language))
        customer.fill(phone="0712")
        with customer.page.expect_navigation():
            customer.page.locator("form button").click()
        customer.look(f"{theme} {language} bad phone")
        nonce = stall.buy(customer, language)
        here = f"/w/{nonce}?lang={language}"
        customer.look(f"{theme} {language} requested")
        for state, code, ago in (
            ("pending", None, 20), ("unknown", None, 30), ("failed", "1032", 10), ("failed", "1037", 130),
            ("failed", "2028", 130), ("pending", None, 80), ("review", "777", 80),
        ):  # fmt: skip
            counter.answer(isp, nonce, state, code, ago=ago)
            look(f"{state} {code or ''} {ago}", here)
        counter.paid(isp, nonce)
        look("paid", f"{here}&back=1&err=radius-timeout")
        counter.online(isp, nonce)
        look("online", here)
        counter.end(isp, nonce)
        look("ended", here)


def test_a_purchase_without_a_hotspot(chromium: Browser, site: Site, stall: Stall) -> None:
    with visit(chromium, site, budget=PORTAL) as customer:
        customer.go(stall.host)
        customer.fill(phone=stall.phone)
        customer.press("Pay KES 50 with M-Pesa")
        stall.counter.paid(stall.isp, urlsplit(customer.page.url).path.rpartition("/")[2])
        customer.sees("How to get online")
        customer.look("paid without a hotspot")


def test_a_phone_gets_online_by_itself(chromium: Browser, site: Site, stall: Stall, script: bool) -> None:
    """The page follows the purchase; nobody touches the phone after the PIN."""
    counter, isp, codes = stall.counter, stall.isp, list[str]()
    with visit(chromium, site, script=script, budget=PORTAL) as customer:

        def log_in(route: Route) -> None:
            """As a router does that takes the code."""
            query = parse_qs(urlsplit(route.request.url).query)
            codes.extend(query["username"])
            counter.online(isp, nonce)
            route.fulfill(status=302, headers={"Location": query["dst"][0]})

        customer.page.route(re.compile(r"^http://127\.0\.8\."), log_in)
        nonce = stall.buy(customer)
        customer.sees("Sending the request")
        counter.answer(isp, nonce, "pending", ago=1)
        customer.page.get_by_text("Enter your M-Pesa PIN").and_(customer.page.locator(".now")).wait_for(timeout=12_000)
        counter.paid(isp, nonce)
        customer.page.get_by_text("Payment received").wait_for(timeout=12_000)
        customer.page.get_by_text("You are online").wait_for(timeout=12_000)
        assert urlsplit(customer.page.url).path == f"/w/{nonce}"
        assert len(codes) == 1
        customer.sees("Go on to example.com")


def test_two_taps_and_the_number_of_last_time(chromium: Browser, site: Site, stall: Stall) -> None:
    with visit(chromium, site, budget=PORTAL) as customer:
        customer.go(stall.host, stall.arrival())
        button = customer.page.locator("form button")
        assert button.inner_text() == "Pay KES 50 with M-Pesa"
        customer.page.locator("label.pick", has_text="1 month").click()
        assert button.inner_text() == "Pay KES 1,500 with M-Pesa"
        customer.fill(phone=stall.phone)
        with customer.page.expect_navigation():
            button.dblclick()
        customer.sees("Look at your phone")
        assert len(stall.counter.purchases(stall.isp)) == len(stall.counter.intents(stall.isp)) == 1
        customer.go(stall.host, stall.arrival())
        assert customer.page.locator("#phone").input_value() == stall.phone


def test_without_a_script_the_button_claims_no_price(chromium: Browser, site: Site, stall: Stall) -> None:
    with visit(chromium, site, script=False, budget=PORTAL) as customer:
        customer.go(stall.host, stall.arrival())
        assert customer.page.locator("form button").inner_text() == "Pay with M-Pesa"
        customer.look("shop without a script")


def test_the_wait_before_another_try_runs_down(chromium: Browser, site: Site, stall: Stall) -> None:
    with visit(chromium, site, budget=PORTAL) as customer:
        nonce = stall.buy(customer)
        stall.counter.answer(stall.isp, nonce, "failed", "1032", ago=117)
        customer.go(stall.host, f"/w/{nonce}")
        button = customer.page.locator("form button")
        assert button.is_disabled()
        assert re.fullmatch(r"Try again in 0:0\d", button.inner_text())
        customer.page.get_by_role("button", name="Try again", exact=True).wait_for(timeout=8_000)
        assert button.is_enabled()
        customer.press("Try again")
        customer.sees("Sending the request")
        assert len(stall.counter.intents(stall.isp)) == 2


def test_coming_back_through_the_router(chromium: Browser, site: Site, stall: Stall, script: bool) -> None:
    with visit(chromium, site, script=script, budget=PORTAL) as customer:
        nonce = stall.buy(customer)
        for language, paid, link in (
            ("en", False, "Go on with this payment"), ("sw", False, "Endelea na malipo haya"),
            ("en", True, "Connect"), ("sw", True, "Unganisha"),
        ):  # fmt: skip
            if paid and language == "en":
                stall.counter.paid(stall.isp, nonce)
            customer.go(stall.host, stall.arrival(language))
            customer.look(f"coming back {language} {'paid' if paid else 'open'} {script}")
            button = customer.page.locator("main section.card a.button")
            assert button.inner_text() == link
            assert (button.get_attribute("href") or "").startswith(f"/w/{nonce}")


def test_back_after_a_refused_form(chromium: Browser, site: Site, stall: Stall, script: bool) -> None:
    with visit(chromium, site, script=script, budget=PORTAL) as customer:
        customer.go(stall.host, stall.arrival())
        customer.fill(phone="0712")
        with customer.page.expect_navigation():
            customer.page.locator("form button").click()
        assert customer.page.locator("#phone").input_value() == "0712"
        customer.fill(phone=stall.phone)
        with customer.page.expect_navigation():
            customer.page.locator("form button").click()
        customer.sees("Look at your phone")
        customer.page.go_back()
        customer.sees("That is not a phone number.")
        customer.page.go_back()
        customer.sees("Choose a package")
