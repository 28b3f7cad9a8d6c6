"""An ISP's people in their console."""

from __future__ import annotations

import re

from playwright.sync_api import Browser

from tests.browser.site import CONSOLE, Site
from tests.browser.visitor import Visitor, code, visit


def test_an_owners_day(chromium: Browser, site: Site, script: bool) -> None:
    owner_ = site.member(f"Achieng {script}", (site.world.a, "owner"))
    with visit(chromium, site, script=script) as owner:
        owner.go(CONSOLE)
        assert owner.heading() == "Sign in"
        owner.fill(email=owner_.email, password="not my password")
        owner.press("Sign in")
        owner.sees("Please check this")
        owner.look("console sign in refused", status=401)
        owner.sign_in(CONSOLE, owner_.email)
        owner.sees("Achieng", within="h1")
        owner.look("console home")
        _invite_and_withdraw(owner)
        owner.follow("Activity", within=".nav")
        owner.sees("Invitation withdrawn")
        owner.look("console activity")
        owner.open_menu()
        owner.look("console menu")
        owner.go(CONSOLE, "/sign-in")
        assert "Achieng" in owner.heading(), "already signed in"
        owner.sign_out()
        assert owner.heading() == "Sign in"


def _invite_and_withdraw(owner: Visitor) -> None:
    owner.follow("Team", within=".nav")
    email = f"otieno-{int(owner.script)}@canary-a.test"
    owner.look("console team")
    owner.fill(email=email)
    owner.page.get_by_label("Role", exact=True).last.select_option(label="Cashier")
    owner.press("Send invitation")
    owner.sees(f"The invitation is on its way to {email}.")
    owner.look("console team invited")
    row = owner.page.locator("li", has_text=email)
    row.get_by_role("button", name=f"Withdraw {email}").click()
    owner.sees("Withdraw the invitation?")
    owner.look("console withdraw question")
    owner.press("Withdraw", within="[popover]:visible")
    owner.sees("The invitation is withdrawn.")
    assert email not in owner.page.locator("main").inner_text()


def test_language_profile_and_password(chromium: Browser, site: Site, script: bool) -> None:
    manager_ = site.member(f"Brian {script}", (site.world.b, "manager"))
    with visit(chromium, site, script=script) as manager:
        manager.sign_in(CONSOLE, manager_.email)
        manager.follow("Account", within=".nav")
        manager.look("console account")
        manager.page.locator("[name=locale]").select_option(label="Kiswahili")
        manager.press("Save profile")
        manager.sees("Akaunti yako", within="h1")
        manager.look("console account sw")
        for page in ("home", "team"):
            manager.go(CONSOLE, f"/{page}".removesuffix("home"))
            manager.look(f"console {page} sw")
        manager.go(CONSOLE, "/account?lang=en")
        manager.fill(current_password="nonsense", new_password="four purple umbrellas dancing")
        manager.press("Change password")
        manager.look("console password refused", status=401)
        manager.fill(current_password="three unrelated giraffes", new_password="four purple umbrellas dancing")
        manager.press("Change password")
        manager.sees("Your password is changed.")


def test_a_second_factor_from_end_to_end(chromium: Browser, site: Site, script: bool) -> None:
    owner_ = site.member(f"Halima {script}", (site.world.a, "owner"))
    with visit(chromium, site, script=script) as owner:
        owner.sign_in(CONSOLE, owner_.email)
        owner.follow("Set up two-step sign-in")
        owner.look("second factor scan")
        secret = re.sub(r"\s", "", owner.page.locator("#secret").inner_text())
        owner.fill(code="12 34")
        owner.press("Turn on")
        owner.look("second factor wrong code", status=422)
        owner.fill(code=code(secret))
        owner.press("Turn on")
        owner.sees("Save your recovery codes")
        owner.look("second factor codes")
        spare = owner.page.locator("#codes li").all_inner_texts()
        assert len(spare) == 10
        owner.page.get_by_label("I have saved these codes").check()
        owner.press("Done")
        assert "Halima" in owner.heading()
        owner.sign_out()

        owner.sign_in(CONSOLE, owner_.email, secret=secret, ahead=1)
        owner.go(CONSOLE, "/account")
        owner.sees("10 recovery codes left.")
        owner.look("console account protected")
        owner.sign_out()

        owner.sign_in(CONSOLE, owner_.email)
        owner.follow("No phone at hand? Use a recovery code")
        owner.look("recovery code")
        owner.fill(code=spare[3].lower())
        owner.press("Continue")
        owner.go(CONSOLE, "/account")
        owner.sees("9 recovery codes left.")
        _renew_codes_and_turn_off(owner)


def _renew_codes_and_turn_off(owner: Visitor) -> None:
    owner.tap("New recovery codes")
    owner.sees("Make new recovery codes?")
    owner.press("Make new codes", within="[popover]:visible")
    assert owner.page.locator("#codes li").count() == 10
    owner.look("new recovery codes")
    owner.go(CONSOLE, "/account")
    owner.tap("Turn off")
    owner.sees("Turn off two-step sign-in?")
    owner.look("turn off question")
    owner.press("Turn it off", within="[popover]:visible")
    owner.sees("Two-step sign-in is off.")


def test_someone_of_two_isps_chooses(chromium: Browser, site: Site, script: bool) -> None:
    two = site.member(f"Kevin {script}", (site.world.a, "manager"), (site.world.b, "viewer"))
    with visit(chromium, site, script=script) as person:
        person.sign_in(CONSOLE, two.email)
        assert person.heading() == "Where to?"
        person.look("choose an isp")
        person.page.get_by_role("button", name="Canary B Net").click()
        person.sees("Canary B Net", within=".top")
        person.look("console home of a viewer")
        assert person.page.locator(".nav").get_by_text("Activity").count() == 0
        person.go(CONSOLE, "/activity")
        assert person.heading() == "Not allowed"
        person.look("not allowed", status=403)
