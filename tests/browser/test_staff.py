"""Platform staff at work."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from tests.browser.site import CONSOLE, STAFF, Site
from tests.browser.visitor import PORTAL, Visitor, visit


@pytest.fixture
def staff_name(script: bool) -> str:
    return f"Njeri {'With' if script else 'Without'}"


def test_an_isp_is_added_suspended_and_resumed(chromium: Browser, site: Site, script: bool, staff_name: str) -> None:
    admin, secret = site.admin(staff_name)
    slug = f"lakeside-{int(script)}"
    with visit(chromium, site, script=script) as staff:
        staff.go(STAFF)
        staff.look("staff sign in")
        staff.sign_in(STAFF, admin.email)
        staff.look("staff code")
        staff.fill(code="000000")
        staff.press("Continue")
        staff.look("staff wrong code", status=401)
        staff.follow("No phone at hand? Use a recovery code")
        staff.look("staff recovery code")
        staff.sign_in(STAFF, admin.email, secret=secret)
        staff.sees("The platform")
        staff.look("staff home")
        _add_an_isp(staff, slug)
        _search(staff)
        _suspend_and_resume(staff, slug)
        _see_the_rest(staff)
        staff.sign_out()
        assert staff.heading() == "Sign in"
        staff.go(STAFF, "/isps")
        assert staff.heading() == "Sign in", "the session is over"
        staff.look("staff sign in again")


def _add_an_isp(staff: Visitor, slug: str) -> None:
    staff.follow("Add an ISP", within="main")
    staff.look("staff new isp")
    staff.fill(slug="Not A Name")
    staff.fill(name=f"Lakeside Fibre {slug[-1]}", owner_name="Akinyi Odhiambo", owner_email=f"akinyi@{slug}.test")
    staff.press("Add and invite the owner")
    staff.sees("Please check this")
    staff.look("staff new isp refused", status=422)
    staff.fill(slug=slug)
    staff.press("Add and invite the owner")
    staff.sees("Its owner has been invited.")
    staff.look("staff isp")
    assert f"{slug}.wavu.localhost" in staff.page.locator("main").inner_text()


def _search(staff: Visitor) -> None:
    staff.follow("ISPs", within=".nav")
    staff.sees("Canary A Net")
    staff.look("staff isps")
    staff.fill(q="canary")
    staff.press("Search")
    assert sorted(staff.page.locator("tbody th").all_inner_texts()) == ["Canary A Net", "Canary B Net"]
    staff.fill(q="nobody of this name")
    staff.press("Search")
    staff.sees("No ISP matches this search.")
    staff.look("staff isps none")
    staff.follow("Show all")


def _suspend_and_resume(staff: Visitor, slug: str) -> None:
    name = f"Lakeside Fibre {slug[-1]}"
    staff.follow(name)
    staff.fill(reason="Unpaid since March")
    staff.tap("Suspend this ISP")
    assert staff.page.locator("[name=confirm]:invalid").count() == 1, "the browser asks for the tick by itself"
    staff.page.get_by_label("Close its portal and console now").check()
    staff.press("Suspend this ISP")
    staff.sees(f"{name} is suspended.")
    staff.look("staff isp suspended")
    staff.tap("Resume this ISP")
    staff.sees(f"Resume {name}?", within="#resume-isp")
    staff.look("staff resume question")
    staff.tap("Cancel", within="#resume-isp")
    assert not staff.page.locator("#resume-isp").is_visible()
    staff.tap("Resume this ISP")
    staff.press("Resume", within="#resume-isp")
    staff.sees(f"{name} is open again.")


def _see_the_rest(staff: Visitor) -> None:
    staff.follow("Staff", within=".nav")
    staff.look("staff people")
    staff.follow("Activity", within=".nav")
    staff.sees("ISP suspended")
    staff.look("staff activity")
    staff.open_menu()
    staff.look("staff menu")
    staff.follow("Your account", within=".menu")
    staff.look("staff account")


def test_a_suspended_isps_team_reads_why(chromium: Browser, site: Site, script: bool) -> None:
    isp = site.isp("Stopped Net", f"stopped-{int(script)}")
    with visit(chromium, site, script=script) as owner:
        owner.sign_in(CONSOLE, isp.owner.email)
        site.suspend(isp, "Unpaid since March")
        owner.go(CONSOLE)
        assert owner.heading() == "Your service is paused"
        owner.sees("Unpaid since March")
        owner.look("console suspended", status=403)
        owner.press("Sign out")
        assert owner.heading() == "Sign in"


def test_a_new_isps_portal_is_there_at_once(chromium: Browser, site: Site) -> None:
    site.isp("Fresh Net", "fresh-net")
    with visit(chromium, site, budget=PORTAL) as customer:
        customer.go("fresh-net")
        assert re.search("Welcome to Fresh Net", customer.page.content())
