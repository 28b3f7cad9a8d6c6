from __future__ import annotations

from uuid import UUID

from sqlalchemy import bindparam, func, select

from tenants.network.models import Router
from wavu import audit, ids, tenancy
from wavu.db import db
from wavu.tenancy import NameKind


def add_router(*, name: str, identifier: str, address: str, secret: str, login_url: str | None = None) -> Router:
    """Registers a router of the current tenant under the address that it sends from.

    Raises NameTaken where the address is another's, and ValueError where it is no IP address.
    """
    router = Router(id=ids.new_id(), name=name, identifier=identifier, login_url=login_url)
    router.address = tenancy.claim(NameKind.NAS, address)
    router.secret = secret
    db.session.add(router)
    audit.record("router.added", subject=router.id, name=name, address=router.address)
    return router


def routers() -> list[Router]:
    """The current tenant's routers, by name."""
    return list(db.session.scalars(select(Router).order_by(Router.name, Router.id)))


def find_nas(address: str) -> Router | None:
    """The current tenant's router that sends from an address."""
    return db.session.scalar(select(Router).where(Router.address == address))


def find_router(router_id: UUID) -> Router | None:
    """The current tenant's router of an id."""
    return db.session.scalar(select(Router).where(Router.id == router_id))


_ROUTER = Router.__table__.c
_BY_LOGIN_URL = (
    select(_ROUTER.id)
    .where(_ROUTER.tenant_id == func.app.tenant_id(), _ROUTER.login_url == bindparam("url"))
    .order_by(_ROUTER.id)
    .limit(1)
)


def find_by_login_url(url: str) -> UUID | None:
    """The id of the current tenant's router whose hotspot takes log-ins at exactly this address, letter for letter."""
    return db.session.scalar(_BY_LOGIN_URL, {"url": url})
