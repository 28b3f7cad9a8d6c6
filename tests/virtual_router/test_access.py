"""Log-ins: what the router asks, what it believes, and what it tells the person."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from rehearsal.router import NotPossible, VirtualRouter
from rehearsal.router.clock import Clock
from rehearsal.router.packets import write_mac
from tests.virtual_router.server import OTHER, PHONE, SECRET, RadiusServer, impatient, soon


@pytest.fixture
def mac_router(server: RadiusServer, clock: Clock) -> Iterator[VirtualRouter]:
    """One that tries MAC authentication first."""
    made = VirtualRouter(
        "mac", address="127.0.9.11", secret=SECRET, radius=server.address, hotspot_port=None, clock=clock,
        login_by=("mac", "http-pap"),
    )  # fmt: skip
    with made:
        yield made


@pytest.mark.parametrize("method", ["pap", "chap"])
def test_a_hotspot_login_is_accepted_or_refused(server: RadiusServer, router: VirtualRouter, method: str) -> None:
    server.users["K7PM2QX9"] = "Pässword with more than sixteen octets"
    server.replies["K7PM2QX9"] = {"Session-Timeout": 3600, "Mikrotik-Rate-Limit": "2M/5M", "Reply-Message": "Karibu"}
    server.refusals["expired"] = "Your package ended. Buy another."
    assert router.join(PHONE) is None
    assert router.device(PHONE).state == "blocked"

    refused = router.login(PHONE, "expired", "x", method)
    assert (refused.ok, refused.reply, refused.error) == (False, "Access-Reject", "Your package ended. Buy another.")
    plain = router.login(PHONE, "K7PM2QX9", "wrong", method)
    assert (plain.error, plain.message) == ("invalid username or password", "")
    assert router.sessions() == []

    accepted = router.login(PHONE, "K7PM2QX9", "Pässword with more than sixteen octets", method)
    assert (accepted.ok, accepted.reply, accepted.message) == (True, "Access-Accept", "Karibu")
    (session,) = router.sessions()
    assert (session.user, session.time_left(router.clock.now()), session.policy.rate_text) == (
        "K7PM2QX9",
        3600,
        "2M/5M",
    )
    assert router.device(PHONE).state == "online"
    assert server.faults == []


def test_the_request_is_that_of_the_trace(server: RadiusServer, router: VirtualRouter) -> None:
    """Sheet 1.2: the order of a real hotspot, Message-Authenticator last, NAS-Port the session id as a number."""
    router.join(PHONE)
    router.login(PHONE, "asha", "pw", "chap")
    request = server.access[-1]
    assert request.order == [
        "NAS-Port-Type", "Calling-Station-Id", "Called-Station-Id", "NAS-Port-Id", "User-Name", "NAS-Port",
        "Acct-Session-Id", "Framed-IP-Address", "Mikrotik-Host-IP", "CHAP-Challenge", "CHAP-Password", "Service-Type",
        "WISPr-Logoff-URL", "NAS-Identifier", "NAS-IP-Address", "Message-Authenticator",
    ]  # fmt: skip
    assert (request["NAS-Port-Type"], request["Service-Type"]) == (19, 1)
    assert (request["Calling-Station-Id"], request["Called-Station-Id"]) == (PHONE, "hs-pendo")
    assert (request["NAS-Identifier"], request["NAS-IP-Address"]) == ("pendo-kasarani", "127.0.9.10")
    assert request["Acct-Session-Id"] == "80100001"
    assert request["NAS-Port"] == 0x80100001
    assert (request["Framed-IP-Address"], request["Mikrotik-Host-IP"]) == ("10.5.50.10", "10.5.50.10")
    assert (len(request["CHAP-Challenge"]), len(request["CHAP-Password"])) == (16, 17)
    assert request.peer[0] == "127.0.9.10"


def test_pppoe_is_told_apart_by_framed_protocol(server: RadiusServer, router: VirtualRouter) -> None:
    server.users["home-1"] = "line"
    server.replies["home-1"] = {"Framed-IP-Address": "10.20.3.7", "Class": b"S1-token"}
    assert router.dial("home-1", "line", OTHER, "pap").ok
    pap = server.access[-1]
    assert (pap["Service-Type"], pap["Framed-Protocol"], pap["NAS-Port-Type"]) == (2, 1, 15)
    assert pap["Acct-Session-Id"].startswith("811")
    assert (pap["Called-Station-Id"], pap["Calling-Station-Id"]) == ("pendo", OTHER)
    assert "Framed-IP-Address" not in pap.values
    (first,) = router.sessions()
    assert first.ip == "10.20.3.7"
    # one-session-per-host: dialling again ends the line that is up.
    assert router.dial("home-1", "line", OTHER, "chap").ok
    assert "CHAP-Password" in server.access[-1].values
    assert [session.id for session in router.sessions()] == ["81100002"]
    assert router.wait_idle()
    stop = server.records_of(2)[0]
    assert (stop["Acct-Session-Id"], stop["Acct-Authentic"], stop["Class"]) == (first.id, 1, b"S1-token")


@pytest.mark.parametrize("protocol", ["pap", "chap"])
def test_mac_authentication_on_joining(server: RadiusServer, mac_router: VirtualRouter, protocol: str) -> None:
    mac_router.set_knobs({"auth.mac_protocol": protocol})
    unknown = mac_router.join(OTHER)
    assert unknown is not None
    assert not unknown.ok
    assert mac_router.device(OTHER).state == "blocked"
    server.users[PHONE] = PHONE
    known = mac_router.join(PHONE)
    assert known is not None
    assert known.ok
    assert server.access[-1]["User-Name"] == server.access[-1]["Calling-Station-Id"] == PHONE
    assert mac_router.sessions()[0].method == "mac"
    assert mac_router.join(PHONE) is None


def test_mac_formats() -> None:
    for form in ("XX-XX-XX-XX-XX-XX", "XXXXXXXXXXXX", "XXXX:XXXX:XXXX", "XXXXXX-XXXXXX", "XX XX XX XX XX XX"):
        written = write_mac("02:ab:cd:ef:01:23", form)
        assert [c if c in ":- " else "X" for c in written] == list(form)
    assert write_mac("02:ab:cd:ef:01:23", "XXXX:XXXX:XXXX") == "02AB:CDEF:0123"


@pytest.mark.parametrize(
    ("signature", "require", "online"),
    [
        ("first", "first", True), ("last", "first", False), ("last", "any", True), ("absent", "any", False),
        ("absent", "no", True), ("wrong", "any", False), ("wrong", "first", False),
    ],
)  # fmt: skip
def test_replies_must_be_signed(
    server: RadiusServer, router: VirtualRouter, signature: str, require: str, online: bool
) -> None:
    """Sheet 1.9: require-message-auth=yes-for-request-resp ignores what has no good Message-Authenticator."""
    server.users["asha"] = "pw"
    server.replies["asha"] = {"Session-Timeout": 60}
    server.signature = signature
    if not online:
        impatient(router)
    router.set_knobs({"auth.require": require})
    router.join(PHONE)
    outcome = router.login(PHONE, "asha", "pw")
    assert outcome.ok is online
    if not online:
        assert (outcome.reply, outcome.error) == ("no answer", "RADIUS server is not responding")
        assert 1 <= router.uplink.stats["bad-replies"] <= 3


@pytest.mark.parametrize(("sign", "fault"), [("absent", "no Message"), ("wrong", "wrong Message")])
def test_unsigned_requests_get_nothing(server: RadiusServer, router: VirtualRouter, sign: str, fault: str) -> None:
    router.set_knobs({"auth.message_authenticator": sign})
    impatient(router)
    router.join(PHONE)
    assert router.login(PHONE, "asha", "pw").reply == "no answer"
    assert soon(lambda: len(server.faults) == 3)
    assert server.faults[0].startswith(fault)


def test_another_secret_is_noticed_by_both(server: RadiusServer, router: VirtualRouter) -> None:
    server.users["asha"] = "pw"
    router.join(PHONE)
    router.set_knobs({"radius.wrong_secret": True})
    impatient(router)
    assert router.login(PHONE, "asha", "pw").reply == "no answer"
    assert server.access == []
    router.set_knobs({"radius.wrong_secret": False})
    server.secret = b"the server's own mistake"
    assert router.login(PHONE, "asha", "pw").reply == "no answer"


def test_it_asks_three_times_with_the_same_bytes(server: RadiusServer, router: VirtualRouter) -> None:
    """Sheet 1.3, 1.8: a retransmission keeps port, Id and bytes; a new request has a new port."""
    server.users["asha"] = "pw"
    server.deaf = 2
    impatient(router, 0.15)
    router.join(PHONE)
    assert router.login(PHONE, "asha", "pw").ok
    assert len(server.access) == 3
    assert len({(request.raw, request.peer) for request in server.access}) == 1
    assert (router.uplink.stats["resends"], router.uplink.stats["timeouts"]) == (2, 0)
    router.logout(PHONE)
    router.wait_idle()
    server.deaf = 99
    impatient(router)
    assert router.login(PHONE, "asha", "pw").error == "RADIUS server is not responding"
    assert soon(lambda: len(server.access) == 6)
    assert server.access[-1].peer != server.access[0].peer
    assert router.uplink.stats["timeouts"] == 1
    assert router.device(PHONE).state == "blocked"


def test_a_cookie_logs_in_again(server: RadiusServer, router: VirtualRouter) -> None:
    """Sheet 1.2, 3.8: the same log-in is repeated; logging out or a failed repetition removes it."""
    server.users["asha"] = "pw"
    router.join(PHONE)
    assert router.login(PHONE, "asha", "pw").ok
    router.leave(PHONE)
    again = router.join(PHONE)
    assert again is not None
    assert again.ok
    assert router.sessions()[0].method == "cookie"
    router.leave(PHONE)
    del server.users["asha"]
    failed = router.join(PHONE)
    assert failed is not None
    assert not failed.ok
    assert router.device(PHONE).cookie is None
    server.users["asha"] = "pw"
    router.login(PHONE, "asha", "pw")
    router.logout(PHONE)
    router.leave(PHONE)
    assert router.join(PHONE) is None


def test_what_the_router_itself_refuses(server: RadiusServer, router: VirtualRouter) -> None:
    server.users.update(asha="pw", pool="pw")
    server.replies["asha"] = {"Port-Limit": 1}
    server.replies["pool"] = {"Framed-Pool": "no such pool"}
    router.join(PHONE)
    router.join(OTHER)
    assert router.login(PHONE, "asha", "pw").ok
    second = router.login(OTHER, "asha", "pw")
    assert (second.ok, second.error) == (False, "no more sessions are allowed for user asha")
    assert router.login(OTHER, "pool", "pw").error.startswith("cannot assign ip address")
    asked = len(server.access)
    stolen = router.login(OTHER, PHONE, PHONE)
    assert stolen.error == f"invalid username ({PHONE}): this MAC address is not yours"
    assert router.login(OTHER, "", "").error == "invalid username or password"
    assert len(server.access) == asked
    with pytest.raises(NotPossible, match="at most 128"):
        router.login(OTHER, "asha", "x" * 129)
    router.leave(OTHER)
    with pytest.raises(NotPossible, match="not on the Wi-Fi"):
        router.login(OTHER, "asha", "pw")


@pytest.mark.parametrize("given", ["127.0.0.1", "255.255.255.254", "224.0.0.1"])
def test_addresses_that_mean_the_pool(server: RadiusServer, router: VirtualRouter, given: str) -> None:
    """Sheet 1.5."""
    server.users["home"] = "pw"
    server.replies["home"] = {"Framed-IP-Address": given, "Framed-Pool": "expired", "Mikrotik-Address-List": "EXPIRED"}
    session = router.dial("home", "pw").session
    assert session is not None
    assert session.ip == "10.66.0.10"
    assert session.policy.extras == {"Mikrotik-Address-List": "EXPIRED"}


def test_knobs_on_the_way(server: RadiusServer, router: VirtualRouter) -> None:
    server.users["asha"] = "pw"
    router.join(PHONE)
    router.set_knobs({"radius.copies": 2, "radius.drop_replies": 1, "radius.source": "127.0.9.99"})
    impatient(router, 0.3)
    broken = ["empty", "short", "length_beyond", "length_short", "attribute_zero", "attribute_beyond", "oversized"]
    router.set_knobs({"radius.malformed": broken})
    assert router.login(PHONE, "asha", "pw").ok
    router.wait_idle()
    assert len(server.access) >= 2
    assert {request.peer[0] for request in server.access} == {"127.0.9.99"}
    directions = [line["direction"] for line in router.journal.lines]
    assert directions.count("lost") == 2
    assert sum(line["remark"] == "malformed on purpose" for line in router.journal.lines) == 14
    assert len(server.faults) >= 7
    before = router.knobs
    with pytest.raises(ValueError, match="takes a number"):
        router.set_knobs({"radius.copies": 3, "radius.timeout": 0})
    assert router.knobs == before
    with pytest.raises(ValueError, match="loopback"):
        router.set_knobs({"radius.source": "10.0.0.1"})
    assert dataclasses.asdict(before)["radius_copies"] == 2
