"""The captive flow as a phone's browser meets it (sheet 3.1, 3.2)."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from rehearsal.router import VirtualRouter
from rehearsal.router.clock import Clock
from tests.virtual_router.browser import Browser, query
from tests.virtual_router.server import OTHER, PHONE, SECRET, RadiusServer, impatient

PORTAL = "http://pendo.wavu.localhost:8000/join/f00d"


@pytest.fixture
def hotspot(server: RadiusServer, clock: Clock) -> Iterator[VirtualRouter]:
    server.users["asha"] = "pw"
    server.replies["asha"] = {"Session-Timeout": 3600, "Mikrotik-Rate-Limit": "1M/2M"}
    made = VirtualRouter(
        "pendo-kasarani", address="127.0.9.13", secret=SECRET, radius=server.address, tenant="pendo", portal_url=PORTAL,
        clock=clock, knobs={"acct.on_off": False},
    )  # fmt: skip
    with made:
        yield made


@pytest.fixture
def phone(hotspot: VirtualRouter) -> Browser:
    """A browser on a phone that has joined and is blocked."""
    browser = Browser(face(hotspot))
    browser.get(f"/?device={PHONE}")
    return browser


def face(hotspot: VirtualRouter) -> str:
    assert hotspot.hotspot is not None
    return hotspot.hotspot.url


def test_any_page_leads_to_the_portal(hotspot: VirtualRouter) -> None:
    browser = Browser(face(hotspot))
    first = browser.get(f"/news/today?q=1&device={PHONE}")
    assert first.status == 302
    assert first.location == f"{face(hotspot)}/login?{urlencode({'dst': face(hotspot) + '/news/today?q=1'})}"
    assert hotspot.device(PHONE).state == "blocked"
    page = browser.get("/login?" + urlencode(query(first.location)))
    assert page.status == 200
    assert page.refresh.startswith(PORTAL + "?")
    assert query(page.refresh) == {
        "mac": PHONE, "ip": "10.5.50.10", "srv": "hs-pendo", "lo": f"{face(hotspot)}/login",
        "dst": f"{face(hotspot)}/news/today?q=1", "err": "",
    }  # fmt: skip
    link = page.page.select_one("a")
    assert link is not None
    assert link["href"] == page.refresh
    assert "chap" not in page.refresh
    hotspot.set_knobs({"hotspot.redirect": "302"})
    assert browser.get("/login").location.startswith(PORTAL + "?mac=")


def test_the_portal_hands_the_phone_back(server: RadiusServer, hotspot: VirtualRouter, phone: Browser) -> None:
    dst = "http://pendo.wavu.localhost:8000/done/abc?x=1"
    back = phone.get("/login?" + urlencode({"username": "asha", "password": "pw", "dst": dst}))
    assert (back.status, back.location) == (302, dst)
    assert hotspot.device(PHONE).state == "online"
    assert "User-Password" in server.access[-1].values
    assert phone.get("/generate_204").status == 204
    assert "You are online" in phone.get("/news").words
    assert phone.get("/api").json == {
        "captive": False, "seconds-remaining": 3600, "user-portal-url": f"{face(hotspot)}/login",
    }  # fmt: skip
    status = phone.get("/status")
    assert "Welcome asha" in status.words
    assert "0 s / 3600 s" in status.words
    # A second hand-over of a phone that is online asks nobody and goes on.
    asked = len(server.access)
    assert phone.get("/login?" + urlencode({"username": "x", "password": "y", "dst": dst})).location == dst
    assert len(server.access) == asked
    hotspot.advance(3600)
    assert phone.get("/news").status == 302
    assert phone.get("/api").json["captive"] is True


def test_errors_are_worded_as_routeros_does(server: RadiusServer, hotspot: VirtualRouter, phone: Browser) -> None:
    def told(**fields: str) -> str:
        return query(phone.get("/login?" + urlencode(fields)).refresh)["err"]

    assert told(username="asha", password="no") == "invalid username or password"
    server.refusals["asha"] = "Muda wako umeisha & more <b>"
    assert told(username="asha", password="no") == "Muda wako umeisha & more <b>"
    assert told(username=OTHER, password="x") == f"invalid username ({OTHER}): this MAC address is not yours"
    server.deaf = 3
    impatient(hotspot)
    assert told(username="asha", password="pw") == "RADIUS server is not responding"
    assert "you are not logged in (ip 10.5.50.10)" in phone.get("/logout").words.lower()
    hotspot.login_by = frozenset({"http-chap"})
    assert told(username="asha", password="pw").startswith("web browser did not send challenge response")


def test_chap_by_the_browsers_own_script(server: RadiusServer, hotspot: VirtualRouter, phone: Browser) -> None:
    """Sheet 3.2: octal string literals in the page; the router sends the challenge on as attribute 60."""
    markup = phone.get("/login").text
    found = re.search(r"hexMD5\('([\\0-7]+)'\+document\.login\.password\.value\+'([\\0-7]+)'\)", markup)
    assert found is not None
    identifier, challenge = (ast.literal_eval(f"b'{literal}'") for literal in found.groups())
    assert (len(identifier), len(challenge)) == (1, 16)
    hashed = hashlib.md5(identifier + b"pw" + challenge).hexdigest()  # noqa: S324 - RFC 1994
    answer = phone.post("/login", username="asha", password=hashed, dst="")
    assert (answer.status, answer.location) == (302, "/status")
    assert server.access[-1]["CHAP-Challenge"] == challenge
    assert server.access[-1]["CHAP-Password"][:1] == identifier
    assert hotspot.sessions()[0].method == "chap"
    phone.get("/logout")
    hotspot.advance(3601)
    stale = phone.post("/login", username="asha", password=hashed, dst="")
    assert "User-Password" in server.access[-1].values
    assert stale.status == 200


def test_logging_out(server: RadiusServer, hotspot: VirtualRouter, phone: Browser) -> None:
    phone.get("/login?username=asha&password=pw")
    hotspot.transfer(PHONE, upload=7, download=9)
    assert "9 bytes down, 7 up" in phone.post("/logout").words
    hotspot.wait_idle()
    assert [record["Acct-Terminate-Cause"] for record in server.records_of(2)] == [1]
    assert hotspot.device(PHONE).state == "blocked"


def test_two_phones_one_machine(hotspot: VirtualRouter, phone: Browser) -> None:
    other = Browser(face(hotspot))
    other.get(f"/?device={OTHER}")
    other.get("/login?username=asha&password=pw")
    assert (hotspot.device(PHONE).state, hotspot.device(OTHER).state) == ("blocked", "online")
    stranger = Browser(face(hotspot)).get("/")
    assert stranger.status == 503
    assert "?device=" in stranger.words
    hotspot.leave(OTHER)
    # A browser without a cookie is that of the only phone there is.
    assert query(query(Browser(face(hotspot)).get("/login").refresh)["lo"]) == {}
    assert "not on the Wi-Fi" in other.get("/login").words


@pytest.mark.parametrize("dst", ["javascript:alert(1)", "//evil.example", "http://a b", "data:text/html,x", "/x"])
def test_a_destination_is_a_web_address(phone: Browser, dst: str) -> None:
    assert phone.get("/login?" + urlencode({"username": "asha", "password": "pw", "dst": dst})).location == "/status"


def test_shown_text_is_escaped(hotspot: VirtualRouter, phone: Browser) -> None:
    nasty = "http://x/\"'><script>alert(1)</script>"
    for path in (f"/login?{urlencode({'dst': nasty})}", f"/login?{urlencode({'username': '<i>', 'dst': nasty})}"):
        answer = phone.get(path)
        assert "<script>alert" not in answer.text
        assert "<i>" not in answer.text
        assert query(answer.refresh)["dst"] == nasty
    assert "<u>" not in phone.get("/?device=%3Cu%3E").text
    phone.get("/login?username=asha&password=pw")
    assert "<script>alert" not in phone.get("/%3Cscript%3Ealert").text
    assert "frame-ancestors 'none'" in phone.get("/status").headers["Content-Security-Policy"]


def test_pages_of_other_hosts_are_only_redirected(server: RadiusServer, hotspot: VirtualRouter, phone: Browser) -> None:
    """As when a phone asks the router for a page of the Internet; a rebound name cannot log anybody in."""
    answer = phone.get("/login?username=asha&password=pw", {"Host": "connectivitycheck.example"})
    assert answer.status == 302
    assert query(answer.location)["dst"] == "http://connectivitycheck.example/login?username=asha&password=pw"
    assert server.access[-1]["User-Name"] == PHONE
    assert hotspot.sessions() == []
