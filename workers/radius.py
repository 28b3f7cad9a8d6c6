"""The RADIUS daemon: `python -m workers.radius`. The source address names the router, the router names the tenant.

What is malformed, unsigned or from nobody we know gets no answer; nor does a request that we could not decide, since
the router asks again. Accounting is acknowledged after its commit: what arrived together is written together.
"""

from __future__ import annotations

import hmac
import ipaddress
import selectors
import signal
import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple
from uuid import UUID

import structlog
from cachetools import TTLCache
from flask import Flask

from config import Settings
from tenants import access, network
from tenants.access import AccountingUpdate, ClassToken, Code, Grant, Packet
from wavu import clock, ids, tenancy
from wavu.app import start
from wavu.db import db, is_outage, transaction
from wavu.errors import Refused
from wavu.failpoint import failpoint, failpoint_at_commit
from wavu.tenancy import NameKind, tenant_scope
from wavu.web.i18n import catalogue

log = structlog.get_logger(__name__)

Source = tuple[str, int]
# How long the reply to a request is kept for a router that asks again because it was lost (RFC 5080 2.2.2).
REMEMBER_SECONDS = 10
INTERIM_SECONDS = 300
_REHEARSAL_INTERIM_SECONDS = 60
_MOST_TOGETHER = 256


class Nas(NamedTuple):
    """What the daemon keeps of a router: whose it is and how to check its packets."""

    tenant_id: UUID
    router_id: UUID
    secret: bytes
    require_signature: bool


class _Report(NamedTuple):
    """An accounting request that waits for its commit."""

    packet: Packet
    nas: Nas
    source: Source
    update: AccountingUpdate | None


class Radius:
    """One daemon on two sockets. answer() and account() are the whole protocol; serve() only moves bytes."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self._app = app
        self._bind = settings.radius_bind
        self._ports = (settings.radius_auth_port, settings.radius_acct_port)
        self._health_secret = settings.radius_health_secret.get_secret_value().encode()
        self._class_key = hmac.digest(settings.secret_key.get_secret_value().encode(), b"radius class", "sha256")
        self._interim_seconds = _REHEARSAL_INTERIM_SECONDS if settings.wavu_env == "rehearsal" else INTERIM_SECONDS
        # A router that was added or re-keyed is known within seconds; an unknown address is asked about once in 5.
        self._known: TTLCache[str, Nas | None] = TTLCache(100_000, ttl=5)
        self._replies: TTLCache[bytes, bytes] = TTLCache(100_000, ttl=REMEMBER_SECONDS)
        self._warned: TTLCache[tuple[str, str], bool] = TTLCache(10_000, ttl=60)
        self._stop = threading.Event()
        self._waker: socket.socket | None = None

    def stop(self) -> None:
        """Ends serve(), from any thread or from a signal."""
        self._stop.set()
        if self._waker is not None:
            with suppress(OSError):
                self._waker.send(b".")

    def serve(self) -> None:
        """Binds and answers until stop(). Raises OSError where a port is taken."""
        with selectors.DefaultSelector() as selector, ExitStack() as wires:
            for port, drain in zip(self._ports, (self._drain_access, self._drain_accounting), strict=True):
                selector.register(wires.enter_context(self._open(port)), selectors.EVENT_READ, drain)
            woken, self._waker = (wires.enter_context(end) for end in socket.socketpair())
            selector.register(woken, selectors.EVENT_READ, lambda _: None)
            log.info("radius answers", bind=self._bind, ports=self._ports)
            while not self._stop.is_set():
                # Somebody who wants to get online waits; accounting can.
                for key, _ in sorted(selector.select(timeout=5), key=lambda ready: ready[0].fd):
                    key.data(key.fileobj)

    def _open(self, port: int) -> socket.socket:
        wire = socket.socket(socket.AF_INET6 if ":" in self._bind else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
            wire.bind((self._bind, port))
            wire.setblocking(False)
        except BaseException:
            wire.close()
            raise
        return wire

    def _drain_access(self, wire: socket.socket) -> None:
        for data, source in _arrived(wire, 64):
            try:
                reply = self.answer(data, source)
            except Exception as error:  # noqa: BLE001 - whatever it is, the router must hear nothing
                _tell_trouble("no answer", error)
                continue
            if reply is not None:
                failpoint("cp20.before")
                _send(wire, reply, source)
                failpoint("cp20.after")

    def _drain_accounting(self, wire: socket.socket) -> None:
        for reply, source in self.account(list(_arrived(wire, _MOST_TOGETHER))):
            _send(wire, reply, source)

    def answer(self, data: bytes, source: Source) -> bytes | None:
        """The reply to a packet on the authentication port, or None where there must be none."""
        packet = access.read(data)
        if packet is None:
            self._doubt(source, "malformed")
            return None
        if packet.code is Code.STATUS_SERVER:
            return self._answer_health(packet, source)
        nas = self._believed(packet, source, Code.ACCESS_REQUEST)
        if nas is None:
            return None
        key = _request_key(packet, source)
        reply = self._replies.get(key)
        if reply is None:
            failpoint("cp19.before")
            reply = self._replies[key] = self._decide(packet, nas)
            failpoint("cp19.after")
        return reply

    def _answer_health(self, packet: Packet, source: Source) -> bytes | None:
        """Only the health check on this machine asks; its secret is not a router's."""
        local = source[0] == self._bind or ipaddress.ip_address(source[0].partition("%")[0]).is_loopback
        sound = local and access.is_sound(packet, self._health_secret)
        return access.alive(packet, self._health_secret) if sound else None

    def _believed(self, packet: Packet, source: Source, code: Code) -> Nas | None:
        """The router that sent a packet of this kind and knows its secret."""
        if packet.code is not code:
            return None
        nas = self._nas(source[0])
        if nas is None:
            self._doubt(source, "unknown router")
            return None
        if not access.is_sound(packet, nas.secret, require_signature=nas.require_signature):
            self._doubt(source, "wrong secret or no Message-Authenticator")
            return None
        return nas

    def _doubt(self, source: Source, why: str) -> None:
        """Once a minute, so that an operator can see why a router gets no answer and a flood fills no disk."""
        if (source[0], why) not in self._warned:
            self._warned[source[0], why] = True
            log.warning("radius packet dropped", source=source[0], why=why)

    def _decide(self, packet: Packet, nas: Nas) -> bytes:
        request = access.read_request(packet, nas.secret, nas.router_id)
        about = {"service": request.service.value, "router": str(nas.router_id)}
        with self._app.app_context(), tenant_scope(nas.tenant_id):
            try:
                with transaction():
                    gettext = catalogue(tenancy.find_tenant(nas.tenant_id).locale).gettext
                    outcome = access.authorize(request)
            except Refused as refused:
                log.info("access refused", reason=refused.code, **about)
                return access.reject(packet, nas.secret, gettext(refused.message) % refused.facts)
            if not isinstance(outcome, Grant):
                log.info("access refused", reason=outcome.reason, **about)
                return access.reject(packet, nas.secret, outcome.text(gettext))
            log.info("access granted", entitlement=str(outcome.entitlement_id), **about)
        token = ClassToken(ids.new_id(), outcome.entitlement_id)
        class_value = access.seal_class(self._class_key, nas.router_id, token)
        return access.accept(
            packet, nas.secret, outcome, class_value=class_value, interim_seconds=self._interim_seconds
        )

    def account(self, arrived: Sequence[tuple[bytes, Source]]) -> list[tuple[bytes, Source]]:
        """The replies to packets on the accounting port: for each that is committed, and for nothing else."""
        replies: list[tuple[bytes, Source]] = []
        waiting: dict[UUID, dict[bytes, _Report]] = defaultdict(dict)
        for data, source in arrived:
            try:
                report = self._read_report(data, source)
            except Exception as error:  # noqa: BLE001 - as in _drain_access
                _tell_trouble("accounting not read", error)
                continue
            if report is None:
                continue
            key = _request_key(report.packet, source)
            reply = self._replies.get(key)
            if reply is None:
                waiting[report.nas.tenant_id][key] = report
            else:
                replies.append((reply, source))
        for tenant_id, reports in waiting.items():
            for key in self._store(tenant_id, reports):
                report = reports[key]
                reply = self._replies[key] = access.acknowledge(report.packet, report.nas.secret)
                replies.append((reply, report.source))
        return replies

    def _read_report(self, data: bytes, source: Source) -> _Report | None:
        packet = access.read(data)
        if packet is None:
            self._doubt(source, "malformed")
            return None
        nas = self._believed(packet, source, Code.ACCOUNTING_REQUEST)
        if nas is None:
            return None
        update = access.read_accounting(packet, nas.router_id, class_key=self._class_key, received_at=clock.now())
        return _Report(packet, nas, source, update)

    def _store(self, tenant_id: UUID, reports: dict[bytes, _Report]) -> list[bytes]:
        """Commits a tenant's reports together, and returns which are stored. One that cannot be stored must not keep
        the others from it, so they are tried one by one after a failure that is no outage."""
        try:
            self._commit(tenant_id, reports.values())
        except Exception as error:  # noqa: BLE001 - what is not stored is not acknowledged
            _tell_trouble("accounting not stored", error)
            if len(reports) == 1 or is_outage(error):
                return []
            return [key for one in reports for key in self._store(tenant_id, {one: reports[one]})]
        return list(reports)

    def _commit(self, tenant_id: UUID, reports: Iterable[_Report]) -> None:
        updates = [report.update for report in reports if report.update is not None]
        with self._app.app_context(), tenant_scope(tenant_id), transaction():
            access.record(updates)
            failpoint_at_commit(db.session(), "cp21")

    def _nas(self, source: str) -> Nas | None:
        try:
            return self._known[source]
        except KeyError:
            nas = self._known[source] = self._find_nas(source)
            return nas

    def _find_nas(self, source: str) -> Nas | None:
        with self._app.app_context():
            with tenant_scope(None), transaction():
                tenant_id = tenancy.resolve(NameKind.NAS, source)
            if tenant_id is None:
                return None
            with tenant_scope(tenant_id), transaction():
                router = network.find_nas(source)
                secret = router.secret if router is not None else None
            if router is None or secret is None:
                return None
            return Nas(tenant_id, router.id, secret.encode(), router.require_message_authenticator)


def _request_key(packet: Packet, source: Source) -> bytes:
    """What makes a request the same one sent again: where from, code, identifier and authenticator (RFC 5080 2.2.2)."""
    return f"{source[0]}|{source[1]}|".encode() + packet.raw[:2] + packet.raw[4:20]


def _arrived(wire: socket.socket, most: int) -> Iterable[tuple[bytes, Source]]:
    """What waits on a socket, up to so many datagrams."""
    for _ in range(most):
        try:
            data, source = wire.recvfrom(4097)
        except (BlockingIOError, ConnectionError):
            return
        yield data, source[:2]


def _send(wire: socket.socket, reply: bytes, source: Source) -> None:
    try:
        wire.sendto(reply, source)
    except OSError as error:
        # The router asks again, and gets the same reply.
        log.warning("reply not sent", error=type(error).__name__)


def _tell_trouble(what: str, error: Exception) -> None:
    if is_outage(error):
        log.warning(what, error=type(error).__name__)
    else:
        log.exception(what, error=type(error).__name__)


def main() -> None:
    settings, app = start()
    daemon = Radius(settings, app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: daemon.stop())
    try:
        daemon.serve()
    except OSError as error:
        sys.exit(f"RADIUS cannot bind {settings.radius_bind}: {error.strerror}. Change RADIUS_BIND or the ports.")


if __name__ == "__main__":
    main()
