from __future__ import annotations

from sqlalchemy import select

from tenants.network.models import Router
from wavu import audit, ids, tenancy
from wavu.db import db
from wavu.tenancy import NameKind


def add_router(*, name: str, identifier: str, address: str, secret: str) -> Router:
    """Registers a router of the current tenant under the address that it sends from.

    Raises NameTaken where the address is another's, and ValueError where it is no IP address.
    """
    router = Router(id=ids.new_id(), name=name, identifier=identifier)
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
