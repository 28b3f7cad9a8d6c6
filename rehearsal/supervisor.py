"""Keeps the processes of a Procfile running: starts, watches, restarts and stops them."""

import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.process import Child, descendants, kill_all, reap_adopted, rotate

HEALTHY_SECONDS = 30.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 30.0
LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


def read_procfile(path: Path) -> dict[str, str]:
    """Name → shell command, in the order of the file. Raises ValueError with the line that cannot be read."""
    commands: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if not match or match[1] in commands:
            raise ValueError(f"{path.name}, line {number}: not of the form `name: command`, or the name is used twice.")
        commands[match[1]] = match[2]
    return commands


class App(Child):
    """One line of a Procfile. The shell replaces itself, so that signals reach the program."""

    def __init__(self, name: str, command: str, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        super().__init__(name, log)
        self.command = command
        self.env = env
        self.cwd = cwd

    def spawn(self) -> None:
        self._launch(["/bin/sh", "-c", f"exec {self.command}"], self.env, self.cwd)


@dataclass
class Watch:
    """What the supervisor knows about one process."""

    child: Child
    started_at: float
    failures: int = 0
    restart_at: float | None = None


class Supervisor:
    """Restarts every process that ends, sooner at first and then ever more patiently.

    Single-threaded: nothing happens between calls of `tick`. `say` receives one line for the first end of a process
    and one more when it keeps ending; then it stays quiet until the process has been healthy for a while.
    """

    def __init__(self, say: Callable[[str], None], changed: Callable[[], None] = lambda: None) -> None:
        self.watches: dict[str, Watch] = {}
        self._say = say
        self._changed = changed

    def watch(self, child: Child) -> None:
        """Look after a process that already runs."""
        self.watches[child.name] = Watch(child, time.monotonic())
        self._changed()

    def start(self, child: Child) -> None:
        rotate(child.log)
        child.spawn()
        self.watch(child)

    def tick(self) -> None:
        now = time.monotonic()
        for watch in self.watches.values():
            if watch.restart_at is None:
                if not watch.child.running:
                    self._ended(watch, now)
            elif now >= watch.restart_at:
                watch.restart_at = None
                watch.started_at = now
                watch.child.spawn()
                self._changed()
        reap_adopted([watch.child.pid for watch in self.watches.values()])

    def failing(self, times: int) -> list[Child]:
        """Processes that ended at least so many times without a healthy while between."""
        return [watch.child for watch in self.watches.values() if watch.failures >= times]

    def stop_all(self, order: Sequence[Sequence[str]], grace_seconds: float) -> None:
        """Stop group after group; first of all, and together, whatever is in no group."""
        named = {name for group in order for name in group}
        groups = [[name for name in self.watches if name not in named], *order]
        for group in groups:
            stop_together([self.watches[name].child for name in group if name in self.watches], grace_seconds)
        self.watches.clear()
        self._changed()

    def _ended(self, watch: Watch, now: float) -> None:
        if now - watch.started_at >= HEALTHY_SECONDS:
            watch.failures = 0
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(watch.failures, 10))
        watch.failures += 1
        watch.restart_at = now + delay
        name, how = watch.child.name, describe_exit(watch.child.returncode)
        if watch.failures == 1:
            self._say(f"{name} ended ({how}); starting it again.")
        elif watch.failures == 3:
            self._say(f"{name} keeps ending ({how}); see {watch.child.log}, which ends: {watch.child.log_tail(1)}")


def stop_together(children: Sequence[Child], grace_seconds: float) -> None:
    """Ask all, wait for all up to the grace, then kill those that stay, with everything they started."""
    started = {child.name: descendants(child.pid) for child in children if child.running and child.pid}
    for child in children:
        child.ask_to_stop()
    until = time.monotonic() + grace_seconds
    for child in children:
        if not child.wait(until - time.monotonic()):
            kill_all(started[child.name])
            child.kill_tree()


def describe_exit(code: int | None) -> str:
    if code is None:
        return "never started"
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
