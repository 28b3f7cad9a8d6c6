from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from flask import Flask
from pyrad.packet import AuthPacket

from config import Settings, load
from rehearsal.servers import free_port
from tests.world import World, build_world
from wavu import radius_probe
from wavu.app import create_app
from wavu.db import db
from workers.radius import Radius


class Wire(NamedTuple):
    """A running daemon and a socket towards it."""

    world: World
    settings: Settings
    app: Flask

    def ask(self, packet: bytes, source: str, timeout: float = 2.0) -> bytes | None:
        """Sends from an address and returns the reply, or None for silence."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((source, 0))
            wire.settimeout(timeout)
            wire.sendto(packet, ("127.0.0.1", self.settings.radius_auth_port))
            try:
                return wire.recv(4096)
            except TimeoutError:
                return None


def request(secret: str, user: str = "someone", *, signed: bool = True) -> AuthPacket:
    packet = AuthPacket(secret=secret.encode(), authenticator=AuthPacket.CreateAuthenticator(), id=7)
    packet[1] = [user.encode()]
    packet[2] = [packet.PwCrypt("password")]
    if signed:
        packet.add_message_authenticator()
    return packet


@pytest.fixture
def wire(own_database: dict[str, str]) -> Iterator[Wire]:
    ports = {"RADIUS_AUTH_PORT": str(free_port()), "RADIUS_ACCT_PORT": str(free_port())}
    settings = load(own_database | ports)
    app = create_app(settings)
    world = build_world(app)
    daemon = Radius(settings, app)
    thread = threading.Thread(target=daemon.serve)
    thread.start()
    secret = settings.radius_health_secret.get_secret_value()
    while not radius_probe.answers("127.0.0.1", settings.radius_auth_port, secret, timeout_seconds=0.2):
        assert thread.is_alive()
    yield Wire(world, settings, app)
    daemon.stop()
    thread.join()
    with app.app_context():
        db.engine.dispose()
