"""Jobs that keep the house clean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from wavu import accounts, clock, vault
from wavu.db import db
from wavu.tenancy import Tenant, visiting

# Longer than any job waits in the outbox before it is given up.
_KEEP_KEYS = timedelta(days=3)


def forget_old_sessions(_: dict[str, Any]) -> None:
    """Deletes sessions, links and attempts that have had their time. Running twice finds nothing the second time."""
    accounts.forget_old()


def forget_old_keys(_: dict[str, Any]) -> None:
    """Deletes data keys that were rotated away and have nothing left to open. Running twice finds nothing."""
    for tenant_id in db.session.scalars(select(Tenant.id).where(Tenant.kind == "isp")).all():
        with visiting(tenant_id):
            vault.forget_old_keys(clock.now() - _KEEP_KEYS)
    vault.forget_old_keys(clock.now() - _KEEP_KEYS)
