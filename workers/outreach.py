"""Jobs that tell people things. Mail goes out at least once: a crash between sending and recording repeats it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any
from uuid import UUID

from flask import current_app
from flask_babel import force_locale
from flask_babel import gettext as _

from config import Settings
from tenants import mpesa
from wavu import accounts, mail, outbox
from wavu.outbox import Queue
from wavu.tenancy import current_tenant

Outside = Generator[Callable[[], None], None, None]


def _origin(surface: str) -> str:
    settings: Settings = current_app.extensions["settings"]
    prefix = {"backoffice": "staff", "console": "console"}[surface]
    return settings.origin(f"{prefix}.{settings.platform_domain}")


def send_invitation(event: dict[str, Any]) -> Outside:
    """The link to join a team. An invitation that was withdrawn or renewed meanwhile is not sent."""
    invitation_id = UUID(event["invitation_id"])
    invitation = next((found for found in accounts.invitations() if found.id == invitation_id), None)
    if invitation is None:
        return
    token = accounts.open_invitation_token(invitation_id, event["sealed_token"])
    if not accounts.is_current(invitation, token):
        return
    tenant = current_tenant()
    with force_locale(tenant.locale):
        role = _(accounts.roles_of(tenant.kind)[invitation.role].label)
        message = mail.Message(
            to=invitation.email,
            subject=_("Join %(name)s on Wavu", name=tenant.name),
            text=_(
                "Hello,\n\n%(inviter)s invites you to the team of %(name)s. Your role: %(role)s.\n\n"
                "Accept here within 7 days:\n%(link)s\n\nIf you do not expect this, ignore it: nothing happens.",
                inviter=invitation.invited_by,
                name=tenant.name,
                role=role,
                link=f"{_origin('backoffice' if tenant.kind == 'platform' else 'console')}/join/{token}",
            ),
        )
    yield lambda: mail.send(message)


def make_password_reset(event: dict[str, Any]) -> None:
    """Makes the link, if the address that was typed is somebody's."""
    accounts.make_password_reset(event["email"], event["surface"])


def send_password_reset(event: dict[str, Any]) -> Outside:
    """The link to choose a new password."""
    reset_id = UUID(event["reset_id"])
    token = accounts.open_reset_token(reset_id, event["sealed_token"])
    person = accounts.person_of_reset(reset_id)
    if person is None:
        return
    with force_locale(person.locale):
        message = mail.Message(
            to=person.email,
            subject=_("Choose a new password for Wavu"),
            text=_(
                "Hello %(name)s,\n\nChoose a new password within 20 minutes:\n%(link)s\n\n"
                "If you did not ask for this, ignore it: your password stays as it is.",
                name=person.name,
                link=f"{_origin(event['surface'])}/reset/{token}",
            ),
        )
    yield lambda: mail.send(message)


def tell_credential_changed(event: dict[str, Any]) -> Outside:
    """A note that a password or a second factor changed, in case it was not its owner."""
    person = accounts.find_person(UUID(event["person_id"]))
    # Where they sign in: the other surface would send them no link.
    surface = "backoffice" if accounts.is_staff(person.id) else "console"
    with force_locale(person.locale):
        what = {
            "password": _("Your password was changed."),
            "second factor on": _("Two-step sign-in was turned on."),
            "second factor off": _("Two-step sign-in was turned off."),
        }[event["what"]]
        message = mail.Message(
            to=person.email,
            subject=_("Your Wavu account changed"),
            text=_(
                "Hello %(name)s,\n\n%(what)s\n\nWas it not you? Choose a new password at once: %(link)s",
                name=person.name,
                what=what,
                link=f"{_origin(surface)}/forgot",
            ),
        )
    yield lambda: mail.send(message)


def tell_owners_suspended(event: dict[str, Any]) -> None:
    """Why their console and portal are closed: a message of its own for each owner."""
    _tell_each_owner("suspended", event["at"], event)


def tell_owners_resumed(event: dict[str, Any]) -> None:
    """That they are open again: a message of its own for each owner."""
    _tell_each_owner("resumed", event["at"], event)


def tell_owners_mpesa_fault(event: dict[str, Any]) -> None:
    """That customers cannot pay until somebody mends the account: a message of its own for each owner, once a day."""
    _tell_each_owner("mpesa_fault", f"{event['account_id']} {event['found_on']}", event)


def _tell_each_owner(what: str, once: str, event: dict[str, Any]) -> None:
    for membership, person in accounts.members():
        if membership.role == "owner":
            payload = {**event, "what": what, "person_id": str(person.id)}
            outbox.put(Queue.MESSAGES, "tell_owner", f"{what} {once} {person.id}", payload)


def tell_owner(payload: dict[str, Any]) -> Outside:
    """One owner's message. Somebody who left the team meanwhile gets none; nor is a mended fault told."""
    person_id = UUID(payload["person_id"])
    member = next((member for member in accounts.members() if member.person.id == person_id), None)
    if member is None or member.membership.role != "owner":
        return
    with force_locale(member.person.locale):
        said = _WORDS[payload["what"]](payload)
    if said is None:
        return
    subject, text = said
    message = mail.Message(to=member.person.email, subject=subject, text=text)
    yield lambda: mail.send(message)


def _suspended(payload: dict[str, Any]) -> tuple[str, str]:
    name = current_tenant().name
    text = _(
        "Hello,\n\nThe console and the portal of %(name)s are closed for now. Reason: %(reason)s\n\n"
        "Nothing was deleted. Answer this message to talk to us.",
        name=name,
        reason=payload["reason"],
    )
    return _("%(name)s is suspended on Wavu", name=name), text


def _resumed(_payload: dict[str, Any]) -> tuple[str, str]:
    name = current_tenant().name
    text = _("Hello,\n\nThe console and the portal of %(name)s are open again.", name=name)
    return _("%(name)s is open again on Wavu", name=name), text


def _mpesa_fault(payload: dict[str, Any]) -> tuple[str, str] | None:
    account, name = mpesa.find_account(UUID(payload["account_id"])), current_tenant().name
    if account.fault is None:
        return None
    text = _(
        "Hello,\n\nCustomers of %(name)s cannot pay: M-Pesa payments fail at %(account)s.\n\n%(fault)s\n\n"
        "The console shows when payments work again:\n%(link)s",
        name=name,
        account=account.label,
        fault=_(account.fault),
        link=f"{_origin('console')}/",
    )
    return _("%(name)s: M-Pesa payments fail", name=name), text


_WORDS: dict[str, Callable[[dict[str, Any]], tuple[str, str] | None]] = {
    "suspended": _suspended,
    "resumed": _resumed,
    "mpesa_fault": _mpesa_fault,
}
