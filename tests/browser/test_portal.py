"""What an ISP's customers see."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.site import PORTAL_A, PORTAL_B, Site
from tests.browser.visitor import PORTAL, visit


@pytest.mark.parametrize(("host", "other"), [(PORTAL_A, "Canary B"), (PORTAL_B, "Canary A")], ids=["a", "b"])
def test_a_portal_in_both_languages(chromium: Browser, site: Site, script: bool, host: str, other: str) -> None:
    with visit(chromium, site, script=script, budget=PORTAL, language="en-GB") as customer:
        customer.go(host)
        customer.look(f"portal {host} en")
        assert other not in customer.page.content()
        customer.follow("Kiswahili")
        customer.sees("Karibu")
        customer.look(f"portal {host} sw")
        customer.go(host)
        assert customer.page.locator("html").get_attribute("lang") == "sw", "the choice is kept"
        customer.follow("English")
        customer.sees("Welcome to")


def test_a_browser_that_asks_for_nothing_known_gets_the_isps_own_language(chromium: Browser, site: Site) -> None:
    for host, language in ((PORTAL_A, "en"), (PORTAL_B, "sw")):
        with visit(chromium, site, budget=PORTAL, language="de-DE") as customer:
            customer.go(host)
            assert customer.page.locator("html").get_attribute("lang") == language


def test_help_is_one_tap_away_where_there_is_a_phone(chromium: Browser, site: Site) -> None:
    with visit(chromium, site, budget=PORTAL) as customer:
        customer.go(PORTAL_A)
        assert customer.page.locator("main a[href='tel:+254712345678']").inner_text() == "Call 0712 345678"
        customer.go(PORTAL_B)
        assert customer.page.locator("a[href^=tel]").count() == 0


def test_a_page_that_is_not_there(chromium: Browser, site: Site, script: bool) -> None:
    with visit(chromium, site, script=script, budget=PORTAL) as customer:
        customer.go(PORTAL_A, "/nothing")
        assert customer.heading() == "Nothing here"
        customer.look("portal error", status=404)
        customer.follow("Go to the start page")
        customer.sees("Welcome to")


def test_a_suspended_isp_does_not_tell_its_customers_why(chromium: Browser, site: Site, script: bool) -> None:
    slug = f"paused-{int(script)}"
    site.suspend(site.isp("Paused Net", slug), "Unpaid for three months")
    with visit(chromium, site, script=script, budget=PORTAL) as customer:
        customer.go(slug)
        assert customer.heading() == "We will be back"
        assert "Unpaid" not in customer.page.content()
        customer.look("portal suspended", status=403)
