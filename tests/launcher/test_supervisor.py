import os
import signal
import subprocess
from pathlib import Path

import pytest

from rehearsal import supervisor as supervision
from rehearsal.process import birth, rotate
from rehearsal.supervisor import App, Supervisor, describe_exit, read_procfile
from tests.launcher.toys import PYTHON, ROOT, is_alive, until

FORKS = (
    "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork() or os.setsid(); time.sleep(99)"
)


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def app(tmp_path: Path, name: str, command: str) -> App:
    return App(name, command, {"PATH": os.defpath}, tmp_path, tmp_path / f"{name}.log")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "LONGEST_DELAY_SECONDS", 0.05)


def test_a_procfile_is_read_in_order_without_comments(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# why\n\nweb: serve -b :$PORT # loud\nworker-a:  work a\n")
    assert list(read_procfile(tmp_path / "Procfile").items()) == [
        ("web", "serve -b :$PORT # loud"),
        ("worker-a", "work a"),
    ]


@pytest.mark.parametrize("text", ["web serve", "web: a\nweb: b", ": a", "web:"])
def test_a_bad_procfile_names_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "Procfile").write_text(text)
    with pytest.raises(ValueError, match=r"Procfile, line \d"):
        read_procfile(tmp_path / "Procfile")


def test_the_projects_procfiles_are_readable_and_share_no_name() -> None:
    production, extra = read_procfile(ROOT / "Procfile"), read_procfile(ROOT / "Procfile.dev")
    assert "web" in production
    assert not set(production) & set(extra)
    queues = [line.split()[-1] for name, line in production.items() if name.startswith("worker-")]
    assert len(queues) == len(set(queues)), "one queue per worker process"


@pytest.mark.usefixtures("quick")
def test_a_killed_process_is_started_again_and_reported_once(tmp_path: Path) -> None:
    said = Said()
    supervisor = Supervisor(said)
    child = app(tmp_path, "worker", "sleep 99")
    supervisor.start(child)
    for _ in range(2):
        first = child.pid
        assert first
        os.kill(first, signal.SIGKILL)
        until(lambda first=first: child.running and child.pid != first, tick=supervisor.tick)  # type: ignore[misc]
    supervisor.stop_all([], grace_seconds=2)
    assert said.lines == ["worker ended (killed by SIGKILL); starting it again."]
    assert not child.running


@pytest.mark.usefixtures("quick")
def test_a_process_that_keeps_ending_is_reported_in_one_line_with_its_last_words(tmp_path: Path) -> None:
    said = Said()
    supervisor = Supervisor(said)
    supervisor.start(app(tmp_path, "web", "sh -c 'echo no such module; exit 3'"))
    until(lambda: supervisor.failing(6), tick=supervisor.tick)
    supervisor.stop_all([], grace_seconds=1)
    assert len(said.lines) == 2
    assert "web keeps ending (exit code 3)" in said.lines[1]
    assert said.lines[1].endswith("no such module")


def test_groups_stop_in_order(tmp_path: Path) -> None:
    supervisor = Supervisor(Said())
    trap = "sh -c 'trap \"echo {0} >>order; exit\" TERM; echo up >{0}.up; while :; do sleep 0.02; done'"
    for name in ("database", "web", "redis"):
        supervisor.start(app(tmp_path, name, trap.format(name)))
    until(lambda: len(list(tmp_path.glob("*.up"))) == 3)
    supervisor.stop_all([["redis"], ["database"]], grace_seconds=5)
    assert (tmp_path / "order").read_text().split() == ["web", "redis", "database"]


def test_what_does_not_stop_in_time_is_killed_with_all_it_started(tmp_path: Path) -> None:
    supervisor = Supervisor(Said())
    child = app(tmp_path, "stubborn", f'{PYTHON} -c "{FORKS}"')
    supervisor.start(child)
    assert child.pid
    listing = ["pgrep", "-P", str(child.pid)]
    until(lambda: subprocess.run(listing, capture_output=True, check=False).stdout)
    grandchild = int(subprocess.run(listing, capture_output=True, check=True).stdout)
    until(lambda: os.getsid(grandchild) == grandchild)
    supervisor.stop_all([], grace_seconds=0.1)
    assert not child.running
    until(lambda: not is_alive(grandchild))


def test_a_log_that_has_grown_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("x" * 11)
    rotate(log, limit_bytes=10)
    assert not log.exists()
    assert (tmp_path / "web.log.1").exists()


def test_exits_are_described_in_words() -> None:
    assert [describe_exit(code) for code in (None, 0, 1, -9)] == [
        "never started",
        "exit code 0",
        "exit code 1",
        "killed by SIGKILL",
    ]


def test_a_process_is_known_by_its_birth() -> None:
    assert birth(os.getpid())
    assert birth(os.getpid()) == birth(os.getpid())
    assert birth(2**22 + 1) == ""
