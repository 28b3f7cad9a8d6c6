"""Signing in, and everything that must not let anyone in."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select, text

from tests.browser_client import Browser, without_tokens
from tests.world import CONSOLE_HOST, PASSWORD, STAFF_HOST, Isp, Someone, World
from wavu import accounts, clock
from wavu.accounts import LoginAttempt, Membership, SignIn
from wavu.accounts.models import Credential
from wavu.db import db, transaction
from wavu.outbox import OutboxRow
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import outreach


def _cookie(browser: Browser, host: str) -> str:
    surface = "console" if host == CONSOLE_HOST else "backoffice"
    cookie = browser.client.get_cookie(f"__Host-wavu-{surface}", domain=host)
    assert cookie is not None
    return cookie.value


def test_an_owner_signs_in_and_sees_their_home(world: World, browser: Browser) -> None:
    assert browser.get(CONSOLE_HOST).location == "/sign-in"
    response = browser.sign_in(CONSOLE_HOST, world.a.owner)
    assert response.location == "/"
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-wavu-console=")
    for part in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"):
        assert part in cookie
    assert "Domain" not in cookie
    assert browser.get(CONSOLE_HOST).status_code == 200
    assert world.a.name in browser.text
    assert "canary-b" not in browser.page.decode().lower()


def test_the_page_asked_for_comes_after_signing_in_but_never_another_host(world: World, browser: Browser) -> None:
    assert browser.get(CONSOLE_HOST, "/team?x=1").location == "/sign-in?next=/team?x%3D1"
    for target, lands in (
        ("/team", "/team"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"), ("/\t/evil.example", "/"), ("/a\r\nSet-Cookie: x=1", "/"),
    ):  # fmt: skip
        fresh = Browser(browser.client.application)
        fresh.get(CONSOLE_HOST, "/sign-in")
        response = fresh.post(
            CONSOLE_HOST, "/sign-in", {"email": world.a.owner.email, "password": PASSWORD, "next": target}
        )
        assert response.location == lands, target


def test_staff_need_their_second_factor(world: World, browser: Browser) -> None:
    browser.get(STAFF_HOST, "/sign-in")
    response = browser.post(STAFF_HOST, "/sign-in", {"email": world.admin.email, "password": PASSWORD})
    assert response.location == "/sign-in/code"
    assert browser.get(STAFF_HOST).location == "/sign-in"
    browser.get(STAFF_HOST, "/sign-in/code")
    assert browser.post(STAFF_HOST, "/sign-in/code", {"code": "000000"}).status_code == 401
    code = world.code()
    assert browser.post(STAFF_HOST, "/sign-in/code", {"code": code}).location == "/"
    assert browser.get(STAFF_HOST).status_code == 200
    again = Browser(browser.client.application)
    again.get(STAFF_HOST, "/sign-in")
    again.post(STAFF_HOST, "/sign-in", {"email": world.admin.email, "password": PASSWORD})
    again.get(STAFF_HOST, "/sign-in/code")
    assert again.post(STAFF_HOST, "/sign-in/code", {"code": code}).status_code == 401, "a code counts once"


def test_staff_without_a_second_factor_set_one_up_before_anything_else(world: World, browser: Browser) -> None:
    with tenant_scope(PLATFORM_ID), transaction():
        db.session.execute(text("UPDATE credential SET totp_sealed = NULL, totp_confirmed_at = NULL"))
    browser.get(STAFF_HOST, "/sign-in")
    response = browser.post(STAFF_HOST, "/sign-in", {"email": world.staff.email, "password": PASSWORD})
    assert response.location == "/second-factor"
    assert browser.get(STAFF_HOST).location == "/sign-in"
    browser.get(STAFF_HOST, "/second-factor")
    image = browser.page.find("img", {"class": "qr"})
    assert image is not None
    assert str(image["src"]).startswith("data:image/svg+xml")
    shown = browser.page.find(id="secret")
    assert shown is not None
    secret = re.sub(r"\s", "", str(shown.get("value") or shown.get_text()))
    assert browser.post(STAFF_HOST, "/second-factor", {"code": "12 34"}).status_code == 401
    with clock.fixed(clock.now()):
        response = browser.post(STAFF_HOST, "/second-factor", {"code": pyotp.TOTP(secret).at(clock.now())})
    codes = re.findall(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", response.text)
    assert len(codes) == 10
    assert browser.get(STAFF_HOST).status_code == 200

    lost_phone = Browser(browser.client.application)
    for works in (True, False):
        lost_phone.get(STAFF_HOST, "/sign-in")
        lost_phone.post(STAFF_HOST, "/sign-in", {"email": world.staff.email, "password": PASSWORD})
        lost_phone.get(STAFF_HOST, "/sign-in/code?recovery=1")
        response = lost_phone.post(STAFF_HOST, "/sign-in/code?recovery=1", {"code": codes[0].lower()})
        assert response.status_code == (302 if works else 401)
        lost_phone.client.delete_cookie("__Host-wavu-backoffice", domain=STAFF_HOST)


@pytest.mark.parametrize("email", ["owner@canary-a.test", "nobody@canary-a.test", "admin@wavu.test"])
def test_a_wrong_password_an_unknown_address_and_a_stranger_look_the_same(
    world: World, browser: Browser, email: str
) -> None:
    browser.get(CONSOLE_HOST, "/sign-in")
    password = PASSWORD if email == "admin@wavu.test" else "not the password"
    response = browser.post(CONSOLE_HOST, "/sign-in", {"email": email, "password": password})
    assert response.status_code == 401
    assert "That e-mail and password do not match" in browser.text


def test_guessing_is_slowed_down_and_the_owner_at_home_is_not(world: World, browser: Browser) -> None:
    browser.get(CONSOLE_HOST, "/sign-in")
    thief = {"REMOTE_ADDR": "198.51.100.7"}
    for _ in range(5):
        browser.post(CONSOLE_HOST, "/sign-in", {"email": world.a.owner.email, "password": "guess"}, environ_base=thief)
    right = {"email": world.a.owner.email, "password": PASSWORD}
    response = browser.post(CONSOLE_HOST, "/sign-in", right, environ_base=thief)
    assert response.status_code == 429
    assert "Too many attempts" in response.text
    home = Browser(browser.client.application)
    home.get(CONSOLE_HOST, "/sign-in")
    assert home.post(CONSOLE_HOST, "/sign-in", right).location == "/"
    with clock.fixed(clock.now() + timedelta(minutes=16)):
        assert browser.post(CONSOLE_HOST, "/sign-in", right, environ_base=thief).location == "/"
    with tenant_scope(PLATFORM_ID), transaction():
        outcomes = [attempt.outcome for attempt in accounts.login_history(world.a.owner.id)]
    assert outcomes.count("refused") == 5


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_too_many_guesses_say_when_to_try_again_and_not_who_exists(world: World, app: Flask, accept: str) -> None:
    answers = []
    for email in (world.a.owner.email, world.a.owner.email.replace("owner", "nobod")):
        browser = Browser(app)
        browser.get(CONSOLE_HOST, "/sign-in")
        for guess in range(6):
            form = {"email": email, "password": f"guess {guess}"}
            response = browser.post(CONSOLE_HOST, "/sign-in", form, headers={"Accept": accept})
            assert response.status_code == (401 if guess < 5 else 429)
            assert ("Retry-After" in response.headers) is (guess == 5)
        answers.append((dict(response.headers) | {"Set-Cookie": ""}, without_tokens(response.text).replace(email, "")))
    assert answers[0] == answers[1]
    headers, text = answers[0]
    assert headers["Retry-After"] == "900"
    assert "Too many attempts. Wait 15 minutes" in text
    assert headers["Content-Type"].startswith(accept)
    if accept == "application/json":
        assert json.loads(text)["error"] | {"title": "", "message": ""} == {
            "status": 429, "code": "too_many_attempts", "title": "", "message": "", "reference": None,
            "retry_after": 900,
        }  # fmt: skip


def test_too_many_codes_and_passwords_of_someone_signed_in_are_429_too(world: World, app: Flask) -> None:
    staff, owner = Browser(app), Browser(app)
    staff.get(STAFF_HOST, "/sign-in")
    staff.post(STAFF_HOST, "/sign-in", {"email": world.staff.email, "password": PASSWORD})
    staff.get(STAFF_HOST, "/sign-in/code")
    codes = [staff.post(STAFF_HOST, "/sign-in/code", {"code": "000000"}) for _ in range(6)]
    owner.sign_in(CONSOLE_HOST, world.a.owner)
    owner.get(CONSOLE_HOST, "/account")
    change = {"current_password": "a guess", "new_password": "three unrelated words here"}
    changes = [owner.post(CONSOLE_HOST, "/account/password", change) for _ in range(5)]
    proofs = [owner.post(CONSOLE_HOST, "/prove", {"password": PASSWORD})]
    for refused in (codes, changes + proofs):
        assert [response.status_code for response in refused] == [401] * 5 + [429]
        assert refused[-1].headers["Retry-After"] == "900"


def test_cookies_do_not_travel_between_hosts_or_surfaces(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    cookie = _cookie(browser, CONSOLE_HOST)
    for host, surface in ((STAFF_HOST, "backoffice"), (world.b.host, "portal"), (CONSOLE_HOST, "console")):
        other = Browser(browser.client.application)
        other.client.set_cookie(f"__Host-wavu-{surface}", cookie, domain=host, secure=True)
        response = other.get(host)
        assert ("Sign out" in response.text) is (host == CONSOLE_HOST)
        if host == STAFF_HOST:
            assert response.location == "/sign-in"


def test_the_session_row_is_bound_to_its_host(world: World, browser: Browser) -> None:
    """Even a cookie that is signed for a host opens nothing there with the token of another one's session."""
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    with tenant_scope(PLATFORM_ID), transaction():
        row = db.session.scalars(select(SignIn)).one()
        assert (row.surface, row.host, row.chosen_tenant_id) == ("console", CONSOLE_HOST, world.a.id)
        row.host = "console.other.test"
    assert browser.get(CONSOLE_HOST).location == "/sign-in"


def test_sessions_end(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    phone = Browser(browser.client.application)
    phone.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, "/account")
    with tenant_scope(PLATFORM_ID), transaction():
        rows = db.session.scalars(select(SignIn).where(SignIn.person_id == world.a.owner.id)).all()
        foreign = rows[1].id
    browser.post(CONSOLE_HOST, f"/account/sessions/{foreign}/end")
    assert phone.get(CONSOLE_HOST).location == "/sign-in"
    assert browser.get(CONSOLE_HOST).status_code == 200
    with clock.fixed(clock.now() + timedelta(days=8)):
        assert browser.get(CONSOLE_HOST).location == "/sign-in", "a week unused"
    browser.get(CONSOLE_HOST)
    browser.post(CONSOLE_HOST, "/sign-out")
    assert browser.get(CONSOLE_HOST).location == "/sign-in"


def test_another_persons_session_cannot_be_ended(world: World, browser: Browser) -> None:
    victim = Browser(browser.client.application)
    victim.sign_in(CONSOLE_HOST, world.b.owner)
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, "/account")
    with tenant_scope(PLATFORM_ID), transaction():
        row = db.session.scalars(select(SignIn).where(SignIn.person_id == world.b.owner.id)).one()
    browser.post(CONSOLE_HOST, f"/account/sessions/{row.id}/end")
    assert victim.get(CONSOLE_HOST).status_code == 200


def _mailed(job: str) -> list[OutboxRow]:
    with transaction():
        return list(db.session.scalars(select(OutboxRow).where(OutboxRow.job == job).order_by(OutboxRow.id)))


def make_resets() -> None:
    """Performs the jobs that look up whose address was typed."""
    with tenant_scope(PLATFORM_ID), transaction():
        for row in db.session.scalars(select(OutboxRow).where(OutboxRow.job == "make_password_reset")).all():
            outreach.make_password_reset(row.payload)
            db.session.delete(row)


def _link(message: str) -> str:
    found = re.search(r"https://[a-z.]+(/\S+)", message)
    assert found is not None
    return found[1]


def test_a_forgotten_password_is_reset_once_by_its_link(world: World, browser: Browser, sent: list[str]) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    stranger = Browser(browser.client.application)
    for email in (world.a.owner.email, "nobody@nowhere.test"):
        stranger.get(CONSOLE_HOST, "/forgot")
        response = stranger.post(
            CONSOLE_HOST, "/forgot", {"email": email}, headers={"X-Forwarded-Host": "evil.example"}
        )
        assert "Check your e-mail" in response.text
    make_resets()
    with tenant_scope(PLATFORM_ID):
        (row,) = _mailed("send_password_reset")
        with transaction():
            call = next(outreach.send_password_reset(row.payload))
    call()
    link = _link(sent[0])
    assert sent[0].count("console.wavu.test")
    assert "evil" not in sent[0]
    stranger.get(CONSOLE_HOST, link)
    for bad in ("password123", "four blue\0elephants"):
        assert stranger.post(CONSOLE_HOST, link, {"password": bad}).status_code == 422
    assert stranger.post(CONSOLE_HOST, link, {"password": "four blue elephants"}).location == "/sign-in"
    assert browser.get(CONSOLE_HOST).location == "/sign-in", "every session ended"
    assert stranger.get(CONSOLE_HOST, link).status_code == 404
    stranger.get(CONSOLE_HOST, "/sign-in")
    response = stranger.post(
        CONSOLE_HOST, "/sign-in", {"email": world.a.owner.email, "password": "four blue elephants"}
    )
    assert response.location == "/"


def test_a_reset_link_expires(world: World, browser: Browser, sent: list[str]) -> None:
    browser.get(CONSOLE_HOST, "/forgot")
    browser.post(CONSOLE_HOST, "/forgot", {"email": world.a.owner.email})
    make_resets()
    with tenant_scope(PLATFORM_ID):
        (row,) = _mailed("send_password_reset")
        with transaction():
            next(outreach.send_password_reset(row.payload))()
    with clock.fixed(clock.now() + timedelta(minutes=21)):
        assert browser.get(CONSOLE_HOST, _link(sent[0])).status_code == 404


def test_changing_the_password_asks_for_the_old_one_and_tells_by_mail(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, "/account")
    change = {"current_password": "wrong", "new_password": "four blue elephants"}
    assert browser.post(CONSOLE_HOST, "/account/password", change).status_code == 401
    change["current_password"] = PASSWORD
    assert (
        browser.post(CONSOLE_HOST, "/account/password", change | {"new_password": "Owner canary-a"}).status_code == 422
    )
    assert browser.post(CONSOLE_HOST, "/account/password", change).location == "/account"
    with tenant_scope(PLATFORM_ID):
        assert [row.payload["what"] for row in _mailed("tell_credential_changed")] == ["password"]


@pytest.mark.parametrize("host", [STAFF_HOST, CONSOLE_HOST])
def test_whose_account_changed_can_take_it_back_where_they_sign_in(
    world: World, browser: Browser, sent: list[str], host: str
) -> None:
    someone = world.admin if host == STAFF_HOST else world.a.owner
    with tenant_scope(PLATFORM_ID), transaction():
        accounts.set_password(accounts.find_person(someone.id), "four blue elephants")
    with tenant_scope(PLATFORM_ID):
        (row,) = _mailed("tell_credential_changed")
        with transaction():
            call = next(outreach.tell_credential_changed(row.payload))
        call()
    assert f"https://{host}/forgot" in sent[0]
    browser.get(host, _link(sent[0]))
    browser.post(host, "/forgot", {"email": someone.email})
    make_resets()
    with tenant_scope(PLATFORM_ID):
        assert len(_mailed("send_password_reset")) == 1, "there is a link to follow"


def test_the_second_factor_needs_a_fresh_password_and_staff_keep_theirs(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    with clock.fixed(clock.now() + timedelta(minutes=16)):
        response = browser.get(CONSOLE_HOST, "/second-factor")
        assert response.location == "/prove?next=/second-factor"
        browser.get(CONSOLE_HOST, response.location)
        assert browser.post(CONSOLE_HOST, response.location, {"password": PASSWORD}).location == "/second-factor"
        assert browser.get(CONSOLE_HOST, "/second-factor").status_code == 200
    admin = Browser(browser.client.application)
    admin.sign_in(STAFF_HOST, world.admin, world)
    admin.get(STAFF_HOST, "/account")
    assert admin.post(STAFF_HOST, "/account/second-factor/off").status_code == 403
    with tenant_scope(PLATFORM_ID), transaction():
        row = db.session.scalars(select(Credential).where(Credential.person_id == world.admin.id)).one()
        assert row.has_second_factor


def test_a_form_without_its_token_is_refused(world: World, app: Flask) -> None:
    client = app.test_client()
    response = client.post("/sign-in", base_url=f"https://{CONSOLE_HOST}", data={"email": "a@b.test", "password": "x"})
    assert response.status_code == 400
    assert "cookies are off" in response.text


def test_attempts_are_kept_without_the_address_in_clear(world: World, browser: Browser) -> None:
    browser.get(CONSOLE_HOST, "/sign-in")
    browser.post(CONSOLE_HOST, "/sign-in", {"email": "someone@canary-x.test", "password": "x"})
    with tenant_scope(PLATFORM_ID), transaction():
        attempt = db.session.scalars(select(LoginAttempt)).one()
        assert attempt.person_id is None
        assert "canary-x" not in repr(vars(attempt))


def test_a_second_factor_that_is_on_is_not_replaced_by_whoever_has_the_password(world: World, browser: Browser) -> None:
    with tenant_scope(PLATFORM_ID), transaction():
        db.session.execute(text("UPDATE credential SET totp_sealed = NULL, totp_confirmed_at = NULL"))
    thief = Browser(browser.client.application)
    for each in (browser, thief):
        each.get(STAFF_HOST, "/sign-in")
        each.post(STAFF_HOST, "/sign-in", {"email": world.staff.email, "password": PASSWORD})
        each.get(STAFF_HOST, "/second-factor")
    shown = browser.page.find(id="secret")
    assert shown is not None
    secret = re.sub(r"\s", "", str(shown.get("value") or shown.get_text()))
    code = {"code": pyotp.TOTP(secret).at(clock.now())}
    assert browser.post(STAFF_HOST, "/second-factor", code).status_code == 200
    assert thief.get(STAFF_HOST, "/second-factor").location == "/sign-in"
    assert thief.post(STAFF_HOST, "/second-factor", {"code": "123456"}).location == "/sign-in"
    with tenant_scope(PLATFORM_ID), transaction():
        credential = db.session.scalars(select(Credential).where(Credential.person_id == world.staff.id)).one()
        assert credential.totp == secret
        assert credential.has_second_factor


def test_a_removed_colleague_of_the_staff_is_out(world: World, browser: Browser) -> None:
    browser.sign_in(STAFF_HOST, world.admin, world)
    with tenant_scope(PLATFORM_ID), transaction():
        db.session.execute(text("DELETE FROM membership WHERE person_id = :p"), {"p": world.admin.id})
    assert browser.get(STAFF_HOST).location == "/sign-in"
    assert browser.get(STAFF_HOST, "/sign-in").status_code == 200, "and not sent round in a circle"


def test_a_reset_password_works_at_once_after_too_many_guesses(world: World, browser: Browser) -> None:
    browser.get(CONSOLE_HOST, "/sign-in")
    for _ in range(6):
        browser.post(CONSOLE_HOST, "/sign-in", {"email": world.a.owner.email, "password": "guess"})
    with tenant_scope(PLATFORM_ID), transaction():
        accounts.set_password(accounts.find_person(world.a.owner.id), "four blue elephants")
    right = {"email": world.a.owner.email, "password": "four blue elephants"}
    assert browser.post(CONSOLE_HOST, "/sign-in", right).location == "/"


def _seen(isp: Isp, someone: Someone) -> datetime | None:
    with tenant_scope(isp.id), transaction():
        return next(member.membership.seen_at for member in accounts.members() if member.person.id == someone.id)


def test_a_team_learns_when_a_colleague_worked_here_and_not_when_elsewhere(world: World, browser: Browser) -> None:
    with tenant_scope(world.b.id), transaction():
        db.session.add(Membership(person_id=world.a.owner.id, role="viewer"))
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    assert _seen(world.a, world.a.owner) is None, "no ISP chosen yet"
    start = clock.now()
    with clock.fixed(start):
        browser.get(CONSOLE_HOST, "/choose")
        browser.post(CONSOLE_HOST, f"/choose/{world.a.id}")
    for minutes, chosen in ((10, world.a), (20, world.b), (30, world.b)):
        with clock.fixed(start + timedelta(minutes=minutes)):
            browser.get(CONSOLE_HOST, "/choose")
            browser.post(CONSOLE_HOST, f"/choose/{chosen.id}")
            assert browser.get(CONSOLE_HOST, "/team").status_code == 200
    with clock.fixed(start + timedelta(minutes=40)):
        browser.get(CONSOLE_HOST, "/team")
    assert _seen(world.b, world.a.owner) == start + timedelta(minutes=40)
    # The page that carried the browser from A to B was still one of A's.
    assert _seen(world.a, world.a.owner) == start + timedelta(minutes=20)
    cashier = Browser(browser.client.application)
    cashier.sign_in(CONSOLE_HOST, world.a.cashier)
    page = cashier.get(CONSOLE_HOST, "/team").text
    assert (start + timedelta(minutes=20)).isoformat() in page
    assert (start + timedelta(minutes=40)).isoformat() not in page


def test_staff_are_seen_among_the_staff_alone(world: World, browser: Browser) -> None:
    with tenant_scope(world.a.id), transaction():
        db.session.add(Membership(person_id=world.admin.id, role="viewer"))
    browser.sign_in(STAFF_HOST, world.admin, world)
    assert _seen(world.a, world.admin) is None
    with tenant_scope(PLATFORM_ID), transaction():
        seen = {member.person.email: member.membership.seen_at for member in accounts.members()}
    assert seen[world.admin.email] is not None
    assert seen[world.staff.email] is None
