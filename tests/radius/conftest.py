from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import pytest
from flask import Flask
from pyrad.packet import AcctPacket, AuthPacket
from sqlalchemy import select

from config import Settings, load
from rehearsal.router import VirtualRouter
from rehearsal.servers import free_port
from tenants import subscribers
from tenants.access import AccessSession
from tests.world import Isp, World
from wavu import radius_probe
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope
from workers.radius import Radius

ACCEPT, REJECT, ACCOUNTED = 2, 3, 5
PHONE, PHONE_MAC = "AA:BB:CC:DD:EE:FF", "AABBCCDDEEFF"


class Wire(NamedTuple):
    """A running daemon and a socket towards it."""

    world: World
    settings: Settings
    app: Flask

    def ask(self, packet: bytes, source: str, timeout: float = 2.0, port: int = 0) -> bytes | None:
        """Sends from an address and returns the reply, or None for silence."""
        accounting = packet[:1] == b"\x04"
        target = self.settings.radius_acct_port if accounting else self.settings.radius_auth_port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((source, port))
            wire.settimeout(timeout)
            wire.sendto(packet, ("127.0.0.1", target))
            try:
                return wire.recv(4096)
            except TimeoutError:
                return None

    def log_in(self, packet: AuthPacket, isp: Isp | None = None) -> AuthPacket:
        """The reply to an Access-Request, verified as a router does."""
        raw = packet.RequestPacket()
        reply = self.ask(raw, (isp or self.world.a).nas_address)
        assert reply is not None
        answer = packet.CreateReply(packet=reply)
        assert packet.VerifyReply(answer, reply, enforce_ma=True)
        assert reply[20] == 80, "Message-Authenticator comes first"
        return answer

    def tell(self, packet: AcctPacket, isp: Isp | None = None, timeout: float = 2.0) -> bool:
        """Whether accounting was acknowledged."""
        reply = self.ask(packet.RequestPacket(), (isp or self.world.a).nas_address, timeout)
        return reply is not None and packet.VerifyReply(packet.CreateReply(packet=reply), reply)

    @contextmanager
    def inside(self, isp: Isp | None = None) -> Iterator[None]:
        """One transaction of a tenant, A unless said."""
        with self.app.app_context(), tenant_scope((isp or self.world.a).id), transaction():
            yield

    def sessions(self, isp: Isp | None = None) -> list[AccessSession]:
        with self.inside(isp):
            return list(db.session.scalars(select(AccessSession).order_by(AccessSession.started_at)))

    def bind_phone(self, subscriber_id: UUID, mac: str = PHONE_MAC) -> None:
        """In inside()."""
        subscribers.bind_device(mac, subscriber_id)

    def router(self, isp: Isp | None = None, **options: object) -> VirtualRouter:
        isp = isp or self.world.a
        ports = (self.settings.radius_auth_port, self.settings.radius_acct_port)
        return VirtualRouter(
            isp.name, address=isp.nas_address, secret=isp.nas_secret, radius=("127.0.0.1", *ports),
            coa_port=self.settings.radius_coa_port, hotspot_port=None, **options,  # type: ignore[arg-type]
        )  # fmt: skip


def request(secret: str, user: str = "someone", password: str = "x", *, signed: bool = True) -> AuthPacket:  # noqa: S107
    packet = AuthPacket(secret=secret.encode(), authenticator=AuthPacket.CreateAuthenticator(), id=7)
    packet[1] = [user.encode()]
    packet[2] = [packet.PwCrypt(password)]
    if signed:
        packet.add_message_authenticator()
    return packet


def hotspot(isp: Isp, user: str, password: str, mac: str = PHONE) -> AuthPacket:
    """As RouterOS asks for a hotspot log-in over PAP."""
    packet = request(isp.nas_secret, user, password)
    packet[6], packet[31], packet[44] = [(1).to_bytes(4)], [mac.encode()], [b"80100001"]
    return packet


def pppoe(isp: Isp, user: str, password: str, *, challenge: bytes | None = None) -> AuthPacket:
    """A PPPoE log-in: PAP, or CHAP with a challenge of its own or, for b"", with the Request Authenticator."""
    packet = request(isp.nas_secret, user, password)
    packet[6], packet[7], packet[31] = [(2).to_bytes(4)], [(1).to_bytes(4)], [PHONE.encode()]
    if challenge is not None:
        del packet[2]
        digest = hashlib.md5(b"\x09" + password.encode() + (challenge or packet.authenticator)).digest()  # noqa: S324
        packet[3] = [b"\x09" + digest]
        if challenge:
            packet[60] = [challenge]
    return packet


def accounting(isp: Isp, status: int, class_value: bytes | None = None, **fields: int) -> AcctPacket:
    """As RouterOS reports a hotspot session; fields: seconds, up, down, cause."""
    packet = AcctPacket(secret=isp.nas_secret.encode())
    packet[40], packet[1], packet[31] = [status.to_bytes(4)], [PHONE.encode()], [PHONE.encode()]
    packet[44], packet[8] = [b"80100001"], [bytes([10, 5, 50, 7])]
    if class_value is not None:
        packet[25] = [class_value]
    for name, octets, gigawords in (("up", 42, 52), ("down", 43, 53)):
        value = fields.get(name, 0)
        packet[octets], packet[gigawords] = [(value & 0xFFFFFFFF).to_bytes(4)], [(value >> 32).to_bytes(4)]
    packet[46] = [fields.get("seconds", 0).to_bytes(4)]
    if "cause" in fields:
        packet[49] = [fields["cause"].to_bytes(4)]
    return packet


@contextmanager
def running(environ: dict[str, str], world: World) -> Iterator[Wire]:
    """The daemon on free ports."""
    ports = {name: str(free_port()) for name in ("RADIUS_AUTH_PORT", "RADIUS_ACCT_PORT", "RADIUS_COA_PORT")}
    settings = load(environ | ports)
    app = create_app(settings)
    daemon = Radius(settings, app)
    thread = threading.Thread(target=daemon.serve)
    thread.start()
    secret = settings.radius_health_secret.get_secret_value()
    while not radius_probe.answers("127.0.0.1", settings.radius_auth_port, secret, timeout_seconds=0.2):
        assert thread.is_alive()
    try:
        yield Wire(world, settings, app)
    finally:
        daemon.stop()
        thread.join()
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def wire(own_world: tuple[dict[str, str], World]) -> Iterator[Wire]:
    with running(*own_world) as made:
        yield made
