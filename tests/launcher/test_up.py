# ruff: noqa: S607

import json
import os
import re
import signal
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rehearsal import commands, environment
from rehearsal.environment import PORTS
from rehearsal.faults import SetupFault
from rehearsal.mail import Catcher
from rehearsal.process import LINUX, birth
from rehearsal.servers import free_port
from rehearsal.summary import render
from rehearsal.supervisor import App
from rehearsal.up import alive, claim, end_leftovers
from tests.launcher.toys import PYTHON, ROOT, Launcher, is_alive, toy_checkout, until
from tests.stack import TEMPLATE, Stack

Launch = Callable[..., Launcher]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[Launcher] = []
    ports = {port.variable: str(free_port()) for port in PORTS}

    def start(**changes: str) -> Launcher:
        started.append(Launcher(tmp_path, ports | changes))
        return started[-1]

    yield start
    for launcher in started:
        if launcher.process.poll() is None:
            launcher.finish(signal.SIGTERM)
        if launcher.process.stdout:
            launcher.process.stdout.close()


def test_a_rehearsal_starts_repairs_itself_and_stops(tmp_path: Path, launch: Launch) -> None:
    toy_checkout(tmp_path)
    launcher = launch()
    assert "http://wavu.localhost" in launcher.await_summary()
    before = launcher.pids()
    assert set(before) == {"postgres", "valkey", "web", "worker", "mail"}
    facts_path = tmp_path / "var" / "rehearsal.json"
    facts = json.loads(facts_path.read_text())
    assert set(facts["postgres"]) == {"app", "owner", "relay", "report", "backup", "admin"}
    assert facts["redis"].startswith("redis://")
    assert facts_path.stat().st_mode & 0o777 == 0o600

    second = launch()
    code, said = second.finish()
    assert code == 1
    assert f"Already running as process {launcher.process.pid}" in said

    for name in ("postgres", "valkey", "web"):
        subprocess.run(["kill", "-9", str(before[name])], check=True)
    until(
        lambda: all(launcher.pids().get(name, before[name]) != before[name] for name in ("postgres", "valkey", "web"))
    )
    pids = launcher.pids()
    code, said = launcher.finish(signal.SIGINT)
    assert code == 0
    assert "Stopped." in said
    assert not [name for name, pid in pids.items() if is_alive(pid)]


@pytest.mark.skipif(not LINUX, reason="elsewhere the next start ends what was left")
def test_a_killed_launcher_leaves_nothing(tmp_path: Path, launch: Launch) -> None:
    toy_checkout(tmp_path)
    launcher = launch()
    launcher.await_summary()
    pids = launcher.pids()
    launcher.finish(signal.SIGKILL)
    until(lambda: not [name for name, pid in pids.items() if is_alive(pid)])


def test_what_a_killed_launcher_left_is_ended_but_no_stranger_with_its_number(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "99"]) as left, subprocess.Popen(["sleep", "99"]) as stranger:
        notes = {
            "web": {"pid": left.pid, "birth": birth(left.pid)},
            "worker": {"pid": stranger.pid, "birth": "another time"},
        }
        (tmp_path / "processes.json").write_text(json.dumps(notes))
        assert alive(tmp_path) == {"web": left.pid}
        end_leftovers(tmp_path)
        assert left.wait(1) == -signal.SIGTERM
        assert stranger.poll() is None
        stranger.kill()


def test_a_product_that_cannot_start_is_shown_with_its_last_words(tmp_path: Path, launch: Launch) -> None:
    toy_checkout(tmp_path, web="raise SystemExit('no such thing as a free lunch')")
    (tmp_path / "Procfile").write_text(f"release: {PYTHON} web.py\n")
    code, said = launch().finish()
    assert code == 1
    assert "Migrations failed" in said
    assert said.count("no such thing as a free lunch") == 1


def test_a_busy_port_names_its_variable_and_its_holder(tmp_path: Path, launch: Launch) -> None:
    toy_checkout(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as web, socket.socket(type=socket.SOCK_DGRAM) as radius:
        radius.bind(("127.0.0.1", 0))
        tcp, udp = (place.getsockname()[1] for place in (web, radius))
        code, said = launch(PORT=str(tcp), RADIUS_AUTH_PORT=str(udp)).finish()
    assert code == 1
    assert f"TCP port {tcp} for the web is in use" in said
    assert re.search(rf"UDP port {udp} for RADIUS authentication is in use.*RADIUS_AUTH_PORT=\d+ ./run", said)
    if Path("/proc/net").exists():
        assert f"by process {os.getpid()}" in said
    assert "Starting PostgreSQL" not in said


def test_var_is_held_by_one(tmp_path: Path) -> None:
    with claim(tmp_path), pytest.raises(SetupFault, match="Already running as process"):
        claim(tmp_path)
    claim(tmp_path).close()


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"PORT": "eighty"}, "PORT=eighty is not a port number"),
        ({"PORT": "70000"}, "PORT=70000 is not a port number"),
        ({"RADIUS_AUTH_PORT": "1813"}, "must be different ports"),
    ],
)
def test_ports_that_make_no_sense_are_refused(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(SetupFault, match=complaint):
        environment.wanted_ports(environ)


def test_an_outside_database_needs_all_its_urls() -> None:
    with pytest.raises(
        SetupFault, match=r"set MIGRATE_URL \(role wavu_owner\) and RELAY_DATABASE_URL \(role wavu_relay\)"
    ):
        environment.check_given_databases({"DATABASE_URL": "postgresql://x"})
    assert not environment.check_given_databases({})


def test_outside_servers_are_asked_before_anything_starts(servers: Stack) -> None:
    app, owner, relay = (servers.url(role, "postgres") for role in ("wavu_app", "wavu_owner", "wavu_relay"))
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(SetupFault) as told:
        environment.probe_given(
            {
                "DATABASE_URL": servers.admin(),
                "MIGRATE_URL": f"postgresql://wavu_owner:hush@{nobody}/wavu",
                "RELAY_DATABASE_URL": f"{app}_not_there",
                "REDIS_URL": f"redis://:hush@{nobody}/0",
            }
        )
    lines = str(told.value).splitlines()
    assert [line.split()[0] for line in lines] == ["DATABASE_URL", "MIGRATE_URL", "RELAY_DATABASE_URL", "REDIS_URL"]
    assert lines[0].endswith("give the URL of the role wavu_app.")
    assert "hush" not in str(told.value)
    with pytest.raises(SetupFault, match=r"^DATABASE_URL signs in as wavu_owner: give the URL of the role wavu_app\.$"):
        environment.probe_given({"DATABASE_URL": owner.replace("/postgres", f"/{TEMPLATE}")})
    good = {"DATABASE_URL": app, "MIGRATE_URL": owner, "RELAY_DATABASE_URL": relay}
    good = {name: url.replace("/postgres", f"/{TEMPLATE}") for name, url in good.items()}
    environment.probe_given(good | {"REDIS_URL": servers.redis_url})
    environment.probe_given({})


def test_the_environment_is_the_same_at_every_start_and_free_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "the caller's")
    ports = environment.wanted_ports({})
    seeds = {"DARAJA_SEED", "AIRTEL_SEED"}
    first, second = (environment.build(ROOT, tmp_path, ports, {"REDIS_URL": "redis://x"}) for _ in range(2))
    differs = {name for name in first | second if first.get(name) != second.get(name)}
    assert differs == seeds, "the simulators' receipts must not be those of the last start"
    for name in seeds:
        monkeypatch.setenv(name, "7")
    assert {environment.build(ROOT, tmp_path, ports, {})[name] for name in seeds} == {"7"}
    assert "PGPASSWORD" not in first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_summary_stands_missing_facts() -> None:
    ports = environment.wanted_ports({})
    assert "1812" in render({}, ports, Path("var"))
    page = render({"urls": {"portals": {"safari": "http://s"}}, "accounts": [{"email": "a@b"}]}, ports, Path("var"))
    assert "portals safari  http://s" in page


@pytest.mark.parametrize(
    ("args", "parallel", "everything"),
    [
        ((), True, True),
        (("-k", "money"), True, True),
        (("tests/launcher", "-x"), True, False),
        (("--pdb",), False, True),
    ],
)
def test_pytest_gets_the_defaults_that_the_caller_did_not_choose(
    args: tuple[str, ...], parallel: bool, everything: bool
) -> None:
    command = commands.pytest_command(args)
    assert ("-n" in command) == parallel
    assert ("--ignore=tests/chaos" in command) == everything


def test_mail_is_kept_whole_newest_only(tmp_path: Path) -> None:
    catcher = Catcher(tmp_path, kept=2)
    for number in range(3):
        catcher.keep(f"Subject: {number}\r\n\r\nbody".encode(), "from@x", ["to/../me@x"])
    kept = sorted(tmp_path.iterdir())
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert [path.read_bytes().count(b"\r\n\r\nbody") for path in kept] == [1, 1]
    assert b"Subject: 2" in kept[-1].read_bytes()
    assert b"X-Envelope-To: to/../me@x" in kept[-1].read_bytes()
    assert "/" not in kept[-1].name
    assert kept[-1].suffix == ".eml"


def test_the_mail_catcher_takes_mail(tmp_path: Path) -> None:
    port = free_port()
    env = {"SMTP_URL": f"smtp://127.0.0.1:{port}", "MAIL_DIR": str(tmp_path / "mail"), "PYTHONPATH": str(ROOT)}
    catcher = App("mail", f"{PYTHON} -m rehearsal.mail", env, tmp_path, tmp_path / "log")
    catcher.spawn()

    def send() -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.sendmail("a@x", ["b@x"], "Subject: hello\r\n\r\n\N{GREEK SMALL LETTER ALPHA}".encode())
        except ConnectionRefusedError:
            return False
        return True

    until(send)
    catcher.stop()
    assert catcher.returncode == 0
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1


@pytest.mark.parametrize(
    ("args", "targets"),
    [
        ((), ["tests/browser"]),
        (("-k", "staff"), ["tests/browser", "-k", "staff"]),
        (("tests/browser/test_staff.py",), ["tests/browser/test_staff.py"]),
    ],
)
def test_a_tier_of_its_own_runs_whole_unless_tests_were_chosen(args: tuple[str, ...], targets: list[str]) -> None:
    assert commands.own_pytest_command("browser", args)[3:] == targets
