"""What every process of the rehearsal is told: ports, secrets and addresses, the same at every start."""

import base64
import json
import math
import os
import re
import secrets
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from rehearsal.faults import SetupFault
from rehearsal.process import command_line
from rehearsal.servers import HOST, port_is_free, read_private, write_private

DATABASE = "wavu"
PROBE_SECONDS = 3
DATABASE_URLS = {"DATABASE_URL": "wavu_app", "MIGRATE_URL": "wavu_owner", "RELAY_DATABASE_URL": "wavu_relay"}
ROLES = ("wavu_owner", "wavu_app", "wavu_relay", "wavu_report", "wavu_backup")


# Where the virtual routers of the two ISPs are, one loopback address each.
NAS_ADDRESSES = ("127.0.1.10", "127.0.1.20")


@dataclass(frozen=True)
class Port:
    variable: str
    default: int
    what: str
    kind: socket.SocketKind = socket.SOCK_STREAM
    hosts: tuple[str, ...] = (HOST,)

    def number(self, environ: Mapping[str, str]) -> int:
        text = environ.get(self.variable) or str(self.default)
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise SetupFault(f"{self.variable}={text} is not a port number: choose one from 1024 to 65535.")
        return int(text)


PORTS = (
    Port("PORT", 8000, "the web"),
    Port("RADIUS_AUTH_PORT", 1812, "RADIUS authentication", socket.SOCK_DGRAM),
    Port("RADIUS_ACCT_PORT", 1813, "RADIUS accounting", socket.SOCK_DGRAM),
    Port("RADIUS_COA_PORT", 3799, "RADIUS change of authorization", socket.SOCK_DGRAM, (HOST, *NAS_ADDRESSES)),
    Port("SMTP_PORT", 1025, "the mail catcher"),
    Port("DARAJA_PORT", 8100, "the M-Pesa simulator and its phones"),
    Port("AIRTEL_PORT", 8110, "the Airtel Money simulator and its phones"),
    Port("ROUTER_CONTROL_PORT", 8190, "the virtual routers"),
    Port("ROUTER_HOTSPOT_PORT", 8180, "the virtual routers' hotspots", hosts=NAS_ADDRESSES),
)


def wanted_ports(environ: Mapping[str, str]) -> dict[str, str]:
    """Variable → number. Raises SetupFault with a line for each that is none, and for those that are the same."""
    numbers, faults = dict[str, str](), list[str]()
    for port in PORTS:
        try:
            numbers[port.variable] = str(port.number(environ))
        except SetupFault as fault:
            faults.append(str(fault))
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        of_kind = {
            port.variable: numbers[port.variable] for port in PORTS if port.kind == kind and port.variable in numbers
        }
        if len(set(of_kind.values())) < len(of_kind):
            faults.append(f"{', '.join(of_kind)} must be different ports: {', '.join(of_kind.values())}.")
    if faults:
        raise SetupFault("\n".join(faults))
    return numbers


def check_variables(environ: Mapping[str, str]) -> None:
    """Raises SetupFault with every fault that the environment shows by itself, before anything is asked or started."""
    faults = []
    for check in (wanted_ports, stop_grace, check_given_databases):
        try:
            check(environ)
        except SetupFault as fault:
            faults.append(str(fault))
    if faults:
        raise SetupFault("\n".join(faults))


def stop_grace(environ: Mapping[str, str]) -> float:
    """The seconds that a process has to finish its work when all is stopped."""
    text = environ.get("STOP_GRACE") or "10"
    with suppress(ValueError):
        if math.isfinite(seconds := float(text)) and seconds >= 0:
            return seconds
    raise SetupFault(f"STOP_GRACE={text} is not a number of seconds: choose one such as STOP_GRACE=10.")


def check_ports(numbers: Mapping[str, str]) -> None:
    """Raises SetupFault with one line for every port that is taken, naming the variable that moves it."""
    faults = []
    for port in PORTS:
        number = int(numbers[port.variable])
        try:
            if all(port_is_free(number, port.kind, host) for host in port.hosts):
                continue
            why = f"is in use{_by(number, port.kind)}"
        except PermissionError:
            why = "may only be opened by root"
        family = "UDP" if port.kind == socket.SOCK_DGRAM else "TCP"
        faults.append(
            f"{family} port {number} for {port.what} {why}: end that, or choose another, as in "
            f"{port.variable}={number + 10000 if number < 50000 else number - 10000} ./run"
        )
    if faults:
        raise SetupFault("\n".join(faults))


def _by(port: int, kind: socket.SocketKind) -> str:
    pid = _holder(port, kind)
    return f" by process {pid} ({command_line(pid).strip()[:80]})" if pid else ""


def _holder(port: int, kind: socket.SocketKind) -> int | None:
    """The process that has the port open, where /proc tells and we may look."""
    inodes = set()
    for table in ("tcp", "tcp6") if kind == socket.SOCK_STREAM else ("udp", "udp6"):
        with suppress(OSError):
            for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
                fields = line.split()
                listening = kind == socket.SOCK_DGRAM or fields[3] == "0A"
                if listening and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) in inodes:
                return int(link.parts[2])
    return None


def load_secrets(var: Path) -> dict[str, Any]:
    """The secrets of this rehearsal, made at its first start."""
    path = var / "secrets.json"
    known = read_private(path)
    fresh = {
        "passwords": {},
        "secret_key": secrets.token_urlsafe(48),
        "vault_keys": "1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "radius_health_secret": secrets.token_urlsafe(24),
    }
    complete = fresh | known
    complete["passwords"] = {role: secrets.token_urlsafe(24) for role in ROLES} | complete["passwords"]
    if complete != known:
        write_private(path, json.dumps(complete, indent=1))
    return complete


def check_given_databases(environ: Mapping[str, str]) -> bool:
    """Whether an outside database is to be used. Raises SetupFault when only some of its URLs are given."""
    given = [name for name in DATABASE_URLS if environ.get(name)]
    missing = [f"{name} (role {role})" for name, role in DATABASE_URLS.items() if not environ.get(name)]
    if given and missing:
        raise SetupFault(f"{', '.join(given)} is set, so set {' and '.join(missing)} too, or none of them.")
    return bool(given)


def probe_given(environ: Mapping[str, str]) -> None:
    """Raises SetupFault with one sentence for each outside server that is dead, or lets us in as somebody else."""
    faults = [
        fault
        for name, role in DATABASE_URLS.items()
        if environ.get(name) and (fault := _probe(name, environ[name], role))
    ]
    if environ.get("REDIS_URL") and (fault := _probe_redis(environ["REDIS_URL"])):
        faults.append(fault)
    if faults:
        raise SetupFault("\n".join(faults))


def _probe(name: str, url: str, role: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=PROBE_SECONDS) as connection:
            row = connection.execute("SELECT current_user").fetchone()
    except psycopg.Error as error:
        # libpq repeats a URL that it cannot read, password and all.
        said = _first_line(error).replace(url, "the URL given")
        return f"{name} leads to no database that lets us in: {said}"
    signed_in_as = row[0] if row else ""
    return None if signed_in_as == role else f"{name} signs in as {signed_in_as}: give the URL of the role {role}."


def _probe_redis(url: str) -> str | None:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=PROBE_SECONDS, socket_timeout=PROBE_SECONDS) as client:
            client.ping()
            writes = client.info("replication").get("role") == "master"
    except (redis.RedisError, ValueError) as error:
        return f"REDIS_URL leads to no Redis that answers: {_first_line(error).replace(url, 'the URL given')}"
    return None if writes else "REDIS_URL leads to a replica, which takes no writes: give the URL of its primary."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def build(root: Path, var: Path, ports: Mapping[str, str], urls: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process. `urls` holds DATABASE_URL, MIGRATE_URL, RELAY_DATABASE_URL and REDIS_URL."""
    ours = load_secrets(var)
    # psycopg would read the caller's PGHOST, PGSSLMODE and the like.
    inherited = {name: value for name, value in os.environ.items() if not re.match(r"PG[A-Z]+$", name)}
    venv_bin = str(Path(sys.prefix) / "bin")
    return {
        **inherited,
        **ports,
        **urls,
        "WAVU_ENV": "rehearsal",
        "SECRET_KEY": ours["secret_key"],
        "VAULT_KEYS": ours["vault_keys"],
        "PLATFORM_DOMAIN": "wavu.localhost",
        "PUBLIC_SCHEME": "http",
        "PUBLIC_PORT": ports["PORT"],
        "BIND": HOST,
        "SMTP_URL": f"smtp://{HOST}:{ports['SMTP_PORT']}",
        "MAIL_FROM": "wavu@wavu.localhost",
        "MAIL_DIR": str(var / "mail"),
        "DARAJA_REHEARSAL_URL": f"http://{HOST}:{ports['DARAJA_PORT']}",
        "DARAJA_APPS": str(var / "daraja.json"),
        "DARAJA_MEMORY": str(var / "daraja-registered.json"),
        # Another one at each start, or the first receipt of a day would be made again at the next.
        **{name: inherited.get(name) or str(secrets.randbelow(10**9)) for name in ("DARAJA_SEED", "AIRTEL_SEED")},
        "AIRTEL_REHEARSAL_URL": f"http://{HOST}:{ports['AIRTEL_PORT']}",
        "AIRTEL_APPS": str(var / "airtel.json"),
        "ROUTERS": str(var / "routers.json"),
        "SPOOL_DIR": str(var / "spool"),
        "RADIUS_BIND": HOST,
        "RADIUS_HEALTH_SECRET": ours["radius_health_secret"],
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'platform'}",
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{venv_bin}{os.pathsep}{inherited.get('PATH', os.defpath)}",
    }
