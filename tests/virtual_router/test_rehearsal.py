"""The rehearsal's page and control API, the process, and what the simulator must never do."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.router import Fleet, VirtualRouter, require_loopback
from rehearsal.router.__main__ import main
from tests.virtual_router.browser import Browser
from tests.virtual_router.conftest import NOON
from tests.virtual_router.server import OTHER, PHONE, SECRET, RadiusServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fleet(server: RadiusServer) -> Iterator[Fleet]:
    server.users["asha"] = "pw"
    server.replies["asha"] = {"Session-Timeout": 3900, "Mikrotik-Rate-Limit": "1M/2M", "Reply-Message": "Karibu"}
    with Fleet(server.address, start=NOON, frozen=True).serve() as made:
        router = made.add(tenant="pendo", name="pendo-kasarani", address="127.0.9.14", secret=SECRET)
        router.add_device(PHONE, "Asha's phone")
        yield made


@pytest.fixture(scope="module")
def silent() -> Iterator[Browser]:
    """The control API of routers that have nothing to say, for what is refused before anybody is asked."""
    with Fleet(("127.0.0.1", 9, 9), hotspot_port=None).serve() as made:
        router = made.add(name="pendo-kasarani", address="127.0.9.18", secret=SECRET, knobs={"acct.on_off": False})
        router.add_device(PHONE)
        yield Browser(made.base_url)


@pytest.fixture
def page(fleet: Fleet) -> Browser:
    return Browser(fleet.base_url)


DO = "/router/pendo-kasarani/do"
HERE = "/control/routers/pendo-kasarani"


def test_a_person_plays_a_phone(server: RadiusServer, fleet: Fleet, page: Browser) -> None:
    assert "Asha's phone away" in page.get("/").words
    assert page.post(DO, mac=PHONE, action="join").status == 303
    shown = page.get("/")
    assert "SIMULATOR" in shown.words
    assert "Asha's phone blocked" in shown.words
    assert "Access-Reject : invalid username or password" in shown.words
    link = shown.page.select_one("a.go")
    assert link is not None
    assert str(link["href"]).endswith(f"/?device={PHONE.replace(':', '%3A')}")
    fleet.router("pendo-kasarani").login(PHONE, "asha", "pw")
    page.post(DO, mac=PHONE, action="video")
    fleet.advance(300)
    words = page.get("/").words
    assert "Asha's phone online" in words
    assert "1:00:00 time left · 1M/2M" in words
    assert "User asha" in words
    assert "Down 75.0 MB Up 7.5 MB" in words
    assert "Access-Accept : Karibu" in words
    fleet.advance(3600)
    assert "Last session 80100002 ended: Session-Timeout." in page.get("/").words
    page.post(DO, mac=PHONE, action="leave")
    page.post(DO, action="power_cut")
    assert fleet.router("pendo-kasarani").boot == 2


def test_lines_and_phones_are_added_by_hand(server: RadiusServer, fleet: Fleet, page: Browser) -> None:
    assert "When it is cut it dials again" in page.get("/router/pendo-kasarani/line").words
    dialled = page.post("/router/pendo-kasarani/line", username="asha", password="pw", mac=OTHER, method="chap")
    assert dialled.status == 303
    assert fleet.router("pendo-kasarani").sessions()[0].kind == "pppoe"
    assert page.post("/router/pendo-kasarani/device", name="Juma", mac="").status == 303
    assert "Juma" in page.get("/").words
    wrong = page.post("/router/pendo-kasarani/device", name="Juma", mac="banana")
    assert wrong.status == 409
    assert "'banana' is not a MAC address" in wrong.words
    page.post(DO, mac=OTHER, action="hang_up")
    assert "Dial again" in page.get("/").words
    assert page.post(DO, mac=OTHER, action="dial").status == 303
    refused = page.post(DO, mac=PHONE, action="logout")
    assert refused.status == 409
    assert page.post(DO, mac=PHONE, action="explode").status == 400
    assert page.post("/router/none/do", action="join").status == 404


def test_the_page_is_plain_and_escaped(server: RadiusServer, fleet: Fleet, page: Browser) -> None:
    router = fleet.router("pendo-kasarani")
    router.add_device(OTHER, "<script>alert(1)</script>")
    server.refusals[OTHER] = "<b>no</b>"
    router.join(OTHER)
    for path in ("/", "/packets", f"/router/pendo-kasarani/line?mac={OTHER}", "/router/pendo-kasarani/device"):
        answer = page.get(path)
        assert "<script" not in answer.text
        assert "<b>" not in answer.text
        assert "https://" not in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "&lt;b&gt;no" in page.get("/").text
    assert '<meta http-equiv="refresh" content="3">' in page.get("/").text
    assert "http-equiv" not in page.get("/router/pendo-kasarani/line").text


def test_the_control_api(server: RadiusServer, fleet: Fleet, page: Browser) -> None:
    assert any("/join" in route for route in page.get("/control/").json["routes"])
    joined = page.send("POST", f"{HERE}/join", {"mac": PHONE}).json
    assert (joined["state"], joined["outcome"]["reply"]) == ("blocked", "Access-Reject")
    login = {"mac": PHONE, "username": "asha", "password": "pw", "method": "chap"}
    assert page.send("POST", f"{HERE}/login", login).json["ok"] is True
    page.send("POST", f"{HERE}/traffic", {"mac": PHONE, "up_bps": 8000, "down_bps": 80_000})
    page.send("POST", f"{HERE}/transfer", {"mac": PHONE, "upload": 5})
    assert page.send("POST", "/control/clock", {"advance": 60}).json["frozen"] is True
    (session,) = page.get("/control/sessions").json
    assert (session["router"], session["upload"], session["download"]) == ("pendo-kasarani", 60_005, 600_000)
    assert page.send("POST", "/control/wait").json == {"idle": True}
    assert page.send("POST", f"{HERE}/knobs", {"acct.lose": ["stop"]}).json["acct.lose"] == ["stop"]
    page.send("POST", f"{HERE}/logout", {"mac": PHONE})
    assert page.get(f"{HERE}/sessions").json == []
    assert page.get(f"{HERE}/sessions?all=1").json[-1]["cause"] == "User-Request"
    assert page.get("/control/packets?router=pendo-kasarani&limit=1").json[0]["direction"] == "lost"
    page.send("DELETE", f"{HERE}/knobs")
    assert page.get(f"{HERE}/knobs").json["acct.lose"] == []
    dialled = page.send("POST", f"{HERE}/dial", {"username": "asha", "password": "pw", "mac": OTHER}).json
    assert dialled["ok"] is True
    page.send("POST", f"{HERE}/hang_up", {"mac": OTHER})
    page.send("POST", f"{HERE}/leave", {"mac": PHONE})
    page.send("POST", f"{HERE}/reboot", {"power_cut": True})
    added = {"name": "second", "address": "127.0.9.15", "secret": SECRET}
    assert page.send("POST", "/control/routers", added).json["up"] is True
    assert [router["name"] for router in page.get("/control/routers").json] == ["pendo-kasarani", "second"]
    assert page.get("/control/state").json["routers"] == 2
    to = page.send("POST", "/control/clock", {"to": "2026-11-21T18:00:00+03:00", "frozen": False}).json
    assert to["utc"].startswith("2026-11-21T15:00")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{HERE}/join", {"mac": "banana"}, 400), (f"{HERE}/join", {}, 400), (f"{HERE}/leave", {"mac": OTHER}, 404),
        (f"{HERE}/logout", {"mac": PHONE}, 409), ("/control/routers/none/join", {"mac": PHONE}, 404),
        (f"{HERE}/knobs", {"acct.lose": ["all"]}, 400), (f"{HERE}/knobs", {"nothing.such": 1}, 400),
        (f"{HERE}/login", {"mac": PHONE, "username": "a", "password": "b"}, 409),
        ("/control/clock", {"advance": -1}, 400),
        (f"{HERE}/login", {"mac": PHONE, "username": "a", "password": "b", "method": "mschap"}, 400),
        (f"{HERE}/traffic", {"mac": PHONE, "up_bps": -1, "down_bps": 1}, 400), (f"{HERE}/dial", {"password": "x"}, 400),
        ("/control/routers", {"name": "pendo-kasarani", "address": "127.0.9.16", "secret": "s"}, 400),
        ("/control/routers", {"name": "far", "address": "192.168.88.1", "secret": "s"}, 400),
        ("/control/routers", {"name": "far", "owner": "x"}, 400), (f"{HERE}/join", ["mac"], 400),
    ],
)  # fmt: skip
def test_what_the_control_api_refuses(silent: Browser, path: str, body: object, status: int) -> None:
    answer = silent.send("POST", path, body)
    assert (answer.status, "error" in answer.json) == (status, True)


def test_a_page_elsewhere_cannot_drive_it(page: Browser) -> None:
    assert page.get("/control/state", {"Host": "evil.example.net"}).status == 403
    assert page.post(DO, {"Origin": "http://evil.example.net"}, mac=PHONE, action="join").status == 403
    assert page.post(f"{HERE}/join", {"Content-Type": "text/plain"}, mac=PHONE).status == 400
    assert page.get("/control/state", {"Host": "localhost:8190"}).status == 200


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.88.1", "::1", "router.example", ""])  # noqa: S104 - to be refused
def test_loopback_only(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        require_loopback(address)
    with pytest.raises(ValueError, match="loopback only"):
        VirtualRouter("r", address=address, secret="s", radius=("127.0.0.1", 1, 2))
    with pytest.raises(ValueError, match="loopback only"):
        VirtualRouter("r", address="127.0.9.9", secret="s", radius=(address, 1, 2))
    if address:
        assert main({"RADIUS_HOST": address}) == 2
        assert "loopback only" in capsys.readouterr().err


def test_the_journal_keeps_no_secrets(server: RadiusServer, fleet: Fleet, page: Browser) -> None:
    router = fleet.router("pendo-kasarani")
    router.join(PHONE)
    router.login(PHONE, "254712345678", "a password", "pap")
    router.dial("asha", "pw", OTHER, "chap")
    log = json.dumps(list(fleet.journal.lines)) + page.get("/packets").text + page.get("/control/packets").text
    chap = server.access[-1]["CHAP-Password"].hex()
    for secret in (SECRET, "a password", chap, "254712345678", server.access[-2]["User-Password"].hex()):
        assert secret not in log
    assert "******678" in log
    assert '["User-Password", "***"]' in log
    assert "pw" not in repr(router.device(OTHER))


def test_it_shares_nothing_with_the_product() -> None:
    """A constant or a codec shared with the server would hide the server's misunderstanding of it."""
    for file in (file for room in ("router", "simulation") for file in (ROOT / "rehearsal" / room).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.split(".")[0] for name in names} & {"wavu", "tenants", "workers", "config", "pyrad"}, file


def test_the_process_waits_for_its_routers(server: RadiusServer, tmp_path: Path) -> None:
    listed, journal = tmp_path / "routers.json", tmp_path / "journal.jsonl"
    settings = {
        "ROUTERS": str(listed), "ROUTER_CONTROL_PORT": "0", "ROUTER_HOTSPOT_PORT": "0", "RADIUS_COA_PORT": "0",
        "RADIUS_AUTH_PORT": str(server.ports[0]), "RADIUS_ACCT_PORT": str(server.ports[1]),
        "ROUTER_JOURNAL": str(journal),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearsal.router"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        base = re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        assert "No router yet" in Browser(base).get("/").words
        listed.write_text('[{"tenant": "pendo", "name": "pendo-kas')
        entry = {
            "tenant": "pendo",
            "name": "pendo-kasarani",
            "address": "127.0.9.17",
            "identifier": "pk",
            "secret": SECRET,
        }
        listed.write_text(json.dumps([entry | {"portal_url": "http://pendo.wavu.localhost:8000/join/t", "shop": 1}]))
        assert "pendo-kasarani at 127.0.9.17" in process.stdout.readline()
        devices = Browser(base).get(f"{HERE}/devices").json
        assert [device["kind"] for device in devices] == ["phone", "home"]
        assert devices[0]["mac"].startswith("02:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    assert [record["Acct-Status-Type"] for record in server.records] == [7, 8]
    assert SECRET not in journal.read_text()
