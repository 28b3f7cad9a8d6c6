"""Whoever may invite can make us write to a stranger: only so often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select

from tests.browser_client import Browser
from tests.web.test_sign_in import make_resets
from tests.world import CONSOLE_HOST, STAFF_HOST, Isp, World
from wavu import accounts, audit, clock, tenancy
from wavu.accounts import inviting
from wavu.accounts.models import PasswordReset
from wavu.db import db, transaction
from wavu.outbox import OutboxRow
from wavu.tenancy import PLATFORM_ID, Tenant, tenant_scope

STRANGER = "stranger@elsewhere.test"
NEW = {"brand_color": "#aa3300", "timezone": "Africa/Nairobi", "owner_name": "Akinyi", "owner_email": STRANGER}


def _mails(tenant_id: UUID) -> int:
    with tenant_scope(tenant_id), transaction():
        jobs = select(func.count()).select_from(OutboxRow).where(OutboxRow.job == "send_invitation")
        return db.session.scalar(jobs) or 0


def _invitation(tenant_id: UUID, email: str) -> UUID:
    with tenant_scope(tenant_id), transaction():
        return next(found.id for found in accounts.invitations() if found.email == email)


def _lines(tenant_id: UUID, email: str) -> int:
    with tenant_scope(tenant_id), transaction():
        return audit.count("team.invited", since=clock.now() - timedelta(days=1), email=email)


def _console(isp: Isp, browser: Browser) -> tuple[str, str, UUID]:
    browser.sign_in(CONSOLE_HOST, isp.owner)
    return CONSOLE_HOST, "/team", isp.id


def _staff(world: World, browser: Browser) -> tuple[str, str, UUID]:
    browser.sign_in(STAFF_HOST, world.admin, world)
    return STAFF_HOST, "/staff", PLATFORM_ID


TEAMS: dict[str, Callable[[World, Browser], tuple[str, str, UUID]]] = {
    "isp": lambda world, browser: _console(world.a, browser),
    "platform": _staff,
}


@pytest.mark.parametrize("team", TEAMS)
def test_one_address_gets_five_a_day_however_they_are_sent(world: World, browser: Browser, team: str) -> None:
    host, page, tenant_id = TEAMS[team](world, browser)
    before = _mails(tenant_id)
    invite = {"email": f" {STRANGER.upper()}", "role": "viewer" if team == "isp" else "staff"}
    browser.get(host, page)
    assert browser.post(host, f"{page}/invite", invite).status_code == 302
    mine = f"{page}/invitations/{_invitation(tenant_id, STRANGER)}"
    for _ in range(2):
        browser.get(host, page)
        browser.post(host, f"{mine}/resend")
    # Withdrawn and made anew: another row, the same stranger.
    browser.get(host, page)
    browser.post(host, f"{mine}/revoke")
    for _ in range(2):
        browser.get(host, page)
        assert browser.post(host, f"{page}/invite", invite).status_code == 302
    assert _mails(tenant_id) == before + 5

    browser.get(host, page)
    refused = browser.post(host, f"{page}/invite", invite)
    assert refused.status_code == 429
    says = f"{STRANGER} was sent 5 invitations in a day"
    assert says in browser.text
    assert browser.post(host, f"{page}/invitations/{_invitation(tenant_id, STRANGER)}/resend").location == page
    browser.get(host, page)
    assert says in browser.text
    assert _mails(tenant_id) == before + 5
    assert _lines(tenant_id, STRANGER) == 5
    assert browser.post(host, f"{page}/invite", invite | {"email": "other@elsewhere.test"}).status_code == 302

    with clock.fixed(clock.now() + timedelta(days=1, minutes=1)):
        again = Browser(browser.client.application)
        TEAMS[team](world, again)
        again.get(host, page)
        assert again.post(host, f"{page}/invite", invite).status_code == 302


def test_what_one_isp_sent_neither_hinders_nor_shows_at_another(world: World, browser: Browser) -> None:
    invite = {"email": STRANGER, "role": "viewer"}
    for isp in (world.a, world.b):
        each = Browser(browser.client.application)
        _console(isp, each)
        for _ in range(5):
            each.get(CONSOLE_HOST, "/team")
            assert each.post(CONSOLE_HOST, "/team/invite", invite).status_code == 302
    assert (_lines(world.a.id, STRANGER), _lines(world.b.id, STRANGER)) == (5, 5)


def test_a_team_sends_only_so_many_a_day(world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inviting, "PER_TEAM", 4)
    host, page, tenant_id = _console(world.a, browser)
    statuses = []
    for number in range(4):
        browser.get(host, page)
        statuses.append(
            browser.post(host, f"{page}/invite", {"email": f"s{number}@elsewhere.test", "role": "viewer"}).status_code
        )
    assert statuses == [302, 302, 302, 429], "the world has sent one before"
    assert "Your team sent 4 invitations in a day" in browser.text
    with tenant_scope(tenant_id), transaction():
        assert "s3@elsewhere.test" not in {found.email for found in accounts.invitations()}
    other = Browser(browser.client.application)
    _console(world.b, other)
    other.get(host, page)
    assert other.post(host, f"{page}/invite", {"email": "s3@elsewhere.test", "role": "viewer"}).status_code == 302


def test_staff_cannot_reach_a_stranger_by_way_of_many_isps(world: World, browser: Browser) -> None:
    _staff(world, browser)
    for number in range(3):
        browser.get(STAFF_HOST, "/isps/new")
        made = browser.post(STAFF_HOST, "/isps/new", NEW | {"name": f"Net {number}", "slug": f"net-{number}"})
        assert made.status_code == 302
    with tenant_scope(PLATFORM_ID), transaction():
        isp = db.session.scalars(select(Tenant.id).where(Tenant.slug == "net-2")).one()
    for _ in range(2):
        browser.get(STAFF_HOST, f"/isps/{isp}")
        browser.post(STAFF_HOST, f"/isps/{isp}/invitations/{_invitation(isp, STRANGER)}/resend")
    assert (_lines(PLATFORM_ID, STRANGER), _lines(isp, STRANGER), _mails(isp)) == (5, 3, 3)

    says = f"{STRANGER} was sent 5 invitations in a day"
    browser.get(STAFF_HOST, f"/isps/{isp}")
    browser.post(STAFF_HOST, f"/isps/{isp}/invitations/{_invitation(isp, STRANGER)}/resend")
    browser.get(STAFF_HOST, f"/isps/{isp}")
    assert says in browser.text
    browser.get(STAFF_HOST, "/isps/new")
    refused = browser.post(STAFF_HOST, "/isps/new", NEW | {"name": "Net 3", "slug": "net-3"})
    assert refused.status_code == 429
    assert says in browser.text
    assert (_lines(PLATFORM_ID, STRANGER), _mails(isp)) == (5, 3)
    with tenant_scope(PLATFORM_ID), transaction():
        assert tenancy.resolve(tenancy.NameKind.HOST, "net-3.wavu.test") is None, "nothing was made"


def test_forgotten_passwords_send_only_so_many_links(world: World, browser: Browser) -> None:
    def links() -> int:
        with tenant_scope(PLATFORM_ID), transaction():
            return len(db.session.scalars(select(PasswordReset.id)).all())

    start = clock.now()
    for hour, expected in ((0, 3), (2, 6), (4, 9), (6, 10), (8, 10)):
        with clock.fixed(start + timedelta(hours=hour)):
            for _ in range(4):
                browser.get(CONSOLE_HOST, "/forgot")
                asked = browser.post(CONSOLE_HOST, "/forgot", {"email": world.a.owner.email})
                assert "Check your e-mail" in asked.text, "says nothing either way"
                make_resets()
        assert links() == expected
    browser.get(CONSOLE_HOST, "/forgot")
    browser.post(CONSOLE_HOST, "/forgot", {"email": world.b.owner.email})
    make_resets()
    assert links() == 11
