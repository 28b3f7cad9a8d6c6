"""An owner sets M-Pesa up and changes where money goes, in both languages. The simulator's answers are in tests/mpesa;
here they are written as they would have been found."""

from __future__ import annotations

from typing import NamedTuple

from playwright.sync_api import Browser
from sqlalchemy import select

from tenants.mpesa import MpesaAccount, changes, setup
from tenants.mpesa.changes import Asker
from tenants.mpesa.setup import Numbers
from tests.browser.site import CONSOLE, Site
from tests.browser.visitor import visit
from tests.world import Isp, Someone
from wavu import clock
from wavu.accounts import Person, second_factor
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope

TYPED = {
    "number": "5123456", "store": "600200", "consumer_key": "a key", "consumer_secret": "a secret",
    "passkey": "a passkey", "contact_email": "books@accountant.test",
}  # fmt: skip


class Owner(NamedTuple):
    isp: Isp
    someone: Someone
    secret: str


def _owner(site: Site, slug: str) -> Owner:
    """The owner of an ISP of their own, who signs in with two steps."""
    isp = site.isp(f"Net {slug}", slug)
    someone = site.member(f"Owner {slug}", (isp, "owner"))
    with site.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        person = db.session.get_one(Person, someone.id)
        secret, _ = second_factor.begin_enrolment(person)
        credential = second_factor.credential_of(person.id)
        credential.totp_confirmed_at, person.second_factor_on = clock.now(), True
    return Owner(isp, someone, secret)


def _found(site: Site, isp: Isp, **states: str) -> None:
    """What the tests of the newest draft found: `state` or `state:code`."""
    with site.app.app_context(), tenant_scope(isp.id), transaction():
        query = select(MpesaAccount).where(MpesaAccount.draft).order_by(MpesaAccount.created_at.desc())
        draft = db.session.scalars(query).first()
        assert draft is not None
        for step, check in setup.checks_of(draft.id).items():
            check.state, _, code = states.get(step, "ok").partition(":")
            check.code, check.checked_at = code or None, clock.now()
            check.facts = {"name": "PENDO WIFI LIMITED"} if step == "organisation" and check.state == "ok" else {}


def test_an_owner_sets_m_pesa_up(chromium: Browser, site: Site, script: bool) -> None:
    owner = _owner(site, f"setup-{int(script)}")
    with visit(chromium, site, script=script) as visitor:
        visitor.sign_in(CONSOLE, owner.someone.email, secret=owner.secret)
        visitor.follow("Money", within=".nav")
        visitor.follow("M-Pesa", within="main")
        visitor.look("mpesa none")
        visitor.follow("Set up M-Pesa")
        visitor.look("mpesa form")
        visitor.page.get_by_label("Kind").select_option(label="Till")
        visitor.fill(**(TYPED | {"store": ""}))
        visitor.press("Save and test")
        visitor.sees("A Till has a store number too")
        visitor.look("mpesa form refused", status=422)
        visitor.page.get_by_label("Kind").select_option(label="Till")
        visitor.fill(**TYPED)
        visitor.press("Save and test")
        visitor.sees("The tests are running.")
        if not script:
            visitor.look("mpesa tests run")  # with one, the page loads itself anew meanwhile
        _found(site, owner.isp, organisation="skipped:no_product", passkey="wrong:shortcode")
        visitor.page.reload()
        visitor.sees("Safaricom does not take prompts for this number.")
        visitor.look("mpesa wrong value")
        _found(site, owner.isp)
        visitor.page.reload()
        visitor.look("mpesa confirm")
        visitor.fill(phone="0712 345 678")
        visitor.press("Yes, this is ours")
        _found(site, owner.isp, urls="skipped:registered_elsewhere")
        visitor.page.reload()
        visitor.sees("open Self Services")
        visitor.look("mpesa try and use")
        visitor.press("Use this account")
        visitor.sees("Till 5123456 now takes payments.")
        visitor.look("mpesa in use")
        visitor.go(CONSOLE)
        visitor.sees("Not tried yet")
        visitor.look("mpesa on home")


def test_a_change_waits_for_another(chromium: Browser, site: Site) -> None:
    owner = _owner(site, "change")
    manager = site.member("Manager change", (owner.isp, "manager"))
    _account_in_use(site, owner, "600100")
    with visit(chromium, site) as visitor:
        visitor.sign_in(CONSOLE, owner.someone.email, secret=owner.secret)
        visitor.go(CONSOLE, "/money/mpesa")
        visitor.follow("Change numbers or keys")
        visitor.sees("Nothing changes yet.")
        visitor.look("mpesa change form")
        visitor.fill(number="600300")
        visitor.press("Save and test")
        _found(site, owner.isp)
        visitor.page.reload()
        visitor.fill(phone="0712 345 678")
        visitor.press("Yes, this is ours")
        _found(site, owner.isp)
        visitor.page.reload()
        visitor.look("mpesa change tested")
        visitor.press("Use this account")
        visitor.sees("Payments shall go to PayBill 600300")
        visitor.look("mpesa change waits")
        visitor.tap("Cancel the change")
        visitor.sees("Payments go on as they do now.")
        visitor.look("mpesa change cancel question")
        visitor.press("Cancel the change", within="[popover]:visible")
        visitor.sees("Nothing has changed.")
    with visit(chromium, site) as other:
        other.sign_in(CONSOLE, manager.email)
        other.go(CONSOLE, "/money/mpesa")
        other.look("mpesa of a manager")


def _account_in_use(site: Site, owner: Owner, number: str) -> None:
    with site.app.app_context(), tenant_scope(owner.isp.id), transaction():
        numbers = Numbers("production", "paybill", number, number)
        draft = setup.start_draft(
            numbers, contact_email="books@accountant.test", key="a key", secret="a secret", passkey="a passkey"
        )
        setup.start_checks(draft, setup.BEFORE)
        for check in setup.checks_of(draft.id).values():
            check.state = "ok"
        db.session.flush()
        changes.use(draft, Asker(owner.someone.id, "Owner"))


def test_the_same_in_swahili(chromium: Browser, site: Site) -> None:
    owner = _owner(site, "swahili")
    _account_in_use(site, owner, "600100")
    with visit(chromium, site) as visitor:
        visitor.sign_in(CONSOLE, owner.someone.email, secret=owner.secret)
        visitor.go(CONSOLE, "/money/mpesa?lang=sw")
        visitor.look("mpesa sw in use")
        visitor.follow("Badilisha nambari au funguo")
        visitor.look("mpesa sw form")
        visitor.fill(number="600300")
        visitor.press("Hifadhi na ujaribu")
        _found(site, owner.isp, passkey="wrong:passkey")
        visitor.page.reload()
        visitor.look("mpesa sw wrong value")
        _found(site, owner.isp)
        visitor.page.reload()
        visitor.look("mpesa sw confirm")
        visitor.fill(phone="0712 345 678")
        visitor.press("Ndiyo, ni yetu")
        _found(site, owner.isp, urls="skipped:registered_elsewhere", pull="unknown:down")
        visitor.page.reload()
        visitor.look("mpesa sw try and use")
        visitor.press("Tumia akaunti hii")
        visitor.sees("Malipo yataenda kwa PayBill 600300")
        visitor.look("mpesa sw change waits")
