"""The RADIUS daemon: `python -m workers.radius`. The source address names the router, the router names the tenant.

What is malformed, unsigned or from nobody we know gets no answer; nor does a request that we could not decide, since
the router asks again. Accounting gets no answer before it can be stored.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from typing import NamedTuple

import structlog
from cachetools import TTLCache
from flask import Flask
from pyrad.packet import AuthPacket

from config import ConfigurationError, Settings, load
from tenants import access, network
from tenants.access import Code, Packet
from wavu import tenancy
from wavu.app import check_database, create_app
from wavu.db import transaction
from wavu.tenancy import NameKind, tenant_scope

log = structlog.get_logger(__name__)


class Nas(NamedTuple):
    """What the daemon keeps of a router: whose it is and how to check its packets."""

    tenant_id: object
    secret: bytes
    require_signature: bool


class Radius:
    """One daemon on two sockets. answer() is the whole protocol; serve() only moves bytes."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self._app = app
        self._bind = settings.radius_bind
        self._ports = (settings.radius_auth_port, settings.radius_acct_port)
        self._health_secret = settings.radius_health_secret.get_secret_value().encode()
        # A router that was added or re-keyed is known within seconds; an unknown address is asked about once in 5.
        self._known: TTLCache[str, Nas | None] = TTLCache(100_000, ttl=5)
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def serve(self) -> None:
        """Binds and answers until stop(). Raises OSError where a port is taken."""
        family = socket.AF_INET6 if ":" in self._bind else socket.AF_INET
        with selectors.DefaultSelector() as selector, ExitStack() as wires:
            for port in self._ports:
                wire = wires.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
                wire.bind((self._bind, port))
                wire.setblocking(False)
                selector.register(wire, selectors.EVENT_READ)
            log.info("radius answers", bind=self._bind, ports=self._ports)
            while not self._stop.is_set():
                for key, _ in selector.select(timeout=0.5):
                    self._drain(key.fileobj)  # type: ignore[arg-type]

    def _drain(self, wire: socket.socket) -> None:
        for _ in range(64):
            try:
                data, source = wire.recvfrom(4097)
            except (BlockingIOError, ConnectionError):
                return
            try:
                # Nobody can be answered at port 0.
                reply = self.answer(data, source[0]) if source[1] else None
                if reply is not None:
                    wire.sendto(reply, source)
            except Exception as error:
                log.exception("no answer", error=type(error).__name__)

    def answer(self, data: bytes, source: str) -> bytes | None:
        """The reply to a packet, or None where there must be none."""
        packet = access.read(data)
        if packet is None:
            return None
        if packet.code is Code.STATUS_SERVER:
            # Only our own health check asks; its secret is not a router's.
            sound = source in {self._bind, "127.0.0.1", "::1"} and access.is_sound(packet, self._health_secret)
            return _reply(packet, self._health_secret, Code.ACCESS_ACCEPT) if sound else None
        if packet.code is not Code.ACCESS_REQUEST:
            return None
        nas = self._nas(source)
        if nas is None or not access.is_sound(packet, nas.secret, require_signature=nas.require_signature):
            return None
        with self._app.app_context(), tenant_scope(nas.tenant_id), transaction():  # type: ignore[arg-type]
            refusal = access.authorize(_user_name(packet))
        return _reply(packet, nas.secret, Code.ACCESS_REJECT, refusal.message)

    def _nas(self, source: str) -> Nas | None:
        if source not in self._known:
            self._known[source] = self._find_nas(source)
        return self._known[source]

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
            return Nas(tenant_id, secret.encode(), router.require_message_authenticator)


def _user_name(packet: Packet) -> str:
    request = AuthPacket(packet=packet.raw)
    values = request.get(1) or [b""]
    return bytes(values[0]).decode(errors="replace")


def _reply(packet: Packet, secret: bytes, code: Code, message: str = "") -> bytes:
    """A reply with the Message-Authenticator first, as the countermeasure to CVE-2024-3596 asks."""
    reply = AuthPacket(code=int(code), id=packet.raw[1], secret=secret, authenticator=packet.raw[4:20])
    reply.request_authenticator = packet.raw[4:20]
    reply.add_message_authenticator()
    if message:
        reply[18] = [message.encode()[:253]]
    return bytes(reply.ReplyPacket())


def main() -> None:
    try:
        settings = load()
    except ConfigurationError as error:
        sys.exit(str(error))
    app = create_app(settings)
    check_database(app)
    daemon = Radius(settings, app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: daemon.stop())
    try:
        daemon.serve()
    except OSError as error:
        sys.exit(f"RADIUS cannot bind {settings.radius_bind}: {error.strerror}. Change RADIUS_BIND or the ports.")


if __name__ == "__main__":
    main()
