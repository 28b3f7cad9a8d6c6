"""Offers of a place in a team: sent by mail, taken up by link. Runs in the team's scope, unless said.

Whoever may invite can make us write to any address: what is sent to one address, and by one team, is limited.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from wavu import audit, clock, ids, tenancy
from wavu.accounts.events import PersonInvited
from wavu.accounts.models import Invitation, Membership, Person
from wavu.accounts.refusals import AlreadyMember, InvitedTooOften, LinkExpired, TooManyInvitations, UnknownRole
from wavu.accounts.roles import LAST_ROLE, roles_of
from wavu.accounts.sign_in import make_person, person_by_email
from wavu.accounts.team import members, membership_of
from wavu.db import db, one_at_a_time
from wavu.errors import NotFound
from wavu.events import announce
from wavu.tenancy import NameKind, Tenant
from wavu.vault import open_sealed, seal

INVITATION_LIFE = timedelta(days=7)
PER_ADDRESS, PER_TEAM, _COUNTED = 5, 50, timedelta(days=1)

_OWNER = LAST_ROLE["isp"]
_INVITED, _REVOKED = "team.invited", "team.invitation_revoked"


def invitations() -> list[Invitation]:
    """Offers that were not taken up yet, newest first; expired ones stay, to be sent again."""
    query = select(Invitation).where(Invitation.accepted_at.is_(None)).order_by(Invitation.created_at.desc())
    return list(db.session.scalars(query))


def invite(*, email: str, role: str, invited_by: str, tenant: Tenant, name: str = "") -> Invitation:
    """Offers a place in the current tenant and sends the link. Inviting an address again sends a new link and ends
    the old one. Raises AlreadyMember, UnknownRole, InvitedTooOften or TooManyInvitations.
    """
    email = email.strip().lower()
    if role not in roles_of(tenant.kind):
        raise UnknownRole
    _take_turn()
    if any(member.person.email == email for member in members()):
        raise AlreadyMember(email=email)
    invitation = db.session.scalar(select(Invitation).where(Invitation.email == email).with_for_update())
    if invitation is None:
        invitation = Invitation(id=ids.new_id(), email=email)
    invitation.name, invitation.role, invitation.invited_by = name, role, invited_by
    invitation.accepted_at = None
    _send(invitation)
    db.session.add(invitation)
    return invitation


def _take_turn() -> None:
    """A team's invitations are counted and sent one after another: a volley must not pass as one."""
    one_at_a_time(f"invitations {tenancy.current_tenant_id()}")


def resend(invitation_id: UUID) -> Invitation:
    """Sends a new link; the old one stops working. Raises NotFound, InvitedTooOften or TooManyInvitations."""
    _take_turn()
    invitation = _open_invitation(invitation_id)
    _send(invitation)
    return invitation


def revoke(invitation_id: UUID) -> None:
    """Takes an offer back. Raises NotFound."""
    invitation = _open_invitation(invitation_id)
    tenancy.release(NameKind.TOKEN, invitation.token_fingerprint)
    db.session.delete(invitation)
    audit.record(_REVOKED, subject=invitation.id, email=invitation.email)


def _open_invitation(invitation_id: UUID) -> Invitation:
    query = select(Invitation).where(Invitation.id == invitation_id, Invitation.accepted_at.is_(None))
    invitation = db.session.scalar(query.with_for_update())
    if invitation is None:
        raise NotFound
    return invitation


def _send(invitation: Invitation) -> None:
    _record(invitation.email, invitation.role, invitation.id)
    token = ids.new_token()
    if invitation.token_fingerprint:
        tenancy.release(NameKind.TOKEN, invitation.token_fingerprint)
    invitation.token_fingerprint = tenancy.claim(NameKind.TOKEN, ids.fingerprint(token))
    invitation.expires_at = clock.now() + INVITATION_LIFE
    sealed = seal("invitation", "token", invitation.id, token).hex()
    announce(PersonInvited(invitation_id=invitation.id, sealed_token=sealed))


def _record(email: str, role: str, subject: UUID, **more: str) -> None:
    """One more invitation in the current tenant's trail, which is also what they are counted by."""
    since = clock.now() - _COUNTED
    if audit.count(_INVITED, since=since, email=email) >= PER_ADDRESS:
        raise InvitedTooOften(email=email, count=PER_ADDRESS)
    if audit.count(_INVITED, since=since) >= PER_TEAM:
        raise TooManyInvitations(count=PER_TEAM)
    audit.record(_INVITED, subject=subject, email=email, role=role, **more)


def open_invitation_token(invitation_id: UUID, sealed_token: str) -> str:
    """The token of an invitation, for the one message that carries it."""
    return open_sealed("invitation", "token", invitation_id, bytes.fromhex(sealed_token))


def is_current(invitation: Invitation, token: str) -> bool:
    """Whether a link still opens the invitation: a later one takes its place."""
    return invitation.token_fingerprint == ids.fingerprint(token) and invitation.expires_at > clock.now()


class Offer(NamedTuple):
    """An invitation as its receiver sees it. `person` is set where that address has an account already."""

    invitation: Invitation
    tenant: Tenant
    person: Person | None


def offer_of(token: str) -> Offer:
    """The offer behind a link. Runs in the platform's scope. Raises LinkExpired."""
    mark = ids.fingerprint(token)
    tenant_id = tenancy.resolve(NameKind.TOKEN, mark)
    if tenant_id is None:
        raise LinkExpired
    tenant = tenancy.find_tenant(tenant_id)
    with tenancy.visiting(tenant_id):
        invitation = db.session.scalar(
            select(Invitation).where(
                Invitation.token_fingerprint == mark,
                Invitation.accepted_at.is_(None),
                Invitation.expires_at > clock.now(),
            )
        )
    if invitation is None:
        raise LinkExpired
    return Offer(invitation, tenant, person_by_email(invitation.email))


def accept(token: str, *, name: str, password: str) -> Person:
    """Takes up an offer: makes the person where there is none, with this name and password, and the membership.

    For a person who has an account the name and password are ignored: they sign in with what they have. Runs in the
    platform's scope. Raises LinkExpired or WeakPassword.
    """
    one_at_a_time(ids.fingerprint(token))
    offer = offer_of(token)
    person = offer.person or make_person(email=offer.invitation.email, name=name, password=password)
    with tenancy.visiting(offer.tenant.id):
        offer.invitation.accepted_at = clock.now()
        tenancy.release(NameKind.TOKEN, offer.invitation.token_fingerprint)
        if membership_of(person.id) is None:
            db.session.add(Membership(person_id=person.id, role=offer.invitation.role))
        with audit.acting(audit.Actor(person.id, person.name)):
            audit.record("team.joined", subject=person.id, email=person.email, role=offer.invitation.role)
    return person


# What platform staff do with an ISP's invitations, in the platform's scope. Each act stands in both trails, and in the
# platform's first, as in tenancy: a trail is locked until the commit, and two acts must not wait for each other.


def owner_invitations(isp_id: UUID) -> list[Invitation]:
    """Those that staff may see: the ones that make the ISP somebody's."""
    with tenancy.visiting(isp_id):
        return [invitation for invitation in invitations() if invitation.role == _OWNER]


def invite_owner(isp: Tenant, *, email: str, name: str, invited_by: str) -> Invitation:
    """Offers an ISP to its owner. Counts as the platform's and as the ISP's own. Raises what invite() does."""
    _take_turn()
    _record(email.strip().lower(), _OWNER, isp.id, isp=isp.name)
    with tenancy.visiting(isp.id):
        return invite(email=email, name=name, role=_OWNER, invited_by=invited_by, tenant=isp)


def resend_to_owner(isp_id: UUID, invitation_id: UUID) -> Invitation:
    """Raises what resend() does."""
    _take_turn()
    isp = tenancy.find_isp(isp_id)
    _record(_owner_invitation(isp_id, invitation_id).email, _OWNER, isp_id, isp=isp.name)
    with tenancy.visiting(isp_id):
        return resend(invitation_id)


def revoke_from_owner(isp_id: UUID, invitation_id: UUID) -> None:
    """Raises NotFound."""
    isp = tenancy.find_isp(isp_id)
    audit.record(_REVOKED, subject=isp_id, email=_owner_invitation(isp_id, invitation_id).email, isp=isp.name)
    with tenancy.visiting(isp_id):
        revoke(invitation_id)


def _owner_invitation(isp_id: UUID, invitation_id: UUID) -> Invitation:
    for invitation in owner_invitations(isp_id):
        if invitation.id == invitation_id:
            return invitation
    raise NotFound
