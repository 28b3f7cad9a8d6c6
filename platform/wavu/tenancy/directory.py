"""Every outside name of a tenant: web host, NAS address, shortcode, token in a link. Names are stored normalised.

Reading across tenants goes through one SECURITY DEFINER function of the database, which gives out an id.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from wavu.db import db
from wavu.tenancy.models import DirectoryEntry
from wavu.tenancy.refusals import NameTaken
from wavu.tenancy.scope import current_tenant_id


class Kind(StrEnum):
    HOST = "host"
    NAS = "nas"
    SHORTCODE = "shortcode"
    TOKEN = "token"  # noqa: S105 - the sort of name, not a secret; what is stored is the token's fingerprint


def normalise(kind: Kind, name: str) -> str | None:
    """The stored form of a name, or None where it can be no name of that kind."""
    name = name.strip()
    if kind is Kind.HOST:
        return normalise_host(name)
    if kind is Kind.NAS:
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            return None
    return name if re.fullmatch(r"[0-9a-zA-Z]{1,64}", name) else None


def normalise_host(name: str) -> str | None:
    """Lower case, no port, no trailing dot, international names in their ASCII form; None for anything else."""
    host = name.rsplit(":", 1)[0] if re.search(r":\d{1,5}$", name) else name
    host = host.removesuffix(".").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return None
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    return host if len(host) <= 253 and re.fullmatch(rf"{label}(\.{label})+", host) else None


def resolve(kind: Kind, name: str) -> UUID | None:
    """The tenant of an outside name, or None. Needs no tenant scope; begins a transaction of its own session."""
    normal = normalise(kind, name)
    if normal is None:
        return None
    return db.session.scalar(select(func.app.resolve(kind.value, normal)))


def claim(kind: Kind, name: str) -> str:
    """Gives a name to the current tenant and returns its stored form. Claiming one's own name again is harmless.

    Raises NameTaken, without saying by whom, and ValueError for what can be no such name.
    """
    normal = normalise(kind, name)
    if normal is None:
        raise ValueError(f"not a {kind.value}: {name!r}")
    tenant_id = current_tenant_id()
    db.session.execute(
        insert(DirectoryEntry).values(kind=kind.value, name=normal, tenant_id=tenant_id).on_conflict_do_nothing()
    )
    if db.session.scalar(select(func.app.resolve(kind.value, normal))) != tenant_id:
        raise NameTaken(name=normal)
    return normal


def release(kind: Kind, name: str) -> None:
    """Takes a name back from the current tenant; another tenant's name is left alone."""
    db.session.execute(
        delete(DirectoryEntry).where(DirectoryEntry.kind == kind.value, DirectoryEntry.name == normalise(kind, name))
    )


def names(kind: Kind) -> list[str]:
    """The current tenant's names of one kind, oldest first."""
    current_tenant_id()
    return list(
        db.session.scalars(
            select(DirectoryEntry.name).where(DirectoryEntry.kind == kind.value).order_by(DirectoryEntry.created_at)
        )
    )
