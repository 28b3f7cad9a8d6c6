"""Mail goes over a real SMTP connection, and comes again when the server was away."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from rehearsal.servers import free_port
from tests.jobs.conftest import Factory
from wavu import accounts
from wavu.db import transaction
from wavu.outbox import Queue
from wavu.tenancy import find_tenant, tenant_scope


class Inbox(MessageHandler):
    def __init__(self) -> None:
        super().__init__()
        self.letters: list[email.message.EmailMessage] = []

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
