"""The console of an owner with a second factor, and the simulator that their values are tried against."""

from __future__ import annotations

from typing import NamedTuple

import pyotp
import pytest
from werkzeug.test import TestResponse

from tests.browser_client import Browser
from tests.shop import Shop
from tests.world import PASSWORD, Isp, Someone, join, make_person
from wavu import clock, tenancy
from wavu.accounts import Person, second_factor
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope

CONSOLE = "console.wavu.localhost"
RIGHT = {
    "environment": "rehearsal", "kind": "paybill", "number": "600300", "store": "", "consumer_key": "key-new",
    "consumer_secret": "secret-new", "passkey": "passkey-new", "contact_email": "books@accountant.test",
}  # fmt: skip


class Office(NamedTuple):
    """A's owner, signed in with two steps; `isp` is A."""

    shop: Shop
    browser: Browser
    owner: Someone

    @property
    def isp(self) -> Isp:
        return self.shop.world.a

    def get(self, path: str = "/money/mpesa") -> TestResponse:
        return self.browser.get(CONSOLE, path)

    def post(self, path: str, **data: str) -> TestResponse:
        return self.browser.post(CONSOLE, path, data)

    @property
    def text(self) -> str:
        return self.browser.text

    def start(self, **changed: str) -> str:
        """Types the values, has them tested, and opens the page of the draft. Returns its path."""
        self.get("/money/mpesa/new")
        answer = self.post("/money/mpesa/new", **(RIGHT | changed))
        assert answer.status_code == 302, answer.text
        self.shop.work("check_mpesa")
        self.get(answer.location)
        return str(answer.location)

    def tested(self, **changed: str) -> str:
        """A draft of which everything was tested and told."""
        path = self.start(**changed)
        assert self.post(f"{path}/confirm", phone="0712345678").status_code == 302
        self.shop.work("check_mpesa")
        self.get(path)
        return path


def enrolled(shop: Shop, someone: Someone) -> str:
    with shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        person = db.session.get_one(Person, someone.id)
        secret, _ = second_factor.begin_enrolment(person)
        credential = second_factor.credential_of(person.id)
        credential.totp_confirmed_at, person.second_factor_on = clock.now(), True
        return secret


def signed_in(shop: Shop, someone: Someone) -> Browser:
    """In a browser of their own, with both steps."""
    secret, browser = enrolled(shop, someone), Browser(shop.app)
    browser.get(CONSOLE, "/sign-in")
    browser.post(CONSOLE, "/sign-in", {"email": someone.email, "password": PASSWORD})
    browser.get(CONSOLE, "/sign-in/code")
    answer = browser.post(CONSOLE, "/sign-in/code", {"code": pyotp.TOTP(secret).at(clock.now())})
    assert answer.status_code == 302, answer.text
    return browser


def colleague(shop: Shop, role: str) -> Someone:
    with shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        person = make_person(f"Second {role}", f"second-{role}@canary-a.test")
        with tenancy.visiting(shop.world.a.id):
            return join(person, role)


@pytest.fixture
def office(shop: Shop) -> Office:
    owner = shop.world.a.owner
    shop.sim.add_app("key-new", "secret-new", shortcode="600300", till=None, passkey="passkey-new")
    return Office(shop, signed_in(shop, owner), owner)
