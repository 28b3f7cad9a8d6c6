"""Accounting over the wire: acknowledged once it is stored, counted once however often it comes."""

from __future__ import annotations

import pytest

from tenants.access import record
from tests.access import shop
from tests.radius.conftest import PHONE, Wire, accounting, hotspot
from wavu.db import TenantSession, db
from workers.radius import Radius

START, STOP, INTERIM, ON = 1, 2, 3, 7


def _logged_in(wire: Wire) -> bytes:
    with wire.inside():
        who = shop.customer(12_345_678)
        wire.bind_phone(who)
        shop.buy(who)
    return bytes(wire.log_in(hotspot(wire.world.a, PHONE, ""))[25][0])


def test_a_session_is_followed_past_4_gb_and_counted_once(wire: Wire) -> None:
    a, token = wire.world.a, _logged_in(wire)
    reports = [
        accounting(a, INTERIM, token, seconds=600, up=70, down=2**32 + 11),
        accounting(a, START, token),
        accounting(a, INTERIM, token, seconds=300, up=50, down=2**31),
        accounting(a, STOP, token, seconds=660, up=80, down=2**32 + 20, cause=1),
        accounting(a, INTERIM, token, seconds=600, up=70, down=2**32 + 11),
        accounting(a, STOP, token, seconds=660, up=80, down=2**32 + 20, cause=1),
    ]
    assert all(wire.tell(report) for report in reports)
    (session,) = wire.sessions()
    assert (session.seconds, session.bytes_up, session.bytes_down) == (660, 80, 2**32 + 20)
    assert (session.cause, session.framed_address, session.mac) == ("User-Request", "10.5.50.7", "AABBCCDDEEFF")
    with wire.inside():
        used = db.session.execute(db.text("SELECT used_seconds, used_bytes FROM entitlement")).one()
    assert tuple(used) == (660, 2**32 + 100)
    assert wire.sessions(wire.world.b) == []


def test_the_same_request_again_gets_the_same_reply(wire: Wire) -> None:
    a = wire.world.a
    packet = accounting(a, START)
    packet[33] = [b"proxy"]
    raw, port = packet.RequestPacket(), 40_000 + wire.settings.radius_acct_port % 10_000
    replies = [wire.ask(raw, a.nas_address, port=port) for _ in range(2)]
    assert replies[0] is not None
    assert replies[0] == replies[1]
    assert packet.CreateReply(packet=replies[0])[33] == [b"proxy"]
    assert len(wire.sessions()) == 1


def test_whoever_does_not_know_the_secret_writes_nothing(wire: Wire) -> None:
    a, b = wire.world.a, wire.world.b
    raw = accounting(a, START).RequestPacket()
    for datagram, source in (
        (raw, b.nas_address), (raw, "127.0.9.99"), (raw[:-1] + bytes([raw[-1] ^ 1]), a.nas_address),
        (raw[:-1], a.nas_address), (raw[:20], a.nas_address), (b"\x04", a.nas_address),
    ):  # fmt: skip
        assert wire.ask(datagram, source, timeout=0.1) is None
    assert wire.sessions() == wire.sessions(b) == []


def test_anything_odd_is_kept_or_acknowledged_but_breaks_nothing(wire: Wire) -> None:
    a = wire.world.a
    odd = accounting(a, START, b"a Class of somebody else's", seconds=2**32 - 1, up=2**64 - 1, down=2**64 - 1)
    odd[1], odd[31], odd[44] = [b"\xff\x00bad"], [b"\x00\x01"], [b"\x00"]
    assert wire.tell(odd)
    assert wire.tell(accounting(a, 15)), "a status that we do not know is acknowledged, or it would come for ever"
    assert wire.tell(accounting(a, ON))
    (session,) = wire.sessions()
    assert session.subscriber_id is None
    assert session.bytes_up == 2**56


def test_one_report_that_cannot_be_stored_holds_no_other_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(updates: list[object]) -> None:
        if any(getattr(update, "acct_session_id", "") == "poison" for update in updates):
            raise ZeroDivisionError
        record(updates)  # type: ignore[arg-type]

    monkeypatch.setattr("tenants.access.record", picky)
    a, daemon = wire.world.a, Radius(wire.settings, wire.app)
    packets = [accounting(a, START) for _ in range(3)]
    for number, packet in enumerate(packets):
        packet[44] = [b"poison" if number == 1 else str(number).encode()]
    sources = [(a.nas_address, 1000 + number) for number in range(3)]
    arrived = [(packet.RequestPacket(), source) for packet, source in zip(packets, sources, strict=True)]
    assert [source for _, source in daemon.account(arrived)] == [sources[0], sources[2]]
    assert sorted(session.acct_session_id for session in wire.sessions()) == ["0", "2"]


def test_nothing_is_acknowledged_that_is_not_committed(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(TenantSession, "commit", fails)
        assert not wire.tell(accounting(wire.world.a, START), timeout=0.3)
    assert wire.sessions() == []
    assert wire.tell(accounting(wire.world.a, START))
