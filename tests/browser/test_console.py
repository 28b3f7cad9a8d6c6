"""An ISP's people in their console."""

from __future__ import annotations

import re

from playwright.sync_api import Browser

from tenants import mpesa
from tenants.mpesa import accounts as mpesa_accounts
from tests.browser.site import CONSOLE, Site
from tests.browser.visitor import Visitor, code, visit
from tests.world import PASSWORD
from wavu.db import transaction
from wavu.tenancy import tenant_scope


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
        manager.fill(current_password=PASSWORD, new_password="four purple umbrellas dancing")
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
        owner.look("second factor wrong code", status=401)
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


def test_a_role_changes_and_a_person_goes(chromium: Browser, site: Site, script: bool) -> None:
    isp = site.isp("Parting Net", f"parting-{int(script)}")
    leaver_ = site.member(f"Juma {script}", (isp, "viewer"))
    with visit(chromium, site, script=script) as leaver, visit(chromium, site, script=script) as owner:
        leaver.sign_in(CONSOLE, leaver_.email)
        owner.sign_in(CONSOLE, isp.owner.email)
        owner.go(CONSOLE, "/team")
        owner.tap(f"Change role Juma {script}")
        owner.page.locator("[popover]:visible").get_by_label("Role").select_option(label="Manager")
        owner.look("console role question")
        owner.press("Save role", within="[popover]:visible")
        owner.sees("The role is changed.")
        owner.tap(f"Remove Juma {script}")
        owner.look("console remove question")
        owner.press(f"Remove Juma {script}", within="[popover]:visible")
        owner.sees("They are no longer in the team.")

        leaver.go(CONSOLE, "/team")
        leaver.sees("You are in no team at the moment.")
        leaver.look("no team")
        leaver.press("Sign out")
        assert leaver.heading() == "Sign in"


def test_a_change_that_matters_asks_for_the_password_again(chromium: Browser, site: Site, script: bool) -> None:
    person = site.member(f"Amina {script}", (site.world.b, "support"))
    with visit(chromium, site, script=script) as visitor:
        visitor.sign_in(CONSOLE, person.email)
        visitor.go(CONSOLE, "/prove?next=/team")
        visitor.look("is it you")
        visitor.fill(password="not my password")
        visitor.press("Continue")
        visitor.look("it is not you", status=401)
        visitor.fill(password=PASSWORD)
        visitor.press("Continue")
        assert visitor.heading() == "Team"


def test_mpesa_that_needs_mending(chromium: Browser, site: Site, script: bool) -> None:
    isp = site.isp("Mending Net", f"mending-{int(script)}")
    numbers = {"kind": "till", "business_short_code": "600200", "party_b": "5123456"}
    secrets = {"consumer_key": "key", "consumer_secret": "secret", "passkey": "passkey"}
    with visit(chromium, site, script=script) as owner:
        owner.sign_in(CONSOLE, isp.owner.email)
        owner.sees("There is no M-Pesa account yet")
        with site.app.app_context(), tenant_scope(isp.id), transaction():
            account = mpesa.add_account(environment="sandbox", **numbers, **secrets)
            mpesa_accounts.note_fault(account.id, "store_and_till")
        owner.go(CONSOLE)
        owner.sees("M-Pesa payments fail at Till 5123456", within="h2")
        owner.look("console home mpesa fails")
        owner.go(CONSOLE, "/?lang=sw")
        owner.look("console home mpesa fails sw")
