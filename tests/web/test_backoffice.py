"""Platform staff look after ISPs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, text

from tests.browser_client import Browser
from tests.world import CONSOLE_HOST, PASSWORD, STAFF_HOST, World
from wavu import accounts, audit, clock, tenancy
from wavu.accounts import Person
from wavu.db import db, transaction
from wavu.outbox import OutboxRow
from wavu.tenancy import PLATFORM_ID, Tenant, tenant_scope
from workers import outreach

NEW = {
    "name": "Lakeside Fibre", "slug": "lakeside", "brand_color": "#AA3300", "timezone": "Africa/Kampala",
    "owner_name": "Akinyi Odhiambo", "owner_email": "Akinyi@Lakeside.test",
}  # fmt: skip


def _staff(world: World, browser: Browser) -> Browser:
    browser.sign_in(STAFF_HOST, world.admin, world)
    return browser


def _actions(tenant_id: UUID) -> list[str]:
    with tenant_scope(tenant_id), transaction():
        return [entry.action for entry in audit.trail()]


def test_an_isp_is_added_and_its_owner_walks_in(world: World, browser: Browser, sent: list[str]) -> None:
    _staff(world, browser)
    browser.get(STAFF_HOST, "/isps/new")
    response = browser.post(STAFF_HOST, "/isps/new", NEW)
    assert response.status_code == 302
    page = browser.get(STAFF_HOST, response.location)
    assert "Lakeside Fibre" in page.text
    assert "akinyi@lakeside.test" in page.text
    with tenant_scope(PLATFORM_ID), transaction():
        tenant = db.session.scalars(select(Tenant).where(Tenant.slug == "lakeside")).one()
    assert (tenant.brand_color, tenant.timezone) == ("#aa3300", "Africa/Kampala")
    assert _actions(tenant.id) == ["team.invited", "tenant.created"]
    assert "tenant.created" in _actions(PLATFORM_ID)
    assert "Lakeside Fibre" in browser.get("lakeside.wavu.test").text

    with tenant_scope(tenant.id), transaction():
        (row,) = db.session.scalars(select(OutboxRow)).all()
        call = next(outreach.send_invitation(row.payload))
    call()
    link = sent[0].split("https://console.wavu.test")[1].split()[0]
    owner = Browser(browser.client.application)
    owner.get(CONSOLE_HOST, link)
    assert "Lakeside Fibre" in owner.text
    weak = {"name": "Akinyi Odhiambo", "password": "lakeside12"}
    assert owner.post(CONSOLE_HOST, link, weak).status_code == 422
    assert owner.post(CONSOLE_HOST, link, weak | {"password": PASSWORD}).location == "/sign-in"
    assert owner.get(CONSOLE_HOST, link).status_code == 404, "a link works once"
    owner.get(CONSOLE_HOST, "/sign-in")
    assert owner.post(CONSOLE_HOST, "/sign-in", {"email": "akinyi@lakeside.test", "password": PASSWORD}).location == "/"
    assert "Lakeside Fibre" in owner.get(CONSOLE_HOST).text


def test_bad_input_is_named_and_nothing_is_made(world: World, browser: Browser) -> None:
    _staff(world, browser)
    for change, status, says in (
        ({"slug": "isp-a"}, 409, "is taken"),
        ({"slug": "mpesa"}, 422, "some names are kept"),
        ({"slug": "-x-"}, 422, "small letters"),
        ({"name": ""}, 422, "Fill this in"),
        ({"owner_email": "nobody"}, 422, "Enter an e-mail address"),
        ({"brand_color": "red"}, 422, "Enter a colour"),
        ({"timezone": "Mars/Base"}, 422, "choice"),
    ):
        browser.get(STAFF_HOST, "/isps/new")
        response = browser.post(STAFF_HOST, "/isps/new", NEW | change)
        assert (response.status_code, says in browser.text) == (status, True), (change, browser.text)
    with tenant_scope(PLATFORM_ID), transaction():
        assert db.session.scalars(select(Tenant.slug).where(Tenant.kind == "isp").order_by(Tenant.slug)).all() == [
            "isp-a",
            "isp-b",
        ]


def test_suspending_and_resuming_is_audited_on_both_sides_and_told(
    world: World, browser: Browser, sent: list[str]
) -> None:
    _staff(world, browser)
    page = f"/isps/{world.a.id}"
    browser.get(STAFF_HOST, page)
    assert browser.post(STAFF_HOST, f"{page}/suspend", {"reason": "Unpaid"}).status_code == 422, "not confirmed"
    assert browser.post(STAFF_HOST, f"{page}/suspend", {"reason": "Unpaid", "confirm": "y"}).location == page
    assert "Unpaid" in browser.get(STAFF_HOST, page).text
    assert browser.post(STAFF_HOST, f"{page}/suspend", {"reason": "Again", "confirm": "y"}).location == page
    said = browser.get(STAFF_HOST, page).text
    assert "was suspended already. The reason stays: Unpaid" in said
    assert "Again" not in said
    for words in ("is open again.", "was open already."):
        assert browser.post(STAFF_HOST, f"{page}/resume").location == page
        assert words in browser.get(STAFF_HOST, page).text
    for tenant_id in (world.a.id, PLATFORM_ID):
        assert _actions(tenant_id)[:2] == ["tenant.resumed", "tenant.suspended"]
    assert "tenant.suspended" not in _actions(world.b.id)
    with tenant_scope(world.a.id), transaction():
        assert {entry.actor for entry in audit.trail(limit=2)} == {"Admin"}
        rows = db.session.scalars(select(OutboxRow).where(OutboxRow.job == "tell_owners_suspended")).all()
        assert len(rows) == 1
        outreach.tell_owners_suspended(rows[0].payload)
        told = db.session.scalars(select(OutboxRow).where(OutboxRow.job == "tell_owner")).all()
        assert [row.payload["person_id"] for row in told] == [str(world.a.owner.id)]
        call = next(outreach.tell_owner(told[0].payload))
    call()
    assert "Reason: Unpaid" in sent[0]


def _invite(world: World, email: str, role: str) -> UUID:
    with tenant_scope(world.a.id), transaction():
        tenant = tenancy.find_tenant(world.a.id)
        return accounts.invite(email=email, role=role, invited_by="Admin", tenant=tenant).id


def test_staff_send_an_owners_invitation_again_or_withdraw_it(world: World, browser: Browser) -> None:
    mine = _invite(world, "new-owner@canary-a.test", "owner")
    with tenant_scope(world.a.id), transaction():
        db.session.execute(text("UPDATE invitation SET expires_at = now() - interval '1 day'"))
    _staff(world, browser)
    page = f"/isps/{world.a.id}"
    browser.get(STAFF_HOST, page)
    assert "The link has expired" in browser.text
    assert "invited@canary-a.test" not in browser.text, "whom an ISP employs is its own business"
    assert browser.post(STAFF_HOST, f"{page}/invitations/{mine}/resend").location == page
    browser.get(STAFF_HOST, page)
    assert "A new link is on its way to new-owner@canary-a.test" in browser.text
    assert "The link works until" in browser.text
    for wrong in (
        f"/isps/{world.b.id}/invitations/{mine}",
        f"/isps/{PLATFORM_ID}/invitations/{mine}",
        f"{page}/invitations/{world.a.invitation_id}",
        f"{page}/invitations/{world.b.invitation_id}",
    ):
        for act in ("resend", "revoke"):
            browser.get(STAFF_HOST, page)
            assert browser.post(STAFF_HOST, f"{wrong}/{act}").status_code == 404
    browser.get(STAFF_HOST, page)
    assert browser.post(STAFF_HOST, f"{page}/invitations/{mine}/revoke").location == page
    browser.get(STAFF_HOST, page)
    assert "The link works until" not in browser.text
    for path in ("/", "/activity"):
        page_text = browser.get(STAFF_HOST, path).text
        assert page_text.count(f"{world.a.name}: new-owner@canary-a.test") == 2, "sent again, and withdrawn"
    for tenant_id in (world.a.id, PLATFORM_ID):
        assert _actions(tenant_id)[:2] == ["team.invitation_revoked", "team.invited"]
    with tenant_scope(world.b.id), transaction():
        assert [i.id for i in accounts.invitations()] == [world.b.invitation_id]


def test_characters_that_nobody_sees_are_refused(world: World, browser: Browser) -> None:
    _staff(world, browser)
    browser.get(STAFF_HOST, "/isps/new")
    for bad in (
        "Lake\x00side", "Lake\nside", "Lake\u2028side", "Lake\u202eside", "Lake\x85side", "Lake\u200bside",
        "Lake\u200dside", "\ufeffLakeside", "Lake\xadside", "Lake\u2066side", "\u3164", "Lake\U000e0041side",
    ):  # fmt: skip
        for field in ("name", "slug", "owner_name", "owner_email", "brand_color"):
            response = browser.post(STAFF_HOST, "/isps/new", NEW | {field: bad})
            assert (response.status_code, "cannot be shown" in browser.text) == (422, True), (field, bad)
    page = f"/isps/{world.a.id}"
    browser.get(STAFF_HOST, page)
    reason = {"confirm": "y", "reason": "Un\x00paid"}
    assert browser.post(STAFF_HOST, f"{page}/suspend", reason).status_code == 422
    browser.get(STAFF_HOST, page)
    assert browser.post(STAFF_HOST, f"{page}/suspend", reason | {"reason": "Unpaid\r\nsince May"}).location == page


def test_a_name_is_kept_composed(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, "/account")
    hidden = {"name": "Wanjiru\u200b", "locale": "en"}
    assert browser.post(CONSOLE_HOST, "/account/profile", hidden).status_code == 422
    assert browser.post(CONSOLE_HOST, "/account/profile", hidden | {"name": " Wanjiru\u0303 "}).status_code == 302
    with tenant_scope(PLATFORM_ID), transaction():
        assert accounts.find_person(world.a.owner.id).name == "Wanjir\u0169"
        assert accounts.find_person(world.b.owner.id).name == "Owner canary-b"


def test_queries_that_no_column_can_hold_are_no_bug(world: World, browser: Browser) -> None:
    _staff(world, browser)
    assert browser.get(STAFF_HOST, "/isps?q=CAN%00ARY%E2%80%AE").status_code == 200
    owner = Browser(browser.client.application)
    owner.sign_in(CONSOLE_HOST, world.a.owner)
    for before in (10**20, 2**63 - 1, -(10**20), 0):
        assert browser.get(STAFF_HOST, f"/activity?before={before}").status_code == 200
        assert owner.get(CONSOLE_HOST, f"/activity?before={before}").status_code == 200


def test_staff_without_the_right_only_look(world: World, browser: Browser) -> None:
    with tenant_scope(PLATFORM_ID), transaction():
        db.session.execute(text("UPDATE membership SET role = 'staff'"))
    _staff(world, browser)
    assert browser.get(STAFF_HOST, f"/isps/{world.a.id}").status_code == 200
    browser.get(STAFF_HOST, "/account")
    assert browser.post(STAFF_HOST, f"/isps/{world.a.id}/suspend", {"reason": "x", "confirm": "y"}).status_code == 403
    invitation = _invite(world, "new-owner@canary-a.test", "owner")
    for act in ("resend", "revoke"):
        assert browser.post(STAFF_HOST, f"/isps/{world.a.id}/invitations/{invitation}/{act}").status_code == 403
    assert browser.get(STAFF_HOST, "/isps/new").status_code == 403
    assert "tenant.suspended" not in _actions(world.a.id)


def test_the_list_searches_filters_and_pages(world: World, browser: Browser) -> None:
    _staff(world, browser)
    with tenant_scope(PLATFORM_ID), transaction():
        start = clock.now()
        for number in range(60):
            db.session.add(
                Tenant(slug=f"many-{number}", name=f"Many {number:02}", created_at=start + timedelta(seconds=number))
            )
    page = browser.get(STAFF_HOST, "/isps")
    first = [cell.get_text() for cell in browser.page.select("tbody th a")]
    assert len(first) == 50
    assert first[0] == "Many 59"
    more = browser.page.find("a", rel="next")
    assert more is not None
    browser.get(STAFF_HOST, str(more["href"]))
    second = [cell.get_text() for cell in browser.page.select("tbody th a")]
    assert len(second) == 12
    assert not set(first) & set(second)
    browser.get(STAFF_HOST, "/isps?q=CANARY")
    assert sorted(cell.get_text() for cell in browser.page.select("tbody th a")) == [world.a.name, world.b.name]
    browser.get(STAFF_HOST, "/isps?q=100%25")
    assert browser.page.select("tbody th a") == []
    browser.get(STAFF_HOST, "/isps?status=suspended")
    assert browser.page.select("tbody th a") == []
    assert page.status_code == 200
    assert browser.get(STAFF_HOST, "/isps?after=nonsense&status=nonsense").status_code == 200


def test_the_list_takes_few_statements(world: World, browser: Browser, statements: list[str]) -> None:
    _staff(world, browser)
    browser.get(STAFF_HOST, "/isps")
    statements.clear()
    browser.get(STAFF_HOST, "/isps")
    few = [sql for sql in statements if sql.startswith("SELECT")]
    assert len(few) <= 6, few


def test_the_platform_itself_is_no_isp(world: World, browser: Browser) -> None:
    _staff(world, browser)
    browser.get(STAFF_HOST, "/isps")
    assert browser.get(STAFF_HOST, f"/isps/{PLATFORM_ID}").status_code == 404
    assert browser.post(STAFF_HOST, f"/isps/{PLATFORM_ID}/suspend", {"reason": "x", "confirm": "y"}).status_code == 404


def test_home_tells_the_truth(world: World, browser: Browser) -> None:
    _staff(world, browser)
    assert browser.get(STAFF_HOST).status_code == 200
    assert "does not answer" in browser.text, "there is no RADIUS daemon in this test"


def test_people_come_and_go(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, "/team")
    again = browser.post(CONSOLE_HOST, "/team/invite", {"email": world.a.cashier.email, "role": "support"})
    assert (again.status_code, "already in the team" in again.text) == (409, True)
    browser.get(CONSOLE_HOST, "/team")
    assert (
        browser.post(CONSOLE_HOST, "/team/invite", {"email": "New@Canary-a.test", "role": "manager"}).status_code == 302
    )
    assert "new@canary-a.test" in browser.get(CONSOLE_HOST, "/team").text
    bad = browser.post(CONSOLE_HOST, "/team/invite", {"email": "x@y.test", "role": "admin"})
    assert bad.status_code == 422
    browser.get(CONSOLE_HOST, "/team")
    browser.post(CONSOLE_HOST, f"/team/{world.a.owner.membership_id}/remove")
    assert "Someone must stay in charge" in browser.get(CONSOLE_HOST, "/team").text
    cashier = Browser(browser.client.application)
    cashier.sign_in(CONSOLE_HOST, world.a.cashier)
    assert cashier.get(CONSOLE_HOST).status_code == 200
    browser.get(CONSOLE_HOST, "/team")
    browser.post(CONSOLE_HOST, f"/team/{world.a.cashier.membership_id}/role", {"role": "owner"})
    browser.get(CONSOLE_HOST, "/team")
    browser.post(CONSOLE_HOST, f"/team/{world.a.cashier.membership_id}/remove")
    assert cashier.get(CONSOLE_HOST).location == "/choose", "out at once"
    cashier.get(CONSOLE_HOST, "/choose")
    assert "more than one team" not in cashier.text
    with tenant_scope(PLATFORM_ID), transaction():
        assert db.session.get(Person, world.a.cashier.id) is not None
    assert _actions(world.a.id)[:3] == ["team.removed", "team.role_changed", "team.invited"]


def test_a_person_of_two_isps_chooses(world: World, browser: Browser) -> None:
    from wavu.accounts import Membership

    with tenant_scope(world.b.id), transaction():
        db.session.add(Membership(person_id=world.a.owner.id, role="viewer"))
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    assert browser.get(CONSOLE_HOST).location == "/choose"
    browser.get(CONSOLE_HOST, "/choose")
    assert world.a.name in browser.text
    assert world.b.name in browser.text
    assert "You belong to more than one team" in browser.text
    browser.post(CONSOLE_HOST, f"/choose/{world.b.id}")
    assert world.b.name in browser.get(CONSOLE_HOST).text
    assert browser.get(CONSOLE_HOST, "/activity").status_code == 403, "a viewer there, an owner elsewhere"
    assert browser.post(CONSOLE_HOST, f"/choose/{PLATFORM_ID}").status_code == 404
