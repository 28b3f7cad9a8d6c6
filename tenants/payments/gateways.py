"""The gateways that payments can be taken through, and which of a tenant's accounts take them now."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import UUID

from cachetools import TTLCache
from sqlalchemy import text

from tenants import airtel, mpesa
from tenants.gateway import Account, Gateway
from tenants.payments import failover
from tenants.payments.failover import Standing
from tenants.payments.models import PaymentIntent
from wavu import clock
from wavu.db import db
from wavu.phone import Phone
from wavu.tenancy import current_tenant_id

GATEWAYS: dict[str, Gateway] = {gateway.provider: gateway for gateway in (mpesa.GATEWAY, airtel.GATEWAY)}
# A customer's own no, at whichever gateway: says nothing of the gateway.
DECLINED = tuple(sorted(code for gateway in GATEWAYS.values() for code in gateway.declined))


def of(intent: PaymentIntent) -> Gateway:
    return GATEWAYS[intent.provider]


def account_of(intent: PaymentIntent) -> Account:
    """The account that an attempt asked money for."""
    return of(intent).account(intent.account_id)


def account_for(phone: Phone, wish: str | None) -> Account:
    """The account whose gateway asks a phone, by failover.choose(). Raises NotReady."""
    now = standings()
    offered = [each.provider for each in now]
    chosen = failover.choose(phone, wish, offered, [each.provider for each in now if each.down])
    return airtel.active_account() if chosen == "airtel" else mpesa.active_account()


# The accounts that take payments, M-Pesa's first, and how each one's latest attempts ended: those that are decided and
# that no customer declined. An attempt that reached nobody counts; one that our own gate kept back does not.
_STANDINGS = text("""
    SELECT a.provider, a.label, a.paybill, ARRAY(
        SELECT i.state IN ('succeeded', 'paid_no_receipt') FROM payment_intent i
        WHERE i.tenant_id = app.tenant_id() AND i.created_at > :since
            AND CASE a.provider WHEN 'mpesa' THEN i.mpesa_account_id ELSE i.airtel_account_id END = a.id
            AND (i.state NOT IN ('created', 'submitting', 'pending', 'unknown') OR i.created_at < :decided)
            AND NOT (i.state = 'failed' AND i.code = ANY(:not_theirs))
        ORDER BY i.created_at DESC LIMIT :latest) AS paid
    FROM (
        SELECT id, 'mpesa' AS provider, CASE kind WHEN 'paybill' THEN 'PayBill ' ELSE 'Till ' END || party_b AS label,
            CASE kind WHEN 'paybill' THEN party_b END AS paybill, 0 AS place, created_at
        FROM mpesa_account WHERE tenant_id = app.tenant_id() AND active
        UNION ALL
        SELECT id, 'airtel', 'Airtel Money ' || merchant_number, NULL, 1, created_at
        FROM airtel_account WHERE tenant_id = app.tenant_id() AND state = 'on') a
    ORDER BY a.place, a.created_at""")
_WINDOW, _DECIDED = timedelta(minutes=15), timedelta(seconds=90)
_NOT_THEIRS = [*DECLINED, "busy", "down"]
# How old what a page says may be, by the process's own clock.
_GLANCE_SECONDS = 3.0
_glances: TTLCache[UUID, tuple[Standing, ...]] = TTLCache(10_000, _GLANCE_SECONDS, timer=time.monotonic)
_lock = threading.Lock()


def standings() -> tuple[Standing, ...]:
    """The gateways that take the current tenant's payments, M-Pesa first, and whether each is down: by our breaker, or
    by what became of our own attempts in the last quarter of an hour. A moment old at most, so that pages are cheap.
    """
    tenant_id = current_tenant_id()
    with _lock:
        known = _glances.get(tenant_id)
    if known is None:
        known = _look()
        with _lock:
            _glances[tenant_id] = known
    if not mpesa.down_for():
        return known
    return tuple(each._replace(down=each.down or each.provider == "mpesa") for each in known)


def _look() -> tuple[Standing, ...]:
    now = clock.now()
    rows = db.session.execute(
        _STANDINGS,
        {"since": now - _WINDOW, "decided": now - _DECIDED, "not_theirs": _NOT_THEIRS, "latest": failover.LATEST},
    )
    # The oldest account of a gateway is the one that is asked.
    found: dict[str, Standing] = {}
    for row in rows:
        found.setdefault(row.provider, Standing(row.provider, row.label, failover.is_down(row.paid), row.paybill))
    return tuple(found.values())


def forget() -> None:
    """Drops what this process has seen, so that the next look is fresh."""
    with _lock:
        _glances.clear()
