"""Jobs that close days: each night those in which everything fits. The others wait for a person, in a list."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from tenants import reconciliation
from wavu import clock, outbox
from wavu.db import db
from wavu.outbox import Queue
from wavu.tenancy import Tenant, visiting

# The hour of the tenant's night in which its days are closed: what was paid late has come in by then.
AT_HOUR = 3


def close_days(_: dict[str, Any]) -> None:
    """A clock of the platform, each hour: has every ISP where it is night look at its days. Twice is harmless."""
    now = clock.now()
    isps = select(Tenant.id, Tenant.timezone).where(Tenant.kind == "isp", Tenant.status == "active")
    for tenant_id, timezone in db.session.execute(isps).all():
        local = now.astimezone(ZoneInfo(timezone))
        if local.hour == AT_HOUR:
            with visiting(tenant_id):
                outbox.put(Queue.BULK, "close_days_of", f"{local:%Y%m%d}", {})


def close_days_of(_: dict[str, Any]) -> None:
    """Puts a job for each day of the tenant that is not closed. Twice is harmless."""
    tonight = f"{clock.now():%Y%m%d}"
    for day in reconciliation.days_to_close():
        outbox.put(Queue.BULK, "close_day", f"{tonight}:{day}", {"day": day.isoformat()})


def close_day(event: dict[str, Any]) -> None:
    """Closes a day in which everything fits, and notes what does not in all others. Exactly once; twice is harmless."""
    day = date.fromisoformat(event["day"])
    if reconciliation.find_close(day) is None and not reconciliation.check_day(day).open:
        reconciliation.close_day(day)


def check_day(event: dict[str, Any]) -> None:
    """Looks at a day again, after a statement came in. Twice is harmless."""
    reconciliation.check_day(date.fromisoformat(event["day"]))
