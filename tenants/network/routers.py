from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

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
_LOGIN_URLS = (
    select(_ROUTER.login_url, _ROUTER.id)
    .where(_ROUTER.tenant_id == func.app.tenant_id(), _ROUTER.login_url.is_not(None))
    .order_by(_ROUTER.id.desc())
)


def login_urls() -> dict[str, UUID]:
    """Where hotspots of the current tenant take log-ins, each with its router; of two alike, the older router's."""
    return {row.login_url: row.id for row in db.session.execute(_LOGIN_URLS)}
