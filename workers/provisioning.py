"""Jobs that bring routers to what the entitlements say. The routers end sessions by themselves; these are for those
that cannot know: a right that ended early, a cap reached on two devices at once, a router that was away."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from flask import current_app

from config import Settings
from tenants import access
from tenants.access import Answer, Order
from wavu import clock, outbox, tenancy
from wavu.errors import Outage
from wavu.failpoint import failpoint
from wavu.outbox import Queue

log = structlog.get_logger(__name__)

TRIES, TRY_SECONDS = 3, 1.5
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - compared with, never bound


def end_expired_sessions(_: dict[str, Any]) -> None:
    """A clock of the platform: has every tenant that has sessions to end look after them.

    Running twice is harmless: end_sessions names each session once in five minutes.
    """
    now = clock.now()
    for tenant_id in access.tenants_with_sessions_to_end(now):
        with tenancy.visiting(tenant_id):
            outbox.put(Queue.NETWORK, "end_sessions", f"{now:%Y%m%dT%H%M%S}", {})


def end_sessions(_: dict[str, Any]) -> None:
    """Puts one job per session that must end: one that a router is slow about holds no other up.

    Exactly once: what it marks and what it puts commit together.
    """
    for ending in access.sessions_to_end(clock.now()):
        key = f"{ending.session_id}-{ending.asked_at:%Y%m%dT%H%M%S}"
        payload = {"session_id": str(ending.session_id), "asked_at": ending.asked_at.isoformat()}
        outbox.put(Queue.NETWORK, "disconnect_session", key, payload)


def disconnect_session(event: dict[str, Any]) -> Generator[Callable[[], Answer], Answer, None]:
    """Tells the router to end a session (RFC 5176). A session that has ended meanwhile is left alone.

    Running twice is harmless: the router says that it has no such session. One that stays silent is asked again with
    backoff; after five minutes the clock has put a new job, and this one ends.
    """
    session_id = UUID(event["session_id"])
    order = access.disconnect_of(session_id)
    if order is None or clock.now() - access.ASK_AGAIN > datetime.fromisoformat(event["asked_at"]):
        return
    settings: Settings = current_app.extensions["settings"]
    answer = yield lambda: send(order, settings.radius_coa_port, settings.radius_bind)
    log.info("disconnect answered", session=str(session_id), answer=answer.value)
    if answer is Answer.GONE:
        access.close_session(session_id)


def send(order: Order, port: int, bind: str) -> Answer:
    """Sends an order from the address that routers know as their RADIUS server, three times the same bytes.

    Raises Outage where no answer of the router comes.
    """
    family = socket.AF_INET6 if ":" in order.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as wire:
        try:
            if bind not in _WILDCARDS:
                wire.bind((bind, 0))
            wire.connect((order.address, port))
        except OSError:
            raise Outage("router") from None
        failpoint("cp13.before")
        for _ in range(TRIES):
            answer = _ask(wire, order)
            if answer is not None:
                failpoint("cp13.after")
                return answer
    raise Outage("router")


def _ask(wire: socket.socket, order: Order) -> Answer | None:
    """One try. What is no answer to this order is not listened to; a closed port says nothing more than silence."""
    until = time.monotonic() + TRY_SECONDS
    try:
        wire.send(order.datagram)
        while (left := until - time.monotonic()) > 0:
            wire.settimeout(left)
            answer = order.read(wire.recv(4096))
            if answer is not None:
                return answer
    except OSError:
        time.sleep(max(0.0, until - time.monotonic()))
    return None
