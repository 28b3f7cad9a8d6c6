"""The decision: may somebody be online, and how."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Text, Uuid, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from tenants import subscribers
from tenants.access import entitlements
from tenants.access.codes import find_code, use_code
from tenants.access.models import Entitlement
from tenants.access.requests import AccessRequest, Service
from wavu import clock, ids, tenancy
from wavu.db import db
from wavu.errors import N_

# Two and a half times what we ask routers to report in, and a minute: a session of which nothing was heard for so long
# does not keep a device out.
STALE_AFTER = timedelta(seconds=2.5 * 300 + 60)
# When a session that was let in is heard of, if it ever began.
_TOLD_OF_WITHIN = timedelta(seconds=60)
# Longer than any session should go unasked, and below what RouterOS takes.
_LONGEST_SECONDS = 21_474_720


class Grant(NamedTuple):
    """Yes, and within which limits. Speeds are bits per second; None does not limit."""

    entitlement_id: UUID
    subscriber_id: UUID
    timeout_seconds: int
    speed_up_bps: int
    speed_down_bps: int
    bytes_left: int | None
    port_limit: int | None


class Refusal(NamedTuple):
    """Why not. `reason` is for machines; text() fits into a Reply-Message (RFC 2865 5.18: at most 253 octets)."""

    reason: str
    message: str
    facts: dict[str, Any]

    def text(self, gettext: Callable[[str], str]) -> str:
        return gettext(self.message) % self.facts


_MESSAGES = {
    "router_login": N_("Customers cannot sign in to a router."),
    "unknown_user": N_("Unknown user name."),
    "wrong_password": N_("Wrong password."),
    "no_package": N_("No active package."),
    "expired": N_("Your package ended on %(when)s."),
    "time_used_up": N_("The time of your package is used up."),
    "data_used_up": N_("The data of your package is used up."),
    "too_many_devices": N_("Too many devices: your package is for %(count)s."),
    "code_spent": N_("This log-in code was used or is too old. Go back to the page where you paid."),
    "other_device": N_("This log-in code is for another device."),
}


def _no(reason: str, **facts: Any) -> Refusal:
    return Refusal(reason, _MESSAGES[reason], facts)


class _Known(NamedTuple):
    """Whose request it is, proven as far as its kind can be: a device may be several subscribers'. `code_id` must be
    used up before a yes, and makes the device the first one's."""

    subscriber_ids: list[UUID]
    code_id: UUID | None = None


def authorize(request: AccessRequest) -> Grant | Refusal:
    """Decides for the current tenant, at this instant. Uses a one-time code up if, and only if, it says yes."""
    if request.service is Service.LOGIN:
        return _no("router_login")
    known = _by_line(request) if request.service is Service.PPPOE else _by_device(request)
    if isinstance(known, Refusal):
        return known
    decision = _within_rights(known.subscriber_ids, request, clock.now())
    if isinstance(decision, Grant) and known.code_id is not None:
        if not use_code(known.code_id):
            return _no("code_spent")
        assert request.mac is not None
        subscribers.bind_device(request.mac, known.subscriber_ids[0])
    return decision


def _by_line(request: AccessRequest) -> _Known | Refusal:
    line = subscribers.by_username(request.user_name)
    if line is None or line.password is None:
        return _no("unknown_user")
    return _Known([line.id]) if _proves(request, line.password) else _no("wrong_password")


def _by_device(request: AccessRequest) -> _Known | Refusal:
    """A hotspot log-in: by MAC address, which is no secret and must be the caller's own, or by a one-time code."""
    if request.mac is not None and subscribers.normalise_mac(request.user_name) == request.mac:
        owners = subscribers.owners_of(request.mac)
        return _Known(owners) if owners else _no("no_package")
    code = find_code(request.user_name)
    if code is None:
        return _no("unknown_user")
    if not _proves(request, request.user_name):
        return _no("wrong_password")
    if code.used_at is not None or code.expires_at <= clock.now():
        return _no("code_spent")
    if code.mac != request.mac:
        return _no("other_device")
    others = [owner for owner in subscribers.owners_of(code.mac) if owner != code.subscriber_id]
    return _Known([code.subscriber_id, *others], code.id)


def _proves(request: AccessRequest, password: str) -> bool:
    """PAP (RFC 2865 5.2) or CHAP (RFC 1994 4.1), whichever the request brings."""
    if request.chap is not None:
        proof = request.chap.identifier + password.encode() + request.chap.challenge
        return hmac.compare_digest(hashlib.md5(proof).digest(), request.chap.response)  # noqa: S324 - RFC 1994
    return request.password is not None and hmac.compare_digest(request.password.encode(), password.encode())


def _within_rights(subscriber_ids: list[UUID], request: AccessRequest, now: datetime) -> Grant | Refusal:
    service = request.service.value
    rights = entitlements.running(subscriber_ids, now, service)
    usable = [right for right in rights if entitlements.used_up(right) is None]
    if not usable:
        return _why_none(subscriber_ids, rights, now, service)
    # Two log-ins at once must not both take the last place. In one order, so that they do not wait for each other.
    for owner in sorted({right.subscriber_id for right in usable}):
        lock = func.hashtextextended(str(owner), 42)
        db.session.execute(select(func.pg_advisory_xact_lock(lock)))
    taken = _devices_online([right.id for right in usable], request.mac, now)
    for right in usable:
        if taken.get(right.id, 0) < int(right.policy["devices"]):
            if request.mac is not None:
                _admit(request.mac, right, now)
            return _grant(right, request, now)
    return _no("too_many_devices", count=usable[0].policy["devices"])


def _why_none(subscriber_ids: list[UUID], rights: list[Entitlement], now: datetime, service: str) -> Refusal:
    if rights:
        return _no(f"{entitlements.used_up(rights[0])}_used_up")
    ended = entitlements.last_ended(subscriber_ids, now, service)
    if ended is None:
        return _no("no_package")
    zone = ZoneInfo(tenancy.current_tenant().timezone)
    return _no("expired", when=f"{ended.astimezone(zone):%d/%m/%Y %H:%M}")


def has_room(entitlement: Entitlement, mac: str, at: datetime) -> bool:
    """Whether one more device may be online under it, beside those that are."""
    return _devices_online([entitlement.id], mac, at).get(entitlement.id, 0) < int(entitlement.policy["devices"])


# Those whose sessions accounting tells of, and those who were let in a moment ago and of whom it says nothing yet:
# after a power cut all phones come at once.
_DEVICES = text("""
    SELECT entitlement_id, count(DISTINCT mac) AS devices FROM (
        SELECT entitlement_id, mac FROM access_session
        WHERE tenant_id = app.tenant_id() AND entitlement_id = ANY(:rights) AND stopped_at IS NULL
            AND updated_at > :heard_since AND mac IS DISTINCT FROM :mac
        UNION ALL
        SELECT a.entitlement_id, a.mac FROM admission a
        WHERE a.tenant_id = app.tenant_id() AND a.entitlement_id = ANY(:rights) AND a.admitted_at > :admitted_since
            AND a.mac IS DISTINCT FROM :mac
            AND NOT EXISTS (SELECT FROM access_session s
                WHERE s.tenant_id = a.tenant_id AND s.subscriber_id = a.subscriber_id AND s.mac = a.mac
                    AND s.started_at > a.admitted_at - interval '5 s')) places
    GROUP BY entitlement_id""").bindparams(bindparam("rights", type_=ARRAY(Uuid)), bindparam("mac", type_=Text))
_ADMIT = text("""
    INSERT INTO admission (tenant_id, id, mac, entitlement_id, subscriber_id, admitted_at)
    VALUES (app.tenant_id(), :id, :mac, :entitlement_id, :subscriber_id, :now)
    ON CONFLICT (tenant_id, mac) DO UPDATE SET entitlement_id = excluded.entitlement_id,
        subscriber_id = excluded.subscriber_id, admitted_at = excluded.admitted_at""")


def _devices_online(entitlement_ids: list[UUID], mac: str | None, now: datetime) -> dict[UUID, int]:
    """How many other devices have a place under each; the same device that comes back is no second one."""
    since = {"heard_since": now - STALE_AFTER, "admitted_since": now - _TOLD_OF_WITHIN}
    rows = db.session.execute(_DEVICES, {"rights": entitlement_ids, "mac": mac, **since})
    return {row.entitlement_id: row.devices for row in rows}


def _admit(mac: str, right: Entitlement, now: datetime) -> None:
    values = {"id": ids.new_id(), "mac": mac, "entitlement_id": right.id, "subscriber_id": right.subscriber_id}
    db.session.execute(_ADMIT, {**values, "now": now})


def _grant(right: Entitlement, request: AccessRequest, now: datetime) -> Grant:
    until_end = int((entitlements.end_if_begun(right, now) - now).total_seconds())
    online = entitlements.seconds_left(right)
    timeout = until_end if online is None else min(until_end, online)
    return Grant(
        entitlement_id=right.id,
        subscriber_id=right.subscriber_id,
        # Never 0, which RouterOS takes for no limit.
        timeout_seconds=min(max(timeout, 1), _LONGEST_SECONDS),
        speed_up_bps=int(right.policy["speed_up_bps"]),
        speed_down_bps=int(right.policy["speed_down_bps"]),
        bytes_left=entitlements.bytes_left(right),
        port_limit=int(right.policy["devices"]) if request.service is Service.HOTSPOT else None,
    )


def subscribers_behind(user_name: str, mac: str | None, service: Service) -> list[UUID]:
    """Who a session without our Class token may belong to, as far as its name tells."""
    if service is Service.PPPOE:
        line = subscribers.by_username(user_name)
        return [] if line is None else [line.id]
    if mac is not None and subscribers.normalise_mac(user_name) == mac:
        return subscribers.owners_of(mac)
    code = find_code(user_name)
    return [] if code is None else [code.subscriber_id]
