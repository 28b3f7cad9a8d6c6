"""Two ISPs with people, and platform staff: every list of A has B's rows beside it."""

from __future__ import annotations

import functools
from typing import NamedTuple
from uuid import UUID

import pyotp
from flask import Flask

from tenants import network
from wavu import accounts, clock, ids, tenancy
from wavu.accounts import Membership, Person, passwords, second_factor
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope

PASSWORD = "three unrelated giraffes"
STAFF_HOST, CONSOLE_HOST = "staff.wavu.test", "console.wavu.test"


@functools.cache
def _hash() -> str:
    return passwords.hash_password(PASSWORD)


class Someone(NamedTuple):
    id: UUID
    email: str
    membership_id: UUID


class Isp(NamedTuple):
    id: UUID
    name: str
    host: str
    owner: Someone
    cashier: Someone
    invitation_id: UUID
    router_id: UUID
    nas_address: str
    nas_secret: str


class World(NamedTuple):
    a: Isp
    b: Isp
    admin: Someone
    staff: Someone
    admin_totp: str

    def code(self) -> str:
        """The administrator's current code."""
        return pyotp.TOTP(self.admin_totp).at(clock.now())


def make_person(name: str, email: str) -> Person:
    """A person who can sign in with PASSWORD. In the platform's scope."""
    person = Person(id=ids.new_id(), name=name, email=email)
    db.session.add(person)
    db.session.flush()
    second_factor.credential_of(person.id).password_hash = _hash()
    return person


def join(person: Person, role: str) -> Someone:
    """In the tenant's scope."""
    membership = Membership(id=ids.new_id(), person_id=person.id, role=role)
    db.session.add(membership)
    db.session.flush()
    return Someone(person.id, person.email, membership.id)


def _enrol(person: Person) -> str:
    secret, _ = second_factor.begin_enrolment(person)
    credential = second_factor.credential_of(person.id)
    credential.totp_confirmed_at, person.second_factor_on = clock.now(), True
    return secret


def _isp(letter: str, number: int) -> Isp:
    name, host = f"Canary {letter.upper()} Net", f"isp-{letter}.wavu.test"
    tenant = tenancy.create_tenant(name=name, slug=f"isp-{letter}", host=host, brand_color=f"#00{number}0{number}0")
    owner = make_person(f"Owner canary-{letter}", f"owner@canary-{letter}.test")
    cashier = make_person(f"Cashier canary-{letter}", f"cashier@canary-{letter}.test")
    address, secret = f"127.0.9.{number}", f"nas secret of canary-{letter}"
    with tenancy.visiting(tenant.id):
        members = join(owner, "owner"), join(cashier, "cashier")
        invited = accounts.invite(
            email=f"invited@canary-{letter}.test", role="support", invited_by=owner.name, tenant=tenant
        )
        router = network.add_router(name=f"router canary-{letter}", identifier=letter, address=address, secret=secret)
    return Isp(tenant.id, name, host, *members, invited.id, router.id, address, secret)


def build_world(app: Flask) -> World:
    """Commits it, so that pages, jobs and daemons see it."""
    with app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        admin, staff = make_person("Admin", "admin@wavu.test"), make_person("Staff", "staff@wavu.test")
        totp = _enrol(admin)
        _enrol(staff)
        return World(_isp("a", 1), _isp("b", 2), join(admin, "admin"), join(staff, "staff"), totp)
