"""Sessions as time passes: what is counted and reported, and the ends that the router itself makes."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal.router import Session, VirtualRouter
from rehearsal.router.session import rate_limit
from tests.virtual_router.conftest import NOON
from tests.virtual_router.server import OTHER, PHONE, SECRET, RadiusServer, Request, impatient, soon

START, STOP, INTERIM, ON, OFF = 1, 2, 3, 7, 8


def online(server: RadiusServer, router: VirtualRouter, **reply: Any) -> Session:
    server.users["asha"] = "pw"
    server.replies["asha"] = {name.replace("_", "-"): value for name, value in reply.items()}
    router.join(PHONE)
    session = router.login(PHONE, "asha", "pw").session
    assert session is not None
    router.wait_idle()
    return session


def octets(record: Request) -> tuple[int, int]:
    up, down = (record[f"Acct-{way}-Octets"] + (record[f"Acct-{way}-Gigawords"] << 32) for way in ("Input", "Output"))
    return up, down


def test_start_interim_and_stop(server: RadiusServer, router: VirtualRouter) -> None:
    """Sheet 1.3: what a hotspot sends, and in a Stop the cause first; Class comes back as it was given."""
    session = online(server, router, Acct_Interim_Interval=300, Class=[b"S1" + bytes(24), b"second"])
    (start,) = server.records_of(START)
    assert start.order[:7] == [
        "Acct-Status-Type", "NAS-Port-Type", "Calling-Station-Id", "Called-Station-Id", "NAS-Port-Id", "User-Name",
        "NAS-Port",
    ]  # fmt: skip
    assert not {"Service-Type", "Acct-Authentic", "Message-Authenticator", "User-Password"} & set(start.order)
    assert start["Event-Timestamp"] == int(NOON.timestamp())
    assert (start["Acct-Delay-Time"], start["Acct-Session-Id"]) == (0, session.id)
    assert start["Framed-IP-Address"] == server.access[-1]["Framed-IP-Address"]

    router.transfer(PHONE, upload=5 * 2**32 + 7, download=2**32 - 1)
    router.advance(899)
    assert [record["Acct-Session-Time"] for record in server.records_of(INTERIM)] == [300, 600]
    assert octets(server.records_of(INTERIM)[0]) == (5 * 2**32 + 7, 2**32 - 1)
    assert server.records_of(INTERIM)[0]["Acct-Input-Gigawords"] == 5
    assert server.records_of(INTERIM)[0]["Acct-Output-Gigawords"] == 0
    router.advance(1)
    router.logout(PHONE)
    router.wait_idle()
    (stop,) = server.records_of(STOP)
    assert stop.order[0] == "Acct-Terminate-Cause"
    assert (stop["Acct-Terminate-Cause"], stop["Acct-Session-Time"]) == (1, 900)
    assert octets(stop) == (5 * 2**32 + 7, 2**32 - 1)
    assert {bytes(value) for record in server.records for value in record.values["Class"]} == {
        b"S1" + bytes(24), b"second",
    }  # fmt: skip
    assert len({record.peer[1] for record in server.records}) == len(server.records)
    assert server.faults == []


def test_no_interim_unless_asked_for(server: RadiusServer, router: VirtualRouter) -> None:
    online(server, router)
    router.advance(86_400)
    assert server.records_of(INTERIM) == []


def test_the_router_cuts_off_at_expiry(server: RadiusServer, router: VirtualRouter) -> None:
    session = online(server, router, Session_Timeout=3600)
    router.advance(3599)
    assert router.device(PHONE).state == "online"
    assert session.time_left(router.clock.now()) == 1
    router.advance(1)
    assert router.device(PHONE).state == "blocked"
    (stop,) = server.records_of(STOP)
    assert (stop["Acct-Terminate-Cause"], stop["Acct-Session-Time"]) == (5, 3600)
    assert router.device(PHONE).cookie is None
    assert router.history[-1].as_json(router.clock.now())["cause"] == "Session-Timeout"


def test_it_cuts_off_in_real_time_too(server: RadiusServer, router: VirtualRouter) -> None:
    online(server, router, Session_Timeout=10)
    router.advance(9.8)
    router.clock.freeze(False)
    assert soon(lambda: not router.sessions())
    router.wait_idle()
    assert [record["Acct-Terminate-Cause"] for record in server.records_of(STOP)] == [5]


@pytest.mark.parametrize(
    ("limit", "seconds", "counted"),
    [
        ({"Mikrotik_Recv_Limit": 1_000_000}, 10, (1_000_000, 2_500_000)),
        ({"Mikrotik_Xmit_Limit": 1_000_000}, 4, (400_000, 1_000_000)),
        ({"Mikrotik_Total_Limit": 7, "Mikrotik_Total_Limit_Gigawords": 1}, 12_272, None),
    ],
)
def test_byte_limits(
    server: RadiusServer, router: VirtualRouter, limit: dict[str, int], seconds: int, counted: tuple[int, int] | None
) -> None:
    """Sheet 1.5: the router ends the session itself, cause NAS-Request; receive is upload."""
    router.traffic = (800_000, 9_000_000)
    online(server, router, Mikrotik_Rate_Limit="1M/2M", **limit)
    router.advance(seconds - 1)
    assert router.sessions()
    router.advance(1)
    (stop,) = server.records_of(STOP)
    assert stop["Acct-Terminate-Cause"] == 10
    assert octets(stop) == counted or (counted is None and sum(octets(stop)) == pytest.approx(2**32 + 7, abs=1))


def test_traffic_and_idle_timeout(server: RadiusServer, router: VirtualRouter) -> None:
    session = online(server, router, Idle_Timeout=120)
    router.traffic_of(PHONE, 8_000, 80_000)
    router.advance(300)
    assert session.usage(router.clock.now()) == (300_000, 3_000_000)
    router.traffic_of(PHONE, 0, 0)
    router.advance(119)
    assert router.sessions()
    router.advance(1)
    assert server.records_of(STOP)[0]["Acct-Terminate-Cause"] == 4
    assert octets(server.records_of(STOP)[0]) == (300_000, 3_000_000)


def test_octets_can_be_swapped(server: RadiusServer, router: VirtualRouter) -> None:
    router.set_knobs({"acct.swap_octets": True})
    online(server, router)
    router.transfer(PHONE, upload=1, download=2)
    router.leave(PHONE)
    router.wait_idle()
    stop = server.records_of(STOP)[0]
    assert octets(stop) == (2, 1)
    assert stop["Acct-Terminate-Cause"] == 3


def test_lost_and_reordered_records(server: RadiusServer, router: VirtualRouter) -> None:
    router.set_knobs({"acct.lose": ["start"], "acct.reorder": 3})
    online(server, router, Acct_Interim_Interval=60)
    router.advance(120)
    assert server.records == []
    router.advance(60)
    assert [record["Acct-Session-Time"] for record in server.records] == [180, 120, 60]
    router.set_knobs({"acct.reorder": 5})
    router.advance(60)
    assert len(server.records) == 3
    router.set_knobs({"acct.reorder": 0})
    router.wait_idle()
    assert len(server.records) == 4


def test_records_that_nobody_answers_are_gone(server: RadiusServer, router: VirtualRouter) -> None:
    online(server, router, Acct_Interim_Interval=60)
    server.deaf = 99
    impatient(router)
    router.advance(60)
    assert soon(lambda: len(server.records_of(INTERIM)) == 3)
    server.deaf = 0
    router.advance(59)
    assert len(server.records_of(INTERIM)) == 3


def test_boot_and_shutdown_are_told(server: RadiusServer) -> None:
    address = "127.0.9.12"
    with VirtualRouter("r", address=address, secret=SECRET, radius=server.address, hotspot_port=None) as router:
        router.wait_idle()
        (on,) = server.records_of(ON)
        assert (on["NAS-Identifier"], on["Acct-Session-Id"]) == ("r", "00100000")
        session = online(server, router)
    assert [record["Acct-Status-Type"] for record in server.records[2:]] == [STOP, OFF]
    assert (server.records[2]["Acct-Session-Id"], server.records[2]["Acct-Terminate-Cause"]) == (session.id, 7)


def test_a_power_cut_tells_nothing_and_changes_the_boot_digit(server: RadiusServer, router: VirtualRouter) -> None:
    """Sheet 1.3, 1.4: no Stop is ever replayed; the third digit of Acct-Session-Id counts boots."""
    first = online(server, router)
    router.reboot(power_cut=True)
    router.wait_idle()
    assert server.records_of(STOP) == []
    assert router.device(PHONE).state == "away"
    second = online(server, router)
    assert (first.id, second.id) == ("80100001", "80200001")
    router.reboot()
    router.wait_idle()
    assert server.records_of(STOP)[0]["Acct-Terminate-Cause"] == 7


def test_a_cut_line_dials_again(server: RadiusServer, router: VirtualRouter) -> None:
    server.users["home"] = "pw"
    server.replies["home"] = {"Session-Timeout": 100}
    router.dial("home", "pw", OTHER, redial=5)
    router.advance(104)
    assert router.device(OTHER).state == "away"
    router.advance(1)
    assert [session.id for session in router.sessions()] == ["81100002"]
    router.hang_up(OTHER)
    router.advance(60)
    assert router.sessions() == []


def test_a_long_time_passes_without_losing_a_record(server: RadiusServer, router: VirtualRouter) -> None:
    online(server, router, Acct_Interim_Interval=300)
    router.advance(86_400)
    times = [record["Acct-Session-Time"] for record in server.records_of(INTERIM)]
    assert sorted(set(times)) == list(range(300, 86_401, 300))


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("128k", (128_000, 128_000)),
        ("64k/128M", (64_000, 128_000_000)),
        ("5000k/20000k 0/0 0/0 0/0 3 512k/2000k", (5_000_000, 20_000_000)),
        ("64k/64k 256k/256k 128k/128k 10/10", (64_000, 64_000)),
    ],
)
def test_rate_limits(text: str, pair: tuple[int, int]) -> None:
    assert rate_limit(text) == pair


@pytest.mark.parametrize(
    "text", ["", "1G", "10M/", "1.5M", "1M/2M/3M", "5M 1M 1M 8 9", "1M 0/0 0/0 0/0 8 2M/2M", "-1k"]
)
def test_what_is_no_rate_limit(server: RadiusServer, router: VirtualRouter, text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        rate_limit(text)
    if text:
        session = online(server, router, Mikrotik_Rate_Limit=text)
        assert "not understood" in session.policy.warning


def test_a_session_timeout_of_nothing_is_pointed_out(server: RadiusServer, router: VirtualRouter) -> None:
    session = online(server, router, Session_Timeout=0)
    assert session.time_left(router.clock.now()) is None
    assert "no limit" in session.policy.warning
