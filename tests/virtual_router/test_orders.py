"""Disconnect-Request and CoA-Request (sheet 1.7, RFC 5176), by pyrad and by FreeRADIUS's radclient."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any

import pytest

from rehearsal.router import Session, VirtualRouter
from tests.virtual_router.server import OTHER, PHONE, SECRET, RadiusServer, order

DISCONNECT, ACK, NAK = 40, 41, 42
COA, COA_ACK, COA_NAK = 43, 44, 45


@pytest.fixture
def session(server: RadiusServer, router: VirtualRouter) -> Session:
    """A phone that is online."""
    server.users["asha"] = "pw"
    server.replies["asha"] = {"Session-Timeout": 3600, "Mikrotik-Rate-Limit": "1M/2M"}
    router.join(PHONE)
    opened = router.login(PHONE, "asha", "pw").session
    assert opened is not None
    router.wait_idle()
    return opened


def named(session: Session, *more: str) -> dict[str, Any]:
    whole = {
        "User-Name": session.user, "Framed-IP-Address": session.ip, "Acct-Session-Id": session.id,
        "Calling-Station-Id": session.mac,
    }  # fmt: skip
    return {name: whole[name] for name in ("User-Name", "Framed-IP-Address", *more)}


@pytest.mark.parametrize("signed", [True, False])
def test_disconnect(server: RadiusServer, router: VirtualRouter, session: Session, signed: bool) -> None:
    answer = order(router, DISCONNECT, named(session, "Acct-Session-Id", "Calling-Station-Id"), signed=signed)
    assert answer.code == ACK
    assert (80 in answer) is signed
    router.wait_idle()
    (stop,) = server.records_of(2)
    assert (stop["Acct-Terminate-Cause"], stop["Acct-Session-Id"]) == (6, session.id)
    device = router.device(PHONE)
    assert (device.state, device.cookie) == ("blocked", None)


def test_a_repeated_order_gets_the_same_answer(server: RadiusServer, router: VirtualRouter, session: Session) -> None:
    """RFC 5080 2.2.2: otherwise the sender, whose answer got lost, would hear "no such session"."""
    assert order(router, DISCONNECT, named(session), times=3).code == ACK
    router.wait_idle()
    assert len(server.records_of(2)) == 1
    assert order(router, DISCONNECT, named(session)).code == NAK


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"User-Name": "juma"}, 503),
        ({"Framed-IP-Address": "10.5.50.99"}, 503),
        ({"Acct-Session-Id": "8010ffff"}, 503),
        ({"Calling-Station-Id": PHONE.lower()}, 503),
        ({"Framed-IP-Address": None, "Acct-Session-Id": "80100001"}, 503),
        ({"Framed-IP-Address": None}, 402),
        ({"User-Name": None, "Framed-IP-Address": None, "Acct-Session-Id": "80100001"}, 402),
        ({"NAS-Identifier": "another"}, 403),
    ],
)
def test_sessions_must_be_named_as_routeros_wants(
    router: VirtualRouter, session: Session, changes: dict[str, Any], cause: int
) -> None:
    asked = {name: value for name, value in (named(session) | changes).items() if value is not None}
    answer = order(router, DISCONNECT, asked)
    assert (answer.code, answer["Error-Cause"]) == (NAK, [cause])
    assert router.sessions() == [session]


def test_a_line_is_named_by_user_and_session(server: RadiusServer, router: VirtualRouter) -> None:
    server.users["home"] = "pw"
    line = router.dial("home", "pw", OTHER).session
    assert line is not None
    assert order(router, DISCONNECT, {"User-Name": "home", "Acct-Session-Id": line.id}).code == ACK
    assert router.sessions() == []


def test_the_same_user_twice_is_ambiguous_only_without_the_address(
    server: RadiusServer, router: VirtualRouter, session: Session
) -> None:
    router.join(OTHER)
    assert router.login(OTHER, "asha", "pw").ok
    assert order(router, DISCONNECT, named(session)).code == ACK
    assert [open_.mac for open_ in router.sessions()] == [OTHER]


def test_change_of_speed_time_and_limit(server: RadiusServer, router: VirtualRouter, session: Session) -> None:
    router.traffic_of(PHONE, 8_000_000, 8_000_000)
    router.advance(10)
    changes = {"Mikrotik-Rate-Limit": "256k/512k", "Session-Timeout": 600, "Mikrotik-Address-List": "FUP"}
    assert order(router, COA, named(session, "Acct-Session-Id") | changes).code == COA_ACK
    router.advance(10)
    assert session.policy.rate_text == "256k/512k"
    assert session.usage(router.clock.now()) == (1_250_000 + 320_000, 2_500_000 + 640_000)
    assert session.policy.extras == {}
    assert router.notes[-1] == "CoA ignored Mikrotik-Address-List"
    assert session.time_left(router.clock.now()) == 580
    assert order(router, COA, named(session) | {"Mikrotik-Xmit-Limit": 1_000_000}).code == COA_ACK
    router.advance(0)
    router.wait_idle()
    assert server.records_of(2)[0]["Acct-Terminate-Cause"] == 10


def test_orders_that_get_no_answer(router: VirtualRouter, session: Session) -> None:
    assert order(router, DISCONNECT, named(session), secret="another", wait=0.1) is None
    router.set_knobs({"coa.need_signature": True})
    assert order(router, DISCONNECT, named(session), signed=False, wait=0.1) is None
    router.set_knobs({"coa.need_signature": False, "coa.ignore": True})
    assert order(router, DISCONNECT, named(session), wait=0.1) is None
    router.reset_knobs()
    assert router.sessions() == [session]
    assert router.uplink.stats["bad-orders"] == 3
    remarks = [line["remark"] for line in router.journal.lines if line["direction"] == "refused"]
    assert remarks == [
        "wrong Request Authenticator (another shared secret?)", "no Message-Authenticator",
        "ignored, as with accept=no",
    ]  # fmt: skip


def test_knobs_for_orders(router: VirtualRouter, session: Session) -> None:
    router.set_knobs({"coa.nak": 501, "coa.delay": 0.1})
    began = time.monotonic()
    answer = order(router, COA, named(session) | {"Mikrotik-Rate-Limit": "1k"})
    assert (answer.code, answer["Error-Cause"]) == (COA_NAK, [501])
    assert time.monotonic() - began >= 0.1
    assert session.policy.rate_text == "1M/2M"
    router.set_knobs({"coa.nak": 0, "coa.delay": 0, "coa.from": "radius"})
    assert order(router, DISCONNECT, named(session) | {"Proxy-State": b"p"}).code == ACK


@pytest.mark.skipif(
    shutil.which("radclient") is None, reason="Debian's freeradius-utils is not here: NO radclient test"
)
def test_a_real_radclient(server: RadiusServer, router: VirtualRouter, session: Session) -> None:
    def radclient(verb: str, asked: str) -> str:
        command = ["radclient", "-x", "-r", "1", "-t", "2", f"{router.box.address}:{router.coa_port}", verb, SECRET]
        return subprocess.run(command, input=asked, capture_output=True, text=True, timeout=10, check=False).stdout

    whole = f'User-Name="asha",Framed-IP-Address={session.ip},Acct-Session-Id="{session.id}",Message-Authenticator=0x00'
    assert "Received CoA-ACK" in radclient("coa", whole + ',Mikrotik-Rate-Limit="3M/3M"')
    assert session.policy.rate == (3_000_000, 3_000_000)
    assert "Error-Cause = Missing-Attribute" in radclient("disconnect", f'Acct-Session-Id="{session.id}"')
    assert "Received Disconnect-ACK" in radclient("disconnect", whole)
    assert "Error-Cause = Session-Context-Not-Found" in radclient("disconnect", whole)
    router.wait_idle()
    assert server.records_of(2)[0]["Acct-Terminate-Cause"] == 6
