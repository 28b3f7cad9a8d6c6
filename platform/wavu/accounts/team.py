"""A tenant's team: who is in it, who is invited, and what each may do. Runs in that tenant's scope, unless said."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select

from wavu import audit, clock, ids, tenancy
from wavu.accounts.events import PersonInvited
from wavu.accounts.models import Invitation, Membership, Person
from wavu.accounts.refusals import AlreadyMember, LastOwner, LinkExpired, UnknownRole
from wavu.accounts.roles import LAST_ROLE, roles_of
from wavu.accounts.sign_in import set_password
from wavu.db import db
from wavu.errors import NotFound
from wavu.events import announce
from wavu.tenancy import NameKind, Tenant
from wavu.vault import open_sealed, seal

INVITATION_LIFE = timedelta(days=7)


class Member(NamedTuple):
    membership: Membership
    person: Person


def members() -> list[Member]:
    """The current tenant's team, by name."""
    rows = db.session.execute(
        select(Membership, Person).join(Person, Person.id == Membership.person_id).order_by(Person.name, Person.id)
    )
    return [Member(*row) for row in rows]


def membership_of(person_id: UUID) -> Membership | None:
    """A person's place in the current tenant."""
    return db.session.scalar(select(Membership).where(Membership.person_id == person_id))


def invitations() -> list[Invitation]:
    """Offers that were not taken up yet, newest first; expired ones stay, to be sent again."""
    query = select(Invitation).where(Invitation.accepted_at.is_(None)).order_by(Invitation.created_at.desc())
    return list(db.session.scalars(query))


def invite(*, email: str, role: str, invited_by: str, tenant: Tenant, name: str = "") -> Invitation:
    """Offers a place in the current tenant and sends the link. Inviting an address again sends a new link and ends
    the old one. Raises AlreadyMember or UnknownRole.
    """
    email = email.strip().lower()
    if role not in roles_of(tenant.kind):
        raise UnknownRole
    _one_at_a_time(f"{tenant.id}{email}")
    if any(member.person.email == email for member in members()):
        raise AlreadyMember(email=email)
    invitation = db.session.scalar(select(Invitation).where(Invitation.email == email).with_for_update())
    if invitation is None:
        invitation = Invitation(id=ids.new_id(), email=email)
    invitation.name, invitation.role, invitation.invited_by = name, role, invited_by
    invitation.accepted_at = None
    _send(invitation)
    db.session.add(invitation)
    audit.record("team.invited", subject=invitation.id, email=email, role=role)
    return invitation


def _one_at_a_time(what: str) -> None:
    """Holds back whoever does the same at the same moment, until this transaction ends."""
    db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 29))))


def resend(invitation_id: UUID) -> Invitation:
    """Sends a new link; the old one stops working. Raises NotFound."""
    invitation = _open_invitation(invitation_id)
    _send(invitation)
    audit.record("team.invited", subject=invitation.id, email=invitation.email, role=invitation.role)
    return invitation


def revoke(invitation_id: UUID) -> None:
    """Takes an offer back. Raises NotFound."""
    invitation = _open_invitation(invitation_id)
    tenancy.release(NameKind.TOKEN, invitation.token_fingerprint)
    db.session.delete(invitation)
    audit.record("team.invitation_revoked", subject=invitation.id, email=invitation.email)


def _open_invitation(invitation_id: UUID) -> Invitation:
    query = select(Invitation).where(Invitation.id == invitation_id, Invitation.accepted_at.is_(None))
    invitation = db.session.scalar(query.with_for_update())
    if invitation is None:
        raise NotFound
    return invitation


def _send(invitation: Invitation) -> None:
    token = ids.new_token()
    if invitation.token_fingerprint:
        tenancy.release(NameKind.TOKEN, invitation.token_fingerprint)
    invitation.token_fingerprint = tenancy.claim(NameKind.TOKEN, ids.fingerprint(token))
    invitation.expires_at = clock.now() + INVITATION_LIFE
    sealed = seal("invitation", "token", invitation.id, token).hex()
    announce(PersonInvited(invitation_id=invitation.id, sealed_token=sealed))


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
    person = db.session.scalar(select(Person).where(Person.email == invitation.email))
    return Offer(invitation, tenant, person)


def accept(token: str, *, name: str, password: str) -> Person:
    """Takes up an offer: makes the person where there is none, with this name and password, and the membership.

    For a person who has an account the name and password are ignored: they sign in with what they have. Runs in the
    platform's scope. Raises LinkExpired or WeakPassword.
    """
    _one_at_a_time(ids.fingerprint(token))
    offer = offer_of(token)
    person = offer.person
    if person is None:
        person = Person(id=ids.new_id(), email=offer.invitation.email, name=name)
        db.session.add(person)
        db.session.flush()
        set_password(person, password)
    with tenancy.visiting(offer.tenant.id):
        offer.invitation.accepted_at = clock.now()
        tenancy.release(NameKind.TOKEN, offer.invitation.token_fingerprint)
        if membership_of(person.id) is None:
            db.session.add(Membership(person_id=person.id, role=offer.invitation.role))
        with audit.acting(audit.Actor(person.id, person.name)):
            audit.record("team.joined", subject=person.id, email=person.email, role=offer.invitation.role)
    return person


def add_admin(*, email: str, name: str, password: str) -> Person:
    """Makes a platform administrator without an invitation, for whoever runs the machine. In the platform's scope.

    Raises AlreadyMember or WeakPassword. A person who has an account keeps their password.
    """
    email = email.strip().lower()
    person = db.session.scalar(select(Person).where(Person.email == email))
    if person is None:
        person = Person(id=ids.new_id(), email=email, name=name)
        db.session.add(person)
        db.session.flush()
        set_password(person, password)
    if membership_of(person.id) is not None:
        raise AlreadyMember(email=email)
    db.session.add(Membership(person_id=person.id, role=LAST_ROLE["platform"]))
    audit.record("team.joined", subject=person.id, email=email, role=LAST_ROLE["platform"])
    return person


def change_role(membership_id: UUID, role: str, *, kind: str) -> None:
    """Raises NotFound, UnknownRole, or LastOwner where nobody would stay in charge."""
    if role not in roles_of(kind):
        raise UnknownRole
    membership = _locked(membership_id)
    if membership.role == role:
        return
    _keep_someone_in_charge(membership, kind)
    audit.record(
        "team.role_changed",
        subject=membership.person_id,
        name=_name_of(membership),
        before=membership.role,
        after=role,
    )
    membership.role = role


def remove(membership_id: UUID, *, kind: str) -> None:
    """Takes a person out of the current tenant; their account stays. Raises NotFound or LastOwner."""
    membership = _locked(membership_id)
    _keep_someone_in_charge(membership, kind)
    audit.record("team.removed", subject=membership.person_id, name=_name_of(membership), role=membership.role)
    db.session.flush()
    db.session.execute(delete(Membership).where(Membership.id == membership_id))


def _name_of(membership: Membership) -> str:
    return db.session.scalars(select(Person.name).where(Person.id == membership.person_id)).one()


def _locked(membership_id: UUID) -> Membership:
    # The whole team is locked, in one order: two owners who remove each other at once must not both succeed.
    team = db.session.scalars(select(Membership).order_by(Membership.id).with_for_update()).all()
    for membership in team:
        if membership.id == membership_id:
            return membership
    raise NotFound


def _keep_someone_in_charge(membership: Membership, kind: str) -> None:
    last = LAST_ROLE[kind]
    if membership.role == last:
        count = db.session.scalar(select(func.count()).select_from(Membership).where(Membership.role == last))
        if count == 1:
            raise LastOwner
