"""Money that is left, packages that wait their turn, a line at home and a second device, on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.site import Site
from tests.browser.test_purchase import Stall, stall_of
from tests.browser.visitor import PORTAL, visit
from tests.portal.test_balance import left_over, pays_in
from tests.portal.test_line import add_line

ANNEX = "02:AB:CD:00:00:77"


@pytest.mark.parametrize("language", ["en", "sw"])
@pytest.mark.parametrize(("theme", "color"), [("mtaa", "#00853e"), ("nyumba", "#1d4ed8")])
def test_every_page_of_what_is_left_and_waits(
    chromium: Browser, site: Site, theme: str, color: str, language: str
) -> None:
    stall = stall_of(site, theme, color)
    counter, isp = stall.counter, stall.isp
    line = add_line(counter, isp)
    with visit(chromium, site, budget=PORTAL) as customer:

        def look(name: str, path: str) -> None:
            customer.go(stall.host, path)
            customer.look(f"{theme} {language} {name}")

        nonce = stall.buy(customer, language)
        here = f"/w/{nonce}?lang={language}"
        counter.answer(isp, nonce, "review", "amount", ago=200)
        pays_in(counter, isp, nonce, 2_000, "TKN0000001")
        look("short", here)
        left_over(counter, isp, nonce, 8_000)
        look("paid and too much", f"{here}&back=1")
        counter.answer(isp, nonce, "succeeded", ago=900)
        look("shop with a balance", stall.arrival(language))
        with customer.page.expect_navigation():
            customer.page.locator("button[name=pay]").click()
        customer.look(f"{theme} {language} waits its turn")
        look("shop with a queue", stall.arrival(language))
        look("shop on another device", stall.arrival(language, mac=ANNEX))
        look("line", f"/line?lang={language}")
        customer.fill(account="12345", phone="0712")
        with customer.page.expect_navigation():
            customer.page.locator("form button").first.click()
        customer.look(f"{theme} {language} line refused")
        customer.fill(account=line.number, phone=stall.phone.replace("0712", "0722"))
        with customer.page.expect_navigation():
            customer.page.locator("form button").first.click()
        customer.look(f"{theme} {language} line asked")
        paid = customer.page.url.rpartition("/w/")[2][:32]
        counter.paid(isp, paid)
        look("line paid", f"/w/{paid}?lang={language}")


@pytest.fixture
def stall(site: Site) -> Stall:
    return stall_of(site, "mtaa", "#00853e")


def test_one_tap_buys_from_the_balance(chromium: Browser, site: Site, stall: Stall, script: bool) -> None:
    with visit(chromium, site, script=script, budget=PORTAL) as customer:
        nonce = stall.buy(customer)
        left_over(stall.counter, stall.isp, nonce, 10_000)
        customer.go(stall.host, stall.arrival())
        customer.sees("You have KES 50 here")
        with customer.page.expect_navigation():
            customer.page.locator("button[name=pay]").click()
        customer.sees("It starts by itself when your running package ends.")


def test_what_was_bought_at_home_is_used_on_this_device(chromium: Browser, site: Site, stall: Stall) -> None:
    with visit(chromium, site, budget=PORTAL) as customer:
        customer.go(stall.host)
        customer.fill(phone=stall.phone)
        customer.press("Pay KES 50 with M-Pesa")
        stall.counter.paid(stall.isp, customer.page.url.rpartition("/w/")[2][:32])
        customer.go(stall.host, stall.arrival())
        customer.press("Use it on this device")
        customer.sees("We are connecting you.")
