"""Numbers without gaps, for receipts: one is taken in the transaction that uses it, and goes back with it."""

from __future__ import annotations

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from tenants.ledger.models import NumberSeries
from wavu import clock, ids
from wavu.db import db


def next_number(name: str) -> int:
    """The current tenant's next number of a series, from 1 on. Whoever takes one waits for whoever took the one before,
    so take it last."""
    return db.session.scalars(
        insert(NumberSeries)
        .values(id=ids.new_id(), tenant_id=func.app.tenant_id(), name=name, last=1, created_at=clock.now())
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_={"last": NumberSeries.last + 1})
        .returning(NumberSeries.last)
    ).one()
