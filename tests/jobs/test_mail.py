"""Mail goes over a real SMTP connection, and comes again when the server was away."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from rehearsal.servers import free_port
from tests.jobs.conftest import Factory
from tests.world import join, make_person
from wavu import accounts, mail, tenancy
from wavu.db import transaction
from wavu.errors import Outage
from wavu.outbox import Queue
from wavu.tenancy import PLATFORM_ID, find_tenant, tenant_scope


class Inbox(MessageHandler):
    """Answers `refusals` to their addresses, and `verdict` to every message."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[email.message.EmailMessage] = []
        self.refusals: dict[str, str] = {}
        self.verdict = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.verdict != "250 OK":
            return self.verdict
        return str(await super().handle_DATA(server, session, envelope))

    def handle_message(self, message: email.message.Message) -> None:
        self.letters.append(email.message_from_bytes(message.as_bytes(), policy=email.policy.default))


@pytest.fixture
def inbox(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    inbox, port = Inbox(), free_port()
    settings = factory.settings
    url = type(settings.smtp_url)(f"smtp://127.0.0.1:{port}")
    monkeypatch.setitem(factory.app.extensions, "settings", settings.model_copy(update={"smtp_url": url}))
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    inbox.controller = controller  # type: ignore[attr-defined]
    yield inbox
    if controller.server is not None:
        controller.stop()


def _invite(factory: Factory, address: str = "juma@canary-a.test") -> None:
    with factory.app.app_context(), tenant_scope(factory.world.a.id), transaction():
        tenant = find_tenant(factory.world.a.id)
        accounts.invite(email=address, role="support", invited_by="Amina", tenant=tenant)


def _round(factory: Factory) -> None:
    factory.step()
    for arguments in factory.waiting(Queue.MESSAGES):
        from workers import runtime

        runtime.run(*arguments)
    factory.redis.flushdb()


def test_an_invitation_waits_for_the_mail_server(factory: Factory, inbox: Inbox) -> None:
    _invite(factory)
    _round(factory)
    assert factory.rows("state, last_error") == [("ready", "Outage: the mail server does not answer")]
    inbox.controller.start()  # type: ignore[attr-defined]
    factory.sql("UPDATE outbox SET run_at = now()")
    _round(factory)
    (letter,) = inbox.letters
    assert letter["To"] == "juma@canary-a.test"
    assert letter["From"] == "Wavu <hello@wavu.test>"
    assert factory.world.a.name in letter["Subject"]
    body = letter.get_content()
    assert "https://console.wavu.test/join/" in body
    assert factory.rows("state") == [("done",)]


def test_a_withdrawn_or_renewed_invitation_is_not_sent(factory: Factory, inbox: Inbox) -> None:
    inbox.controller.start()  # type: ignore[attr-defined]
    _invite(factory)
    _invite(factory)
    _round(factory)
    assert len(inbox.letters) == 1, "the newer link only"
    _invite(factory, "second@canary-a.test")
    with factory.app.app_context(), tenant_scope(factory.world.a.id), transaction():
        (invitation,) = [i for i in accounts.invitations() if i.email == "second@canary-a.test"]
        accounts.revoke(invitation.id)
    _round(factory)
    assert len(inbox.letters) == 1
    assert {state for (state,) in factory.rows("state")} == {"done"}


def _second_owner(factory: Factory) -> None:
    with factory.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        person = make_person("Second Owner", "second@canary-a.test")
        with tenancy.visiting(factory.world.a.id):
            join(person, "owner")


def _suspend(factory: Factory) -> None:
    with factory.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        tenancy.suspend(factory.world.a.id, "Unpaid")


def test_one_owners_dead_mailbox_is_final_and_keeps_nothing_from_the_other(factory: Factory, inbox: Inbox) -> None:
    inbox.controller.start()  # type: ignore[attr-defined]
    inbox.refusals = {"second@canary-a.test": "550 5.1.1 No such user"}
    _second_owner(factory)
    _suspend(factory)
    for _ in range(3):
        _round(factory)
    assert [letter["To"] for letter in inbox.letters] == [factory.world.a.owner.email]
    told = "job, state, failures, last_error"
    assert sorted(factory.rows(told), key=str) == [
        ("tell_owner", "done", 0, "undeliverable"),
        ("tell_owner", "done", 0, None),
        ("tell_owners_suspended", "done", 0, None),
    ]


@pytest.mark.parametrize(
    ("refusals", "verdict", "outcome"),
    [
        ({"juma@canary-a.test": "450 4.2.1 Busy"}, "250 OK", ("ready", "Outage: the mail server does not answer")),
        ({}, "451 4.3.0 Later", ("ready", "Outage: the mail server does not answer")),
        ({}, "554 5.7.1 Spam", ("done", "undeliverable")),
    ],
)
def test_a_no_for_now_is_tried_again_and_a_no_for_good_is_not(
    factory: Factory, inbox: Inbox, refusals: dict[str, str], verdict: str, outcome: tuple[str, str]
) -> None:
    inbox.controller.start()  # type: ignore[attr-defined]
    inbox.refusals, inbox.verdict = refusals, verdict
    _invite(factory)
    _round(factory)
    assert factory.rows("state, last_error") == [outcome]


def test_a_line_break_in_a_name_breaks_no_mail(factory: Factory, inbox: Inbox) -> None:
    inbox.controller.start()  # type: ignore[attr-defined]
    with factory.app.app_context():
        mail.send(mail.Message("juma@canary-a.test", "Join Lake\r\nBcc: x@y.test\u2028side\x00", "Hello"))
    (letter,) = inbox.letters
    assert letter["Subject"] == "Join Lake Bcc: x@y.test side"
    assert letter["Bcc"] is None


def test_a_password_is_not_sent_in_the_clear(factory: Factory, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.controller.start()  # type: ignore[attr-defined]
    plain: str = factory.app.extensions["settings"].smtp_url.get_secret_value()
    settings = factory.settings
    url = type(settings.smtp_url)(plain.replace("//", "//user:secret@"))
    monkeypatch.setitem(factory.app.extensions, "settings", settings.model_copy(update={"smtp_url": url}))
    logins: list[str] = []
    monkeypatch.setattr("smtplib.SMTP.login", lambda _self, user, _password: logins.append(user))
    with factory.app.app_context():
        mail.send(mail.Message("juma@canary-a.test", "Hello", "Hello"))
        assert logins == ["user"], "nobody listens on loopback"
        monkeypatch.setattr(mail, "_is_loopback", lambda _host: False)
        with pytest.raises(Outage):
            mail.send(mail.Message("juma@canary-a.test", "Hello", "Hello"))
    assert (logins, len(inbox.letters)) == (["user"], 1)
