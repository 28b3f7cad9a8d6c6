"""Jobs that tell people things. Mail goes out at least once: a crash between sending and recording repeats it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import force_locale, format_datetime
from flask_babel import gettext as _

from config import Settings
from tenants import airtel, mpesa
from wavu import accounts, mail, money, outbox
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


def tell_owners_initiator_set(event: dict[str, Any]) -> None:
    """That somebody gave an M-Pesa account a new initiator, in case it was not them."""
    _tell_each_owner("initiator_set", f"{event['account_id']} {event['at']}", event)


def tell_owners_initiator_fault(event: dict[str, Any]) -> None:
    """That M-Pesa refuses an initiator, or needs something mended: once a day and thing."""
    _tell_each_owner("initiator_fault", f"{event['account_id']} {event['fix']} {event['found_on']}", event)


def tell_owners_initiator_ages(event: dict[str, Any]) -> None:
    """That an initiator's password ends soon."""
    _tell_each_owner("initiator_ages", f"{event['account_id']} {event['set_on']} {event['days']}", event)


def tell_owners_payout_limit(event: dict[str, Any]) -> None:
    """That one person alone may soon pay out more, in case nobody meant it."""
    _tell_each_owner("payout_limit", event["at"], event)


def tell_owners_mpesa_silent(event: dict[str, Any]) -> None:
    """That no payment comes though customers pay: a message of its own for each owner, once for each silence."""
    _tell_each_owner("mpesa_silent", f"{event['account_id']} {event['since']}", event)


def tell_mpesa_change(event: dict[str, Any]) -> None:
    """That money shall go elsewhere: a message of its own for each owner, one to the contact that was there before."""
    _tell_each_owner("mpesa_change", f"{event['change_id']} {event['turn']}", event)
    change = mpesa.changes.find_change(UUID(event["change_id"]))
    if change.contact_email is not None:
        outbox.put(Queue.MESSAGES, "tell_mpesa_contact", f"{change.id} {event['turn']}", event)


def tell_mpesa_contact(event: dict[str, Any]) -> Outside:
    """The same, to an address that whoever has taken over the console has not."""
    change = mpesa.changes.find_change(UUID(event["change_id"]))
    with force_locale(current_tenant().locale):
        subject, text = _mpesa_change(event)
    message = mail.Message(to=change.contact_email or "", subject=subject, text=text)
    yield lambda: mail.send(message)


def tell_airtel_change(event: dict[str, Any]) -> None:
    """As tell_mpesa_change, of Airtel Money."""
    once = f"{event['account_id']} {event['turn']} {event['asked_at']}"
    _tell_each_owner("airtel_change", once, event)
    if airtel.find_account(UUID(event["account_id"])).told_email is not None:
        outbox.put(Queue.MESSAGES, "tell_airtel_contact", once, event)


def tell_airtel_contact(event: dict[str, Any]) -> Outside:
    """The same, to an address that whoever has taken over the console has not."""
    account = airtel.find_account(UUID(event["account_id"]))
    with force_locale(current_tenant().locale):
        subject, text = _airtel_change(event)
    message = mail.Message(to=account.told_email or "", subject=subject, text=text)
    yield lambda: mail.send(message)


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


def _initiator_set(payload: dict[str, Any]) -> tuple[str, str]:
    account, name = mpesa.find_account(UUID(payload["account_id"])), current_tenant().name
    text = _(
        "Hello,\n\nThe API initiator of %(account)s was set anew: refunds of %(name)s go out in its name.\n\n"
        "Was it none of you? Change its password in the M-Pesa organisation portal at once, then look here:\n%(link)s",
        name=name,
        account=account.label,
        link=f"{_origin('console')}/activity",
    )
    return _("%(name)s: new M-Pesa initiator", name=name), text


def _initiator_fault(payload: dict[str, Any]) -> tuple[str, str] | None:
    account, name = mpesa.find_account(UUID(payload["account_id"])), current_tenant().name
    found = mpesa.initiator_of(account.id)
    if found is None or found.fault is None:
        return None
    text = _(
        "Hello,\n\nRefunds of %(name)s do not go out: M-Pesa refuses the API initiator of %(account)s.\n\n%(fault)s\n\n"
        "%(link)s",
        name=name,
        account=account.label,
        fault=_(found.fault),
        link=f"{_origin('console')}/",
    )
    return _("%(name)s: M-Pesa refunds fail", name=name), text


def _initiator_ages(payload: dict[str, Any]) -> tuple[str, str] | None:
    account, name = mpesa.find_account(UUID(payload["account_id"])), current_tenant().name
    found = mpesa.initiator_of(account.id)
    if found is None or str(found.password_set_on) != payload["set_on"]:
        return None
    text = _(
        "Hello,\n\nThe password of the API initiator of %(account)s is %(days)s days old. M-Pesa ends it after"
        " %(most)s days, and refunds of %(name)s stop then. Set a new one in the M-Pesa organisation portal, then enter"
        " it here:\n%(link)s",
        name=name,
        account=account.label,
        days=payload["days"],
        most=mpesa.PASSWORD_DAYS,
        link=f"{_origin('console')}/",
    )
    return _("%(name)s: an M-Pesa password ends soon", name=name), text


def _payout_limit(payload: dict[str, Any]) -> tuple[str, str]:
    name = current_tenant().name
    text = _(
        "Hello,\n\n%(by)s raised what one person of %(name)s may pay out alone in a day to %(amount)s. It holds in 24"
        " hours. Was it not meant? Lower it again before then:\n%(link)s",
        name=name,
        by=payload["by"],
        amount=money.show(int(payload["alone_cents"])),
        link=f"{_origin('console')}/",
    )
    return _("%(name)s: a higher limit for refunds", name=name), text


def _mpesa_silent(payload: dict[str, Any]) -> tuple[str, str] | None:
    account, name = mpesa.find_account(UUID(payload["account_id"])), current_tenant().name
    if account.silent_since is None:
        return None
    text = _(
        "Hello,\n\nCustomers of %(name)s were asked to pay at %(account)s, and for half an hour no payment was "
        "reported. At this time of day there usually are some.\n\nMoney may arrive without our being told. Look at "
        "your M-Pesa statement, and at the console:\n%(link)s",
        name=name,
        account=account.label,
        link=f"{_origin('console')}/money/mpesa",
    )
    return _("%(name)s: no M-Pesa payments are reported", name=name), text


def _mpesa_change(payload: dict[str, Any]) -> tuple[str, str]:
    change = mpesa.changes.find_change(UUID(payload["change_id"]))
    label = mpesa.find_account(change.account_id).label
    text = _change(payload["turn"], label, change.requested_by_name, change.effective_at, "mpesa")
    return _("%(name)s: where M-Pesa payments go", name=current_tenant().name), text


def _airtel_change(payload: dict[str, Any]) -> tuple[str, str]:
    account = airtel.find_account(UUID(payload["account_id"]))
    assert account.effective_at is not None
    text = _change(payload["turn"], account.label, account.requested_by_name or "", account.effective_at, "airtel")
    return _("%(name)s: where Airtel Money payments go", name=current_tenant().name), text


def _change(turn: str, label: str, who: str, effective_at: datetime, page: str) -> str:
    """That money shall go elsewhere, does so, or shall not after all."""
    tenant = current_tenant()
    at = format_datetime(effective_at.astimezone(ZoneInfo(tenant.timezone)), "d MMM yyyy, HH:mm", rebase=False)
    link = f"{_origin('console')}/money/{page}"
    facts = {"name": tenant.name, "account": label, "who": who, "at": at, "link": link}
    if turn == "asked":
        text: str = _(
            "Hello,\n\n%(who)s asked that payments to %(name)s go to %(account)s from %(at)s on, or as soon as another "
            "owner or manager approves.\n\nIs that not right? Any owner can cancel it until then:\n%(link)s",
            **facts,
        )
    elif turn == "done":
        text = _(
            "Hello,\n\nPayments to %(name)s now go to %(account)s, as %(who)s asked.\n\n"
            "Is that not right? Act at once:\n%(link)s",
            **facts,
        )
    else:
        text = _(
            "Hello,\n\nThe change of payments to %(name)s, to %(account)s, which %(who)s asked for, is cancelled. "
            "Nothing has changed.\n%(link)s",
            **facts,
        )
    return text


_WORDS: dict[str, Callable[[dict[str, Any]], tuple[str, str] | None]] = {
    "suspended": _suspended,
    "resumed": _resumed,
    "mpesa_fault": _mpesa_fault,
    "initiator_set": _initiator_set,
    "initiator_fault": _initiator_fault,
    "initiator_ages": _initiator_ages,
    "payout_limit": _payout_limit,
    "mpesa_silent": _mpesa_silent,
    "mpesa_change": _mpesa_change,
    "airtel_change": _airtel_change,
}
