"""The life of a tenant. These run in the platform's scope; each act is written to both audit trails."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from wavu import audit, clock, ids
from wavu.db import db
from wavu.errors import NotFound
from wavu.events import announce
from wavu.tenancy import directory
from wavu.tenancy.events import TenantResumed, TenantSuspendedByStaff
from wavu.tenancy.models import Tenant
from wavu.tenancy.refusals import AlreadyOpen, AlreadySuspended, BadSlug, NameTaken
from wavu.tenancy.scope import current_tenant_id, visiting

# Hosts of ours, and names that a stranger would take for ours.
RESERVED_SLUGS = frozenset(
    [
        "admin",
        "api",
        "app",
        "assets",
        "auth",
        "billing",
        "blog",
        "cdn",
        "console",
        "dashboard",
        "demo",
        "docs",
        "edge",
        "email",
        "ftp",
        "help",
        "hooks",
        "imap",
        "login",
        "mail",
        "metrics",
        "mpesa",
        "ns",
        "ns1",
        "ns2",
        "pay",
        "platform",
        "pop",
        "portal",
        "radius",
        "root",
        "safaricom",
        "secure",
        "signin",
        "signup",
        "smtp",
        "sso",
        "staff",
        "static",
        "status",
        "support",
        "test",
        "vpn",
        "wavu",
        "webmail",
        "www",
    ]
)


def check_slug(slug: str) -> str:
    """The slug, if it can name a sub-domain of ours. Raises BadSlug."""
    if not re.fullmatch(r"(?=.{3,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) or slug in RESERVED_SLUGS:
        raise BadSlug(slug=slug)
    return slug


def create_tenant(
    *,
    name: str,
    slug: str,
    host: str,
    timezone: str = "Africa/Nairobi",
    brand_color: str = "#00853e",
    theme: str = "mtaa",
    help_phone: str | None = None,
    locale: str = "en",
) -> Tenant:
    """Makes an ISP with its first web host. Raises BadSlug or NameTaken."""
    tenant_id = ids.new_id()
    values = {
        "id": tenant_id,
        "slug": check_slug(slug),
        "name": name,
        "timezone": timezone,
        "brand_color": brand_color.lower(),
        "theme": theme,
        "help_phone": help_phone,
        "locale": locale,
    }
    made = db.session.execute(
        insert(Tenant).values(**values).on_conflict_do_nothing(index_elements=["slug"]).returning(Tenant.id)
    )
    if made.first() is None:
        raise NameTaken(name=slug)
    audit.record("tenant.created", subject=tenant_id, name=name, slug=slug)
    with visiting(tenant_id):
        directory.claim(directory.Kind.HOST, host)
        audit.record("tenant.created", subject=tenant_id, name=name, slug=slug)
    return find_tenant(tenant_id)


def find_tenant(tenant_id: UUID) -> Tenant:
    """Raises NotFound."""
    tenant = db.session.get(Tenant, tenant_id)
    if tenant is None:
        raise NotFound
    return tenant


_TENANT = Tenant.__table__.c
_VERSION = select(_TENANT.version).where(_TENANT.id == bindparam("id"))
_WHOLE = select(*_TENANT).where(_TENANT.id == bindparam("id"))
# One of each ISP that is there, so it stays small.
_read: dict[UUID, Tenant] = {}


def read_tenant(tenant_id: UUID) -> Tenant:
    """The tenant as it stands at this moment, for reading only: it belongs to no session and others read it too.

    Costs a look at one number while nothing has changed. Raises NotFound.
    """
    version = db.session.scalar(_VERSION, {"id": tenant_id})
    kept = _read.get(tenant_id)
    if kept is not None and kept.version == version:
        return kept
    row = db.session.execute(_WHOLE, {"id": tenant_id}).first()
    if row is None:
        raise NotFound
    made = _read[tenant_id] = Tenant(**row._mapping)
    return made


def current_tenant() -> Tenant:
    """The tenant that is asking, as read_tenant() gives it, asked for once a transaction. Raises NoTenant outside
    tenant_scope()."""
    kept: Tenant | None = db.session.info.get("current_tenant")
    if kept is None or kept.id != current_tenant_id():
        kept = db.session.info["current_tenant"] = read_tenant(current_tenant_id())
    return kept


def find_isp(tenant_id: UUID) -> Tenant:
    """Raises NotFound, for the platform's own tenant too."""
    tenant = find_tenant(tenant_id)
    if tenant.kind != "isp":
        raise NotFound
    return tenant


def list_tenants(
    *, search: str = "", status: str | None = None, after: UUID | None = None, limit: int = 50
) -> list[Tenant]:
    """ISPs, newest first, paged by key: pass the last id seen as `after`. Searches name and slug."""
    query = select(Tenant).where(Tenant.kind == "isp").order_by(Tenant.created_at.desc(), Tenant.id.desc())
    if search:
        pattern = f"%{_escape(search.lower())}%"
        query = query.where(or_(func.lower(Tenant.name).like(pattern), Tenant.slug.like(pattern)))
    if status:
        query = query.where(Tenant.status == status)
    if after:
        last = select(Tenant.created_at, Tenant.id).where(Tenant.id == after).subquery()
        query = query.where(
            tuple_(Tenant.created_at, Tenant.id) < select(last.c.created_at, last.c.id).scalar_subquery()
        )
    return list(db.session.scalars(query.limit(limit)))


def count_by_status() -> dict[str, int]:
    """How many ISPs there are, by status."""
    query = select(Tenant.status, func.count()).where(Tenant.kind == "isp").group_by(Tenant.status)
    counts = {"active": 0, "suspended": 0}
    for status, count in db.session.execute(query):
        counts[status] = count
    return counts


class Summary(NamedTuple):
    host: str | None
    members: int


def summaries(tenant_ids: list[UUID]) -> dict[UUID, Summary]:
    """First host and size of team of each ISP, in one query. Empty outside the platform's scope."""
    rows = db.session.execute(text("SELECT * FROM app.tenant_summaries(:ids)"), {"ids": tenant_ids})
    return {tenant_id: Summary(host, members) for tenant_id, host, members in rows}


class Trouble(NamedTuple):
    """An ISP whose payments need care: since when its M-Pesa account fails, or since when no payment is reported."""

    tenant_id: UUID
    name: str
    fault_since: datetime | None
    silent_since: datetime | None


def payment_troubles() -> list[Trouble]:
    """Of all ISPs, longest first. Empty outside the platform's scope."""
    rows = db.session.execute(
        text(
            "SELECT m.tenant_id, t.name, m.fault_since, m.silent_since FROM app.mpesa_troubles() m"
            " JOIN tenant t ON t.id = m.tenant_id"
        )
    )
    return [Trouble(*row) for row in rows]


def _escape(pattern: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", pattern)


def suspend(tenant_id: UUID, reason: str) -> Tenant:
    """Closes an ISP's console and portal until resume(). Its customers who are online stay online.

    Raises NotFound, and AlreadySuspended, which has the reason of the first time.
    """
    tenant = _locked(tenant_id)
    if not tenant.is_active:
        raise AlreadySuspended(name=tenant.name, reason=tenant.suspended_because)
    tenant.status, tenant.suspended_at, tenant.suspended_because = "suspended", clock.now(), reason
    _record(tenant, "tenant.suspended", reason=reason)
    with visiting(tenant_id):
        announce(TenantSuspendedByStaff(reason=reason, at=clock.now()))
    return tenant


def resume(tenant_id: UUID) -> Tenant:
    """Opens an ISP again. Raises NotFound or AlreadyOpen."""
    tenant = _locked(tenant_id)
    if tenant.is_active:
        raise AlreadyOpen(name=tenant.name)
    tenant.status, tenant.suspended_at, tenant.suspended_because = "active", None, None
    _record(tenant, "tenant.resumed")
    with visiting(tenant_id):
        announce(TenantResumed(at=clock.now()))
    return tenant


def _locked(tenant_id: UUID) -> Tenant:
    tenant = db.session.scalar(select(Tenant).where(Tenant.id == tenant_id, Tenant.kind == "isp").with_for_update())
    if tenant is None:
        raise NotFound
    return tenant


def _record(tenant: Tenant, action: str, **facts: str) -> None:
    audit.record(action, subject=tenant.id, name=tenant.name, **facts)
    with visiting(tenant.id):
        audit.record(action, subject=tenant.id, name=tenant.name, **facts)
