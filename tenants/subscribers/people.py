from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants.subscribers.models import Device, Subscriber
from tenants.subscribers.numbers import by_account_number
from wavu import clock, ids
from wavu.db import db
from wavu.errors import NotFound
from wavu.phone import Phone

# Of those who once paid for one device, so many are looked at.
_MOST_OWNERS = 20


def normalise_mac(text: str) -> str | None:
    """12 upper-case hex digits out of any way of writing a MAC address; None for anything else."""
    digits = re.sub(r"[\s:.-]", "", text).upper()
    return digits if re.fullmatch(r"[0-9A-F]{12}", digits, re.ASCII) else None


def by_phone(phone: Phone) -> Subscriber:
    """The current tenant's subscriber with this number, made on first sight. Safe when two ask at once."""
    known = select(Subscriber).where(Subscriber.phone == phone.e164)
    added = (
        insert(Subscriber)
        .values(id=ids.new_id(), tenant_id=func.app.tenant_id(), phone=phone.e164, created_at=clock.now())
        .on_conflict_do_nothing(index_elements=["tenant_id", "phone"])
        .returning(Subscriber)
    )
    return db.session.scalar(known) or db.session.scalar(added) or db.session.scalars(known).one()


def by_username(username: str) -> Subscriber | None:
    """The subscriber who logs in with a name and a password (PPPoE, RFC 2865 5.1), compared exactly."""
    return db.session.scalar(select(Subscriber).where(Subscriber.username == username))


def find(text: str) -> Subscriber | None:
    """The subscriber whom a person means: by account number, by phone, or by user name. Nobody is made."""
    owner = by_account_number("".join(text.split()).replace("-", ""))
    if owner is not None:
        return db.session.scalars(select(Subscriber).where(Subscriber.id == owner.subscriber_id)).one()
    try:
        phone = Phone.parse(text)
    except ValueError:
        return by_username(text.strip())
    known = db.session.scalar(select(Subscriber).where(Subscriber.phone == phone.e164))
    return known or by_username(text.strip())


def get(subscriber_id: UUID) -> Subscriber:
    """Raises NotFound, for another tenant's too."""
    subscriber = db.session.scalar(select(Subscriber).where(Subscriber.id == subscriber_id))
    if subscriber is None:
        raise NotFound
    return subscriber


def by_ids(subscriber_ids: Iterable[UUID]) -> dict[UUID, Subscriber]:
    """Those of the current tenant's subscribers."""
    query = select(Subscriber).where(Subscriber.id.in_(set(subscriber_ids)))
    return {subscriber.id: subscriber for subscriber in db.session.scalars(query)}


def owners_of(mac: str) -> list[UUID]:
    """Everybody who used a device or paid for it, the latest first. `mac` is normalised."""
    query = select(Device.subscriber_id).where(Device.mac == mac).order_by(Device.seen_at.desc(), Device.id)
    return list(db.session.scalars(query.limit(_MOST_OWNERS)))


def bind_device(mac: str, subscriber_id: UUID) -> None:
    """Says that a device is one of a subscriber's, beside whoever else it belongs to."""
    db.session.execute(
        insert(Device)
        .values(
            id=ids.new_id(),
            tenant_id=func.app.tenant_id(),
            mac=mac,
            subscriber_id=subscriber_id,
            seen_at=clock.now(),
            created_at=clock.now(),
        )
        .on_conflict_do_update(index_elements=["tenant_id", "mac", "subscriber_id"], set_={"seen_at": clock.now()})
    )


def add_line(*, username: str, password: str, name: str, phone: Phone | None = None) -> Subscriber:
    """Adds a subscriber with a line of their own. Raises ValueError for a user name that RADIUS cannot carry."""
    if not re.fullmatch(r"[\w.@+-]{1,64}", username):
        raise ValueError("a user name has up to 64 letters, digits and . @ + - _")
    line = Subscriber(id=ids.new_id(), username=username, name=name, phone=phone.e164 if phone else None)
    line.password = password
    db.session.add(line)
    db.session.flush()
    return line


def find_line(account: str) -> Subscriber | None:
    """The subscriber with a line of that account number. Not by user name, which can be guessed."""
    owner = by_account_number(account)
    if owner is None or owner.purchase_id is not None:
        return None
    query = select(Subscriber).where(Subscriber.id == owner.subscriber_id, Subscriber.username.is_not(None))
    return db.session.scalar(query)
