"""Who gets in, and with which attributes, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
from collections import OrderedDict
from datetime import timedelta

import pytest

from tenants import access
from tests.access import shop
from tests.radius.conftest import ACCEPT, PHONE, PHONE_MAC, REJECT, Wire, hotspot, pppoe, request
from wavu import clock, tenancy
from wavu.db import db


def _mikrotik(number: int, value: bytes) -> bytes:
    return (14988).to_bytes(4) + bytes([number, len(value) + 2]) + value


def test_a_phone_gets_in_by_its_address_after_the_purchase_on_its_own_isp_only(wire: Wire) -> None:
    a, b = wire.world.a, wire.world.b
    refused = wire.log_in(hotspot(a, PHONE, ""))
    assert (refused.code, refused[18]) == (REJECT, [b"No active package."])
    with wire.inside():
        who = shop.customer(12_345_678)
        wire.bind_phone(who)
        right = shop.buy(who, data_cap_bytes=5 * 2**30, devices=2)
    accepted = wire.log_in(hotspot(a, PHONE, PHONE))
    assert accepted.code == ACCEPT
    assert list(OrderedDict.keys(accepted)) == [80, 27, 85, 25, 26, 62]
    assert accepted[27] == [(3600).to_bytes(4)]
    assert accepted[85] == [(300).to_bytes(4)]
    assert accepted[62] == [(2).to_bytes(4)]
    assert accepted[26] == [
        _mikrotik(8, b"2000k/5000k"), _mikrotik(17, (2**30).to_bytes(4)), _mikrotik(18, (1).to_bytes(4)),
    ]  # fmt: skip
    assert len(accepted[25][0]) == 42
    with wire.inside():
        db.session.execute(db.text("UPDATE entitlement SET used_bytes = 1024 * 1024 * 1024"))
    left = wire.log_in(hotspot(a, PHONE, PHONE))[26][1:]
    assert left == [_mikrotik(17, b"\xff" * 4), _mikrotik(18, bytes(4))], "4 GB, a byte less: 0 would be no limit"
    assert right.id.bytes in accepted[25][0]
    assert wire.log_in(hotspot(b, PHONE, PHONE), b).code == REJECT, "B has never seen this phone"
    stranger = hotspot(a, PHONE, PHONE, mac="AA:BB:CC:DD:EE:00")
    assert wire.log_in(stranger).code == REJECT, "somebody else's address"


def test_a_line_gets_in_by_pap_and_chap(wire: Wire) -> None:
    a, b = wire.world.a, wire.world.b
    with wire.inside():
        kamau = shop.line("kamau", "siri kubwa")
    assert wire.log_in(pppoe(a, "kamau", "siri kubwa"))[18] == [b"No active package."]
    with wire.inside():
        shop.buy(kamau, at=clock.now() - timedelta(minutes=20), service="pppoe")
    for challenge in (None, bytes(range(16)), b"another length", b""):
        accepted = wire.log_in(pppoe(a, "kamau", "siri kubwa", challenge=challenge))
        assert accepted.code == ACCEPT, challenge
        assert 2398 <= int.from_bytes(accepted[27][0]) <= 2400
        assert 62 not in accepted
        assert wire.log_in(pppoe(a, "kamau", "siri ndogo", challenge=challenge))[18] == [b"Wrong password."]
    assert wire.log_in(pppoe(b, "kamau", "siri kubwa"), b)[18] == [b"Unknown user name."]
    login = request(a.nas_secret, "kamau", "siri kubwa")
    login[6], login[31] = [(1).to_bytes(4)], [b"10.0.0.9"]
    assert wire.log_in(login)[18] == [b"Customers cannot sign in to a router."]


def test_a_code_is_for_one_log_in_of_one_device(wire: Wire) -> None:
    a = wire.world.a
    with wire.inside():
        who = shop.customer(12_345_678)
        shop.buy(who)
        code, late = access.make_login_code(who, PHONE_MAC), access.make_login_code(who, PHONE_MAC)
        with clock.fixed(clock.now() - timedelta(seconds=121)):
            old = access.make_login_code(who, PHONE_MAC)
    assert wire.log_in(hotspot(a, code, code, mac="AA:BB:CC:DD:EE:00")).code == REJECT
    assert wire.log_in(hotspot(wire.world.b, code, code), wire.world.b).code == REJECT
    assert wire.log_in(hotspot(a, old, old)).code == REJECT
    assert wire.log_in(hotspot(a, code, code)).code == ACCEPT
    assert wire.log_in(hotspot(a, code, code)).code == REJECT
    assert wire.log_in(hotspot(a, late, late)).code == ACCEPT


def test_a_lost_accept_is_sent_again_byte_for_byte(wire: Wire) -> None:
    """CP20: the code is used up, but the router asks with the same packet from the same port."""
    a = wire.world.a
    with wire.inside():
        who = shop.customer(12_345_678)
        shop.buy(who)
        code = access.make_login_code(who, PHONE_MAC)
    packet = hotspot(a, code, code)
    packet[33] = [b"first proxy", b"second proxy"]
    raw = packet.RequestPacket()
    port = 40_000 + wire.settings.radius_auth_port % 10_000
    first = wire.ask(raw, a.nas_address, port=port)
    assert first is not None
    assert first[0] == ACCEPT
    assert first == wire.ask(raw, a.nas_address, port=port)
    reply = packet.CreateReply(packet=first)
    assert reply[33] == [b"first proxy", b"second proxy"], "Proxy-State goes back as it came"
    other = wire.ask(raw, a.nas_address)
    assert other is not None
    assert other[0] == REJECT, "another port is another request"


def test_refusals_are_in_the_tenants_language(wire: Wire) -> None:
    with wire.inside():
        tenancy.find_tenant(wire.world.a.id).locale = "sw"
        who = shop.customer(12_345_678)
        wire.bind_phone(who)
        ended = shop.buy(who, at=clock.now() - timedelta(hours=3))
        db.session.flush()
    refused = wire.log_in(hotspot(wire.world.a, PHONE, ""))
    local = ended.ends_at + timedelta(hours=3)
    assert refused[18][0].decode() == f"Kifurushi chako kiliisha tarehe {local:%d/%m/%Y %H:%M}."


@pytest.mark.skipif(shutil.which("radclient") is None, reason="install freeradius-utils for radclient")
@pytest.mark.parametrize("proof", ["User-Password", "CHAP-Password"])
def test_radclient_is_let_in_after_the_purchase(wire: Wire, proof: str) -> None:
    def ask(isp_number: int, *, signed: bool = True) -> str:
        isp = (wire.world.a, wire.world.b)[isp_number]
        attributes = (
            f"User-Name=kamau,{proof}=siri,Service-Type=Framed-User,Framed-Protocol=PPP,Calling-Station-Id={PHONE},"
            f"Packet-Src-IP-Address={isp.nas_address}" + (",Message-Authenticator=0x00" if signed else "")
        )
        target = f"127.0.0.1:{wire.settings.radius_auth_port}"
        patience = "5" if signed else "1"
        return subprocess.run(
            [shutil.which("radclient") or "", "-x", "-r", "1", "-t", patience, target, "auth", isp.nas_secret],
            input=attributes, capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip

    with wire.inside():
        kamau = shop.line("kamau", "siri")
    assert "Access-Reject" in ask(0)
    with wire.inside():
        shop.buy(kamau, service="pppoe")
    assert "Access-Accept" in ask(0)
    assert "Access-Reject" in ask(1)
    if proof == "User-Password":
        assert "Access-Accept" not in (unsigned := ask(0, signed=False))
        assert "Access-Reject" not in unsigned, "without Message-Authenticator there is no answer at all"
