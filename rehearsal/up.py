"""`./run`: brings the whole product up, watches over it, and takes it down again."""
# ruff: noqa: T201, S603

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rehearsal import environment, summary
from rehearsal.environment import DATABASE, DATABASE_URLS, ROLES
from rehearsal.faults import SetupFault
from rehearsal.process import (
    adopt_orphans,
    birth,
    descendants,
    end_leftover,
    kill_all,
    rotate,
    tail,
    tied_to_us,
)
from rehearsal.servers import HOST, Postgres, Valkey, read_private, write_private
from rehearsal.supervisor import App, Supervisor, read_procfile

ROOT = Path(__file__).resolve().parent.parent
MARK = ".wavu-rehearsal"
READY_SECONDS = 50
HOPELESS_AFTER = 4
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SEED = (sys.executable, "-m", "rehearsal.seed")
EnsureRoles = Callable[[str, str, dict[str, str]], None]


class Interrupted(BaseException):
    """Somebody asked us to stop."""


class AlreadyRunning(SetupFault):
    """Another launcher holds var/."""


def is_ours(var: Path) -> bool:
    """Whether var/ was made for a rehearsal, and so may be deleted with all that is in it."""
    place = Path(os.path.realpath(var))
    if any(precious.is_relative_to(place) for precious in (ROOT, Path(os.path.realpath(os.path.expanduser("~"))))):
        return False
    # The checkout's own var/ begins with the log of the packages, before there is a rehearsal.
    return os.path.isfile(place / MARK) or place == ROOT / "var"


def claim(var: Path) -> IO[str]:
    """Hold var/ for as long as the returned file is open. Raises AlreadyRunning when another launcher holds it."""
    try:
        var.mkdir(parents=True, exist_ok=True)
        if var.stat().st_uid != os.geteuid():
            raise SetupFault(
                f"{var} belongs to another user: run this as that user, or remove the folder as that user."
            )
        if any(var.iterdir()) and not is_ours(var):
            raise SetupFault(f"{var} holds files that are no rehearsal's: name a new or an empty folder in VAR_DIR.")
        (var / MARK).touch()
        lock = (var / "lock").open("a+")
    except OSError as error:
        raise SetupFault(
            f"{error.filename or var} cannot be used ({error.strerror}): use a checkout that is your own, or name a "
            "folder that you can write in VAR_DIR."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise AlreadyRunning(
            f"Already running as process {holder(var)}: stop it with Ctrl-C there, or kill {holder(var)}."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def holder(var: Path) -> str:
    """The process that last claimed var/."""
    path = var / "lock"
    return (path.read_text().strip() if path.exists() else "") or "unknown"


def ensure_roles(admin_url: str, database: str, passwords: dict[str, str]) -> None:
    from migrations import roles

    roles.ensure(admin_url, database, passwords)


@dataclass
class Rehearsal:
    """One rehearsal of the checkout in `root`, with all its state in `var`."""

    root: Path
    var: Path
    seed: tuple[str, ...] = SEED
    roles: EnsureRoles = ensure_roles
    stop_grace: float = field(default_factory=lambda: environment.stop_grace(os.environ))

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.logs = self.var / "log"
        self.supervisor = Supervisor(self.say, self._write_status)
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None

    def say(self, text: str) -> None:
        """A console that has gone away must not keep us from stopping cleanly."""
        with suppress(OSError):
            print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def run(self) -> int:
        """Returns when everything has stopped: 0 after Ctrl-C or SIGTERM, 1 when it could not start."""
        with claim(self.var):
            code = 0
            for signum in STOP_SIGNALS:
                signal.signal(signum, _interrupt)
            adopt_orphans()
            try:
                self._bring_up()
                while True:
                    time.sleep(0.1)
                    self.supervisor.tick()
            except Interrupted:
                self.say("Stopping (Ctrl-C again changes nothing) ...")
            except SetupFault as fault:
                code = 1
                with suppress(OSError):
                    print(f"\n{fault}", file=sys.stderr, flush=True)
            finally:
                _ignore_signals()
                self._take_down()
            return code

    def _bring_up(self) -> None:
        ports = environment.wanted_ports(os.environ)
        outside_database = environment.check_given_databases(os.environ)
        environment.probe_given(os.environ)
        end_leftovers(self.var)
        environment.check_ports(ports)
        urls = {name: os.environ[name] for name in DATABASE_URLS} if outside_database else self._start_postgres()
        urls["REDIS_URL"] = os.environ.get("REDIS_URL") or self._start_valkey()
        env = environment.build(self.root, self.var, ports, urls)
        lines = read_procfile(self.root / "Procfile")
        if release := lines.pop("release", None):
            self._once("release", ("/bin/sh", "-c", f"exec {release}"), env, "Migrations")
        lines |= read_procfile(self.root / "Procfile.dev")
        self.say(f"Starting {', '.join(lines)} ...")
        for name, command in lines.items():
            self.supervisor.start(App(name, command, env, self.root, self.logs / f"{name}.log"))
        # While these load: none of them needs the rehearsal's data to start.
        facts = self._seed(env)
        self._await_ready(int(ports["PORT"]))
        self.say("Ready.")
        with suppress(OSError):
            print(summary.render(facts, ports, self.var), flush=True)

    def _start_postgres(self) -> dict[str, str]:
        self.say("Starting PostgreSQL ...")
        self.postgres = Postgres(self.var / "pg", log=self.logs / "postgres.log")
        self.postgres.start()
        self.supervisor.watch(self.postgres)
        passwords: dict[str, str] = environment.load_secrets(self.var)["passwords"]
        self.roles(self.postgres.admin_url(), DATABASE, passwords)
        return {name: self.postgres.url(role, passwords[role], DATABASE) for name, role in DATABASE_URLS.items()}

    def _start_valkey(self) -> str:
        self.say("Starting Valkey ...")
        self.valkey = Valkey(self.var / "valkey", log=self.logs / "valkey.log")
        self.valkey.start()
        self.supervisor.watch(self.valkey)
        return self.valkey.url

    def _seed(self, env: Mapping[str, str]) -> dict[str, Any]:
        """Make the rehearsal data and write var/rehearsal.json, which outside tools read."""
        output = self._once("seed", self.seed, env, "Rehearsal data")
        try:
            facts: dict[str, Any] = json.loads(output)
        except ValueError as error:
            raise SetupFault(f"The seed did not print one JSON object but: {output[:300]!r}") from error
        facts["postgres"] = self._database_urls(env)
        facts["redis"] = env["REDIS_URL"]
        write_private(self.var / "rehearsal.json", json.dumps(facts, indent=1))
        return facts

    def _database_urls(self, env: Mapping[str, str]) -> dict[str, str]:
        if self.postgres is None:
            return {role.removeprefix("wavu_"): env[name] for name, role in DATABASE_URLS.items()}
        passwords = environment.load_secrets(self.var)["passwords"]
        urls = {role.removeprefix("wavu_"): self.postgres.url(role, passwords[role], DATABASE) for role in ROLES}
        return urls | {"admin": self.postgres.admin_url(DATABASE)}

    def _once(self, name: str, argv: tuple[str, ...], env: Mapping[str, str], what: str) -> str:
        """Run a command to its end and return what it printed; its errors go to its log."""
        self.say(f"{what} ...")
        log = self.logs / f"{name}.log"
        rotate(log)
        with log.open("ab") as errors:
            done = subprocess.run(
                argv,
                env=dict(env),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                preexec_fn=tied_to_us(signal.SIGTERM),
                check=False,
            )
            if done.returncode:
                errors.write(done.stdout)
        if done.returncode:
            raise SetupFault(f"{what} failed. The end of {log}:\n{tail(log, 15)}")
        return done.stdout.decode()

    def _await_ready(self, port: int) -> None:
        until = time.monotonic() + READY_SECONDS
        answer = ""
        while time.monotonic() < until and not self.supervisor.failing(HOPELESS_AFTER):
            answer = _ask(f"http://{HOST}:{port}/healthz")
            if answer == "200":
                return
            self.supervisor.tick()
            time.sleep(0.1)
        culprits = self.supervisor.failing(1) or [
            watch.child for watch in self.supervisor.watches.values() if watch.child.name == "web"
        ]
        tails = "".join(f"\n--- the end of {child.log}:\n{child.log_tail()}" for child in culprits)
        raise SetupFault(f"Not ready after {time.monotonic() - self.began:.0f} s: /healthz says {answer}.{tails}")

    def _take_down(self) -> None:
        self.supervisor.stop_all([["valkey"], ["postgres"]], self.stop_grace)
        kill_all(descendants(os.getpid()))
        if self.postgres or self.valkey:
            self.say("Stopped.")

    def _write_status(self) -> None:
        pids = {name: watch.child.pid for name, watch in self.supervisor.watches.items() if watch.child.pid}
        noted = {name: {"pid": pid, "birth": birth(pid)} for name, pid in pids.items()}
        write_private(self.var / "processes.json", json.dumps(noted))


def alive(var: Path) -> dict[str, int]:
    """The noted processes that still run, by name."""
    noted: dict[str, dict[str, Any]] = read_private(var / "processes.json")
    return {name: note["pid"] for name, note in noted.items() if note["birth"] and birth(note["pid"]) == note["birth"]}


def end_leftovers(var: Path) -> None:
    """What a killed launcher left: for moments on Linux, for good where the kernel ends nothing with us (macOS).

    PostgreSQL looks after itself, for it must end in its own way.
    """
    for name, pid in alive(var).items():
        if name != "postgres":
            end_leftover(pid, signal.SIGTERM)


def _interrupt(signum: int, frame: object) -> None:
    _ignore_signals()
    raise Interrupted


def _ignore_signals() -> None:
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _ask(url: str) -> str:
    """The status of an answer, with the start of its body unless it is 200, or why there was none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as response:
            return str(response.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)
