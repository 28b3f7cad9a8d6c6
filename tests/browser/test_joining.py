"""Links that come by mail: joining a team, choosing a new password."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.site import CONSOLE, STAFF, Site
from tests.browser.visitor import visit
from tests.world import PASSWORD
from wavu import mail


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[mail.Message]:
    messages: list[mail.Message] = []
    monkeypatch.setattr(mail, "send", lambda *some: messages.extend(some))
    return messages


def _path_in(messages: list[mail.Message], to: str) -> str:
    """The path of the link in the last mail to someone."""
    text = next(message.text for message in reversed(messages) if message.to == to)
    (link,) = re.findall(r"http\S+", text)
    return str(urlsplit(link).path)


def test_an_invited_person_joins(chromium: Browser, site: Site, script: bool, sent: list[mail.Message]) -> None:
    isp = site.isp("Joining Net", f"joining-{int(script)}")
    with visit(chromium, site, script=script) as owner:
        owner.sign_in(CONSOLE, isp.owner.email)
        owner.go(CONSOLE, "/team")
        owner.fill(email=f"new@joining-{script}.test".lower())
        owner.press("Send invitation")
    site.deliver(isp.id)
    email = f"new@joining-{script}.test".lower()
    with visit(chromium, site, script=script) as newcomer:
        newcomer.go(CONSOLE, _path_in(sent, email))
        assert newcomer.heading() == "Join Joining Net"
        newcomer.look("join")
        newcomer.fill(name="Wambui Kariuki", password="wambui kariuki")
        newcomer.press("Join the team")
        newcomer.look("join weak password", status=422)
        newcomer.fill(password=PASSWORD)
        newcomer.press("Join the team")
        newcomer.sees("Welcome to the team.")
        newcomer.look("joined")
        newcomer.go(CONSOLE, _path_in(sent, email))
        newcomer.look("link used up", status=404)
        newcomer.sign_in(CONSOLE, email)
        newcomer.sees("Wambui", within="h1")


def test_a_colleague_with_an_account_only_says_yes(
    chromium: Browser, site: Site, script: bool, sent: list[mail.Message]
) -> None:
    isp = site.isp("Second Net", f"second-{int(script)}")
    known = site.member(f"Musa {script}", (site.world.a, "technician"))
    with visit(chromium, site, script=script) as owner:
        owner.sign_in(CONSOLE, isp.owner.email)
        owner.go(CONSOLE, "/team")
        owner.fill(email=known.email)
        owner.press("Send invitation")
    site.deliver(isp.id)
    with visit(chromium, site, script=script) as musa:
        musa.go(CONSOLE, _path_in(sent, known.email))
        musa.sees(known.email)
        musa.look("join with an account")
        musa.press("Join the team")
        musa.sign_in(CONSOLE, known.email)
        assert musa.heading() == "Where to?"


def test_a_forgotten_password(chromium: Browser, site: Site, script: bool, sent: list[mail.Message]) -> None:
    person = site.member(f"Zawadi {script}", (site.world.a, "cashier"))
    with visit(chromium, site, script=script) as visitor:
        visitor.go(CONSOLE, "/sign-in")
        visitor.follow("Forgot your password?")
        visitor.look("forgot")
        visitor.fill(email=person.email)
        visitor.press("Send the link")
        visitor.look("forgot sent")
        site.deliver()
        visitor.go(CONSOLE, _path_in(sent, person.email))
        visitor.look("reset")
        visitor.fill(password="short")
        visitor.press("Save password")
        visitor.look("reset weak", status=422)
        visitor.fill(password="nine sleepy crocodiles")
        visitor.press("Save password")
        visitor.sees("Your new password is set.")
        visitor.fill(email=person.email, password="nine sleepy crocodiles")
        visitor.press("Sign in")
        visitor.sees("Zawadi", within="h1")


def test_staff_who_join_set_up_two_steps_first(
    chromium: Browser, site: Site, script: bool, sent: list[mail.Message]
) -> None:
    admin, secret = site.admin(f"Inviter {script}")
    email = f"colleague-{script}@wavu.test".lower()
    with visit(chromium, site, script=script) as inviter:
        inviter.sign_in(STAFF, admin.email, secret=secret)
        inviter.go(STAFF, "/staff")
        inviter.fill(email=email)
        inviter.press("Send invitation")
        inviter.sees("The invitation is on its way")
        inviter.look("staff people invited")
    site.deliver()
    with visit(chromium, site, script=script) as colleague:
        colleague.go(STAFF, _path_in(sent, email))
        colleague.look("staff join")
        colleague.fill(name="Chebet Koech", password=PASSWORD)
        colleague.press("Join the team")
        colleague.sign_in(STAFF, email)
        assert colleague.heading() == "Set up two-step sign-in"
        colleague.look("staff must set up two steps")
