"""Processes of ours: each in a session of its own, writing to a log of its own, and gone when we are."""
# ruff: noqa: S603, S607

import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None, use_errno=True) if LINUX else None
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOG_BYTES = 5_000_000


@dataclass(frozen=True)
class RunAs:
    """Who a process is, when it must not be us: an account to become, or a step between fork and exec."""

    uid: int | None = None
    gid: int | None = None
    before_exec: Callable[[], None] | None = None


OURSELVES = RunAs()


class Child:
    """One process that can be started again and again; `spawn` of a subclass says how."""

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start the process and return at once."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """None while it runs and before its first start."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        if self._process and self.running:
            self._process.send_signal(self.stop_signal)

    def stop(self, grace_seconds: float = 10) -> None:
        """Ask, wait, then kill it and everything it started."""
        self.ask_to_stop()
        if not self.wait(grace_seconds):
            self.kill_tree()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within the time."""
        if self._process is None:
            return True
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0.001))
        return not self.running

    def kill(self) -> None:
        """SIGKILL this process alone, as a crash would."""
        if self._process and self.running:
            self._process.kill()
            self._process.wait()

    def kill_tree(self) -> None:
        if self._process and self.running:
            kill_all([*descendants(self._process.pid), self._process.pid])
            self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        return tail(self.log, lines)

    def _launch(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path, run_as: RunAs = OURSELVES) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out, steps_after_fork():
            self._process = subprocess.Popen(
                [str(word) for word in argv],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=run_as.uid,
                group=run_as.gid,
                extra_groups=None if run_as.uid is None else [],
                preexec_fn=tied_to_us(self.stop_signal, run_as.before_exec),
            )


@contextmanager
def steps_after_fork() -> Iterator[None]:
    """Python 3.12 and later warn of any `preexec_fn` when there are threads, as under xdist; ours take no locks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def tied_to_us(signum: signal.Signals, first: Callable[[], None] | None = None) -> Callable[[], None]:
    """A `preexec_fn` after which the kernel sends `signum` to the child when we die (Linux only).

    The kernel forgets the wish when the process changes its identity, so `first` runs before. It also counts the death
    of the *thread* that forked: start processes from the main thread.
    """
    parent = os.getpid()

    def in_child() -> None:
        if first:
            first()
        if LIBC:
            LIBC.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return in_child


def adopt_orphans() -> None:
    """From now on a grandchild whose parent died becomes our child, so that `descendants` finds it (Linux only)."""
    if LIBC:
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_adopted(ours: Collection[int | None]) -> None:
    """Bury adopted orphans that ended. The ends of our own children are left for whoever watches them."""
    if not LIBC:
        return
    with suppress(ChildProcessError):
        while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid in ours:
                return
            os.waitpid(dead.si_pid, 0)


def descendants(pid: int) -> list[int]:
    """Children, grandchildren and so on; an RQ work horse has a session of its own and no group signal reaches it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent in _process_table():
        children[parent].append(child)
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children[todo.pop()]
        found += below
        todo += below
    return found


def kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _process_table() -> Iterator[tuple[int, int]]:
    if not LINUX:
        listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        for line in listing.splitlines():
            pid, parent = line.split()
            yield int(pid), int(parent)
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                yield int(entry.name), int(fields[1])


def command_line(pid: int) -> str:
    """What a process was started as; empty when there is no such process (or we may not know)."""
    if LINUX:
        with suppress(OSError):
            return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    return _ps(pid, "command=")


def birth(pid: int) -> str:
    """When a process began: with its number, this tells it from any other. Empty when there is none."""
    if LINUX:
        with suppress(OSError):
            stat = (Path("/proc") / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            return "" if stat[0] == "Z" else stat[19]
        return ""
    return _ps(pid, "lstart=")


def _ps(pid: int, column: str) -> str:
    return subprocess.run(["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def end_leftover(pid: int, signum: signal.Signals, seconds: float = 10) -> None:
    """End a process that an earlier, crashed launcher left behind."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not birth(pid):
                return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)


def rotate(log: Path, limit_bytes: int = LOG_BYTES) -> None:
    """Keep one older generation of a log that has grown past the limit."""
    if log.exists() and log.stat().st_size > limit_bytes:
        log.replace(log.with_name(log.name + ".1"))


def tail(log: Path, lines: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
