"""Every page, with another tenant's ids: as if they did not exist, and nothing of theirs changes or shows."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tenants.airtel import AirtelAccount
from tenants.checkout import DeskSale, Renewal
from tenants.mpesa import MpesaQr
from tenants.payments.models import DeskPayment, SuspenseItem
from tenants.payouts import Payout
from tenants.reconciliation import DifferenceDecision
from tenants.subscribers import Subscriber
from tests.browser_client import Browser, without_tokens
from tests.isolation.conftest import account_of, change_of, row_of
from tests.world import CONSOLE_HOST, PASSWORD, STAFF_HOST, World
from wavu.accounts import SignIn
from wavu.db import Base, db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope
from wavu.web.security import flood

# How to fill each argument of an address with something of B's. A new argument without a line here fails the test.
FOREIGN: dict[str, Any] = {
    "account_id": lambda world, _: account_of(world.b),
    "airtel_id": lambda world, _: row_of(world.b, AirtelAccount),
    "change_id": lambda world, _: change_of(world.b),
    "code_id": lambda world, _: row_of(world.b, MpesaQr),
    "invitation_id": lambda world, _: world.b.invitation_id,
    "renewal_id": lambda world, _: row_of(world.b, Renewal),
    "sale_id": lambda world, _: row_of(world.b, DeskSale),
    "payout_id": lambda world, _: row_of(world.b, Payout),
    # Before there was any ISP: no day is another's.
    "day_of_books": lambda _world, _session: "2001-01-01",
    "case_id": lambda world, _: row_of(world.b, DifferenceDecision),
    "form": lambda _world, _session: "css",
    "item_id": lambda world, _: row_of(world.b, SuspenseItem),
    "payment_id": lambda world, _: row_of(world.b, DeskPayment),
    "subscriber_id": lambda world, _: row_of(world.b, Subscriber),
    "member_id": lambda world, _: world.b.cashier.membership_id,
    "session_id": lambda _, session_id: session_id,
    "tenant_id": lambda world, _: world.b.id,
    "token": lambda _world, _session: "0" * 64,
    "fingerprint": lambda _world, _session: "0" * 16,
    "name": lambda _world, _session: "nothing.css",
}
# These answer a foreign id with silence: they end one's own sessions, and there is nothing of one's own to end.
SILENT = {"account.end_session"}


def _rules(app: Flask, surface: str) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.host == surface]


def _address(rule: Rule, values: dict[str, Any]) -> str:
    built = rule.build(values)
    assert built is not None, rule
    return built[1]


def _tables_of_tenants() -> list[str]:
    return sorted(table.name for table in Base.metadata.tables.values() if "tenant_id" in table.c)


def _fingerprint(tenant_id: UUID) -> str:
    """Everything that a tenant has, in one number."""
    with tenant_scope(tenant_id), transaction():
        return "|".join(
            str(db.session.scalar(text(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")))
            for table in _tables_of_tenants()
        )


def _session_of(world: World) -> UUID:
    with tenant_scope(PLATFORM_ID), transaction():
        return db.session.scalars(select(SignIn.id).where(SignIn.person_id == world.b.owner.id)).one()


def test_ids_of_b_on_as_console_are_unknown(world: World, app: Flask, browser: Browser) -> None:
    Browser(app).sign_in(CONSOLE_HOST, world.b.owner)
    session_id = _session_of(world)
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, "/team")
    before, tried = _fingerprint(world.b.id), 0
    for rule in _rules(app, "console"):
        if not rule.arguments:
            continue
        foreign = {name: FOREIGN[name](world, session_id) for name in rule.arguments}
        unknown = {name: uuid4() if isinstance(value, UUID) else value for name, value in foreign.items()}
        for method in (rule.methods or set()) & {"GET", "POST"}:
            call = browser.get if method == "GET" else partial(browser.post, data={"role": "viewer"})
            tried += 1
            answers: list[TestResponse] = []
            bodies = []
            for values in (foreign, unknown):
                browser.get(CONSOLE_HOST, "/team")
                answers.append(call(CONSOLE_HOST, _address(rule, values)))
                bodies.append(without_tokens(answers[-1].text).replace(_address(rule, values), ""))
            assert answers[0].status_code == answers[1].status_code, rule
            if rule.endpoint not in SILENT:
                assert answers[0].status_code == 404, rule
                assert bodies[0] == bodies[1], rule
            assert "canary-b" not in answers[0].text.lower(), rule
    assert tried >= 8
    assert _fingerprint(world.b.id) == before
    with tenant_scope(PLATFORM_ID), transaction():
        assert db.session.get(SignIn, (PLATFORM_ID, session_id)) is not None


# Of one's own accord: signed in already; no second factor yet; a setting-up that was begun goes on where it is.
LEADS_ON = {"auth.sign_in", "auth.second_factor", "console.airtel_new", "console.mpesa_new"}


@pytest.mark.parametrize("who", ["owner", "cashier"])
def test_no_page_of_a_shows_anything_of_b(world: World, app: Flask, browser: Browser, who: str) -> None:
    browser.sign_in(CONSOLE_HOST, getattr(world.a, who))
    allowed = {200} if who == "owner" else {200, 403}
    for rule in _rules(app, "console"):
        if rule.arguments or "GET" not in (rule.methods or set()):
            continue
        page = browser.get(CONSOLE_HOST, rule.rule)
        assert page.status_code in (allowed | {302} if rule.endpoint in LEADS_ON else allowed), rule
        assert "canary-b" not in page.text.lower(), rule
        assert "Canary B" not in page.text, rule


def test_a_cashier_may_not_manage_the_team(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.cashier)
    browser.get(CONSOLE_HOST, "/account")
    before = _fingerprint(world.a.id)
    for path in (
        "/team/invite",
        f"/team/{world.a.owner.membership_id}/remove",
        f"/team/{world.a.owner.membership_id}/role",
        f"/team/invitations/{world.a.invitation_id}/revoke",
    ):
        assert browser.post(CONSOLE_HOST, path, {"role": "owner", "email": "x@y.test"}).status_code == 403
    assert browser.get(CONSOLE_HOST, "/activity").status_code == 403
    assert _fingerprint(world.a.id) == before


def test_nobody_gets_in_without_signing_in(
    world: World, app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flood, "limits", {})  # there are more pages than a person can open in a second
    public = {
        "auth.sign_in", "auth.second_factor", "auth.enrol_second_factor", "auth.forgot", "auth.reset", "auth.join",
        "auth.sign_out", "assets.serve",
    }  # fmt: skip
    for surface, host in (("console", CONSOLE_HOST), ("backoffice", STAFF_HOST)):
        for number, rule in enumerate(_rules(app, surface)):
            values = {name: FOREIGN[name](world, uuid4()) for name in rule.arguments}
            # So many pages in one second, from one address, are a flood.
            place = {"REMOTE_ADDR": f"198.51.100.{number % 250}"}
            for method in (rule.methods or set()) & {"GET", "POST"}:
                browser.get(host, "/sign-in", environ_base=place)
                call = browser.get if method == "GET" else browser.post
                response = call(host, _address(rule, values), environ_base=place)
                if rule.endpoint not in public:
                    assert response.status_code == 302, rule
                    assert (response.location or "").startswith("/sign-in"), rule


def test_an_owner_is_no_staff(world: World, browser: Browser) -> None:
    browser.get(STAFF_HOST, "/sign-in")
    response = browser.post(STAFF_HOST, "/sign-in", {"email": world.a.owner.email, "password": PASSWORD})
    assert response.status_code == 401
    assert browser.get(STAFF_HOST).location == "/sign-in"


def test_pages_of_one_surface_are_not_on_another(world: World, browser: Browser) -> None:
    for host in (world.a.host, CONSOLE_HOST):
        assert browser.get(host, "/isps").status_code == 404
    assert browser.get(world.a.host, "/sign-in").status_code == 404
    assert browser.get(world.a.host, "/team").status_code == 404


def test_every_tenants_table_is_in_the_fingerprint(app: Flask) -> None:
    """A table that the migrations made, but that no model names, would be left out."""
    made = text(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
    )
    with tenant_scope(None), transaction():
        assert set(db.session.scalars(made)) == set(_tables_of_tenants())
