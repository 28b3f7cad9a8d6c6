"""A tenant's team: who is in it and what each may do. Runs in that tenant's scope, unless said."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select

from wavu import audit
from wavu.accounts.models import Membership, Person
from wavu.accounts.refusals import AlreadyMember, LastOwner, UnknownRole
from wavu.accounts.roles import LAST_ROLE, roles_of
from wavu.accounts.sign_in import make_person, person_by_email
from wavu.db import db
from wavu.errors import NotFound


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


def add_admin(*, email: str, name: str, password: str) -> Person:
    """Makes a platform administrator without an invitation, for whoever runs the machine. In the platform's scope.

    Raises AlreadyMember or WeakPassword. A person who has an account keeps their password.
    """
    email = email.strip().lower()
    person = person_by_email(email) or make_person(email=email, name=name, password=password)
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
