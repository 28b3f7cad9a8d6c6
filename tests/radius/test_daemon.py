"""The daemon answers whom it knows, and nobody else."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import subprocess

import pytest
from sqlalchemy import text

from tests.radius.conftest import Wire, request, running
from tests.world import World
from wavu import radius_probe
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope
from wavu.web.health import Probe
from workers.radius import Radius

REJECT = 3


def _silence(wire: Wire, packet: bytes, source: str) -> bool:
    return wire.ask(packet, source, timeout=0.12) is None


def test_a_known_router_gets_a_signed_refusal_with_its_reason(wire: Wire) -> None:
    asked = request(wire.world.a.nas_secret)
    raw = asked.RequestPacket()
    reply = wire.ask(raw, wire.world.a.nas_address)
    assert reply is not None
    assert reply[0] == REJECT
    assert reply[20] == 80, "Message-Authenticator comes first"
    answer = asked.CreateReply(packet=reply)
    assert asked.VerifyReply(answer, reply, enforce_ma=True)
    assert answer[18] == [b"Unknown user name."]


def test_the_source_address_is_the_router(wire: Wire) -> None:
    a, b = wire.world.a, wire.world.b
    assert _silence(wire, request(a.nas_secret).RequestPacket(), b.nas_address), "A's secret from B's address"
    assert _silence(wire, request(a.nas_secret).RequestPacket(), "127.0.9.99"), "an unknown address"
    assert wire.ask(request(b.nas_secret).RequestPacket(), b.nas_address) is not None


def test_malformed_and_unsigned_packets_get_nothing(wire: Wire) -> None:
    source, secret = wire.world.a.nas_address, wire.world.a.nas_secret
    good = request(secret).RequestPacket()
    for bad in (
        b"", b"\x01", good[:19], good[:-1], good[:2] + b"\x00\x10" + good[4:], good[:2] + b"\xff\xff" + good[4:],
        b"\x63" + good[1:], good[:21] + b"\x00" + good[22:], good[:21] + b"\xff" + good[22:],
        request(secret, signed=False).RequestPacket(), request("wrong secret").RequestPacket(),
        good[:-1] + bytes([good[-1] ^ 1]),
    ):  # fmt: skip
        assert _silence(wire, bad, source), bad
    padded = good + b"\x00" * 10
    assert wire.ask(padded, source) is not None, "padding is ignored (RFC 2865 3)"
    assert wire.ask(good, source) is not None, "and the daemon lives on"


def test_a_zero_length_vendor_attribute_is_survived(wire: Wire) -> None:
    """pyrad up to 2.5.4 looped for ever on it."""
    head = bytes([1, 9]) + (20 + 8).to_bytes(2) + bytes(16)
    assert _silence(wire, head + bytes([26, 8, 0, 0, 0, 9, 1, 0]), wire.world.a.nas_address)
    assert wire.ask(request(wire.world.a.nas_secret).RequestPacket(), wire.world.a.nas_address) is not None


def test_a_router_can_be_excused_from_signing_but_never_with_proxy_state(wire: Wire) -> None:
    a = wire.world.a
    with wire.app.app_context(), tenant_scope(a.id), transaction():
        db.session.execute(text("UPDATE router SET require_message_authenticator = false"))
    assert wire.ask(request(a.nas_secret, signed=False).RequestPacket(), a.nas_address) is not None
    forged = request(a.nas_secret, signed=False)
    forged[33] = [b"collision"]
    assert _silence(wire, forged.RequestPacket(), a.nas_address)
    assert _silence(wire, request("wrong", signed=True).RequestPacket(), a.nas_address), "a signature must be right"


def test_only_the_health_check_learns_that_the_daemon_is_alive(wire: Wire) -> None:
    port, secret = wire.settings.radius_auth_port, wire.settings.radius_health_secret.get_secret_value()
    assert radius_probe.answers("127.0.0.1", port, secret)
    assert not radius_probe.answers("127.0.0.1", port, "wrong", timeout_seconds=0.3)
    head = bytes([12, 1]) + (38).to_bytes(2) + bytes(16)
    empty = bytes([80, 18]) + bytes(16)
    signed = head + empty[:2] + hmac.new(secret.encode(), head + empty, hashlib.md5).digest()
    daemon = Radius(wire.settings, wire.app)
    assert daemon.answer(signed, ("127.0.9.1", 1)) is not None, "from this machine, whichever address it binds"
    assert daemon.answer(signed, ("::1", 1)) is not None
    assert daemon.answer(signed, ("10.0.0.5", 1)) is None


def test_a_daemon_on_every_address_answers_the_health_check(own_world: tuple[dict[str, str], World]) -> None:
    environ, world = own_world
    with running(environ | {"RADIUS_BIND": "0.0.0.0"}, world) as wire:  # noqa: S104 - what is tested
        assert Probe(wire.settings).check("radius")["radius"].message == "ok"


def test_nothing_is_answered_while_the_database_is_away(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    packet = request(wire.world.a.nas_secret).RequestPacket()
    assert wire.ask(packet, wire.world.a.nas_address) is not None

    def away(_: str) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr("tenants.access.authorize", away)
        assert _silence(wire, packet, wire.world.a.nas_address)
    assert wire.ask(packet, wire.world.a.nas_address) is not None


@pytest.mark.skipif(shutil.which("radclient") is None, reason="install freeradius-utils for radclient")
def test_radclient_gets_its_reject(wire: Wire) -> None:
    a = wire.world.a
    attributes = f"User-Name=someone,User-Password=x,Message-Authenticator=0x00,Packet-Src-IP-Address={a.nas_address}"
    target = f"127.0.0.1:{wire.settings.radius_auth_port}"
    done = subprocess.run(
        [shutil.which("radclient") or "", "-x", "-r", "1", "-t", "2", target, "auth", a.nas_secret],
        input=attributes, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Access-Reject" in done.stdout
    assert 'Reply-Message = "Unknown user name."' in done.stdout
