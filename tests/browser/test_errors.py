"""Pages that nobody wants to see."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.browser.site import CONSOLE, STAFF, Site
from tests.browser.visitor import visit


def test_an_unknown_host_gets_a_plain_421(chromium: Browser, site: Site) -> None:
    with visit(chromium, site) as stranger:
        response = stranger.page.goto(site.url("nobody-of-ours"))
        assert response is not None
        assert response.status == 421
        assert stranger.page.locator("body").inner_text().strip() == "No service of ours answers at this address."


def test_error_pages(chromium: Browser, site: Site, script: bool) -> None:
    with visit(chromium, site, script=script) as visitor:
        for host in (STAFF, CONSOLE):
            visitor.go(host, "/no/such/page")
            assert visitor.heading() == "Nothing here"
            visitor.look(f"error {host}", status=404)
            visitor.go(host, "/join/nonsense")
            visitor.look(f"dead link {host}", status=404)


def test_who_is_signed_in_goes_on_from_an_error_page(chromium: Browser, site: Site, script: bool) -> None:
    lost = site.member(f"Lost {script}", (site.world.a, "owner"))
    with visit(chromium, site, script=script) as visitor:
        visitor.sign_in(CONSOLE, lost.email)
        visitor.go(CONSOLE, "/no/such/page")
        assert visitor.heading() == "Nothing here"
        visitor.look("error signed in", status=404)
        visitor.follow("Go to the start page", within="main")
        visitor.sees("Lost", within="h1")


def test_a_page_that_was_open_too_long(chromium: Browser, site: Site, script: bool) -> None:
    with visit(chromium, site, script=script) as visitor:
        visitor.go(CONSOLE, "/sign-in")
        visitor.page.context.clear_cookies()
        visitor.fill(email="someone@wavu.test", password="whatever")
        visitor.press("Sign in")
        assert visitor.heading() == "Please try again"
        visitor.look("stale form", status=400)


def test_the_bare_domain_leads_to_the_console(chromium: Browser, site: Site) -> None:
    with visit(chromium, site) as visitor:
        visitor.page.goto(f"http://wavu.localhost:{site.port}/")
        assert visitor.page.url == site.url(CONSOLE, "/sign-in")
