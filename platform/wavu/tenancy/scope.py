"""Which tenant is asking. Set at the edges only: request, job, daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from wavu.db import NoTenant, assert_no_transaction, db, set_tenant_sql, tenant_context
from wavu.tenancy.models import PLATFORM_ID


def current_tenant_id() -> UUID:
    """The tenant that is asking. Raises NoTenant outside tenant_scope()."""
    tenant_id = tenant_context.get()
    if tenant_id is None:
        raise NoTenant("no tenant is asking")
    return tenant_id


@contextmanager
def tenant_scope(tenant_id: UUID | None) -> Iterator[None]:
    """Every transaction that begins in the block is this tenant's; None closes tenants' tables altogether.

    Raises InsideTransaction if one is open: it would go on under the tenant it began with.
    """
    assert_no_transaction("tenant_scope()")
    token = tenant_context.set(tenant_id)
    try:
        yield
    finally:
        tenant_context.reset(token)


@contextmanager
def visiting(tenant_id: UUID) -> Iterator[None]:
    """Lets the platform write into one tenant inside the running transaction, so that an act on a tenant and its
    line in that tenant's own audit trail commit together. Only from the platform's scope; raises NoTenant elsewhere.
    """
    if tenant_context.get() != PLATFORM_ID:
        raise NoTenant("only the platform may visit a tenant")
    session = db.session()
    session.flush()
    token = tenant_context.set(tenant_id)
    try:
        session.execute(text(set_tenant_sql(tenant_id)))
        yield
        session.flush()
    except BaseException:
        tenant_context.reset(token)
        # A failed statement has ended the transaction; its rollback takes the name back too.
        with suppress(SQLAlchemyError):
            session.execute(text(set_tenant_sql(PLATFORM_ID)))
        raise
    tenant_context.reset(token)
    session.execute(text(set_tenant_sql(PLATFORM_ID)))
