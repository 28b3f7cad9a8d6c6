"""Who is around a router: phones and home routers, the addresses they get, and how a log-in ended for them."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.simulation import NotPossible, loopback_address

from .packets import colons, plain_mac
from .session import Session
from .wire import Value, chap_response

# The stock errors.txt of a RouterOS hotspot (sheet 3.1), the keys that this simulator can meet.
ERRORS = {
    "not-logged-in": "you are not logged in (ip {ip})",
    "ippool-empty": "cannot assign ip address - no more free addresses from pool",
    "shutting-down": "hotspot service is shutting down",
    "user-session-limit": "no more sessions are allowed for user {username}",
    "wrong-mac-username": "invalid username ({username}): this MAC address is not yours",
    "chap-missing": "web browser did not send challenge response (try again, enable JavaScript)",
    "invalid-username": "invalid username or password",
    "radius-timeout": "RADIUS server is not responding",
    "auth-in-progress": "already authorizing, retry later",
}
NO_ANSWER, NOT_ASKED = "no answer", "not asked"
CHALLENGE_SECONDS = 3600  # sheet 3.1: the challenge expires after an hour
DEFAULT_POOLS = {"hotspot": "10.5.50.0/24", "pppoe": "10.20.0.0/22", "expired": "10.66.0.0/22"}


@dataclass(frozen=True)
class Credentials:
    """What a device proves itself with: a clear password that the request will hide, or a finished CHAP answer."""

    user: str
    method: str
    proof: tuple[tuple[str, Value], ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.user.encode()) > 253:
            raise NotPossible("a user name has at most 253 octets")
        if any(name == "User-Password" and len(value) > 128 for name, value in self.proof if isinstance(value, bytes)):
            raise NotPossible("a password has at most 128 octets")


def pap(user: str, password: str, method: str = "pap") -> Credentials:
    return Credentials(user, method, (("User-Password", password.encode()),))


def chap(user: str, response: bytes, challenge: bytes, method: str = "chap") -> Credentials:
    """The challenge travels in attribute 60 (sheet 1.2)."""
    return Credentials(user, method, (("CHAP-Challenge", challenge), ("CHAP-Password", response)))


def with_password(user: str, password: str, protocol: str, label: str = "") -> Credentials:
    """PAP, or CHAP with a challenge of 16 octets made now. `label` is the method to show. Raises ValueError."""
    if protocol == "pap":
        return pap(user, password, label or "pap")
    if protocol != "chap":
        raise ValueError(f"the router knows pap and chap, not {protocol!r}")
    identifier, challenge = secrets.randbelow(256), secrets.token_bytes(16)
    return chap(user, chap_response(identifier, password.encode(), challenge), challenge, label or "chap")


@dataclass(frozen=True)
class Challenge:
    """`$(chap-id)` and `$(chap-challenge)` of a login page."""

    identifier: int
    octets: bytes
    issued: float


@dataclass(frozen=True)
class Outcome:
    """How a log-in ended. `error` is the sentence on the hotspot page, `message` the server's Reply-Message."""

    ok: bool
    reply: str
    error: str = ""
    message: str = ""
    session: Session | None = None

    def as_json(self) -> dict[str, Any]:
        found = self.session.id if self.session else None
        return {"ok": self.ok, "reply": self.reply, "error": self.error, "message": self.message, "session": found}


def refused(key: str, user: str) -> Outcome:
    """The router's own no, in the words of errors.txt."""
    return Outcome(False, NOT_ASKED, ERRORS[key].format(username=user, ip=""))


@dataclass
class Device:
    mac: str
    name: str
    kind: str = "phone"  # phone (hotspot) or home (PPPoE)
    joined: bool = False
    ip: str = ""
    session: Session | None = None
    authorizing: bool = False
    last: Outcome | None = None
    want: tuple[int, int] = (0, 0)
    cookie: Credentials | None = None
    challenge: Challenge | None = None
    line: tuple[str, str, str] | None = field(default=None, repr=False)  # user, password, method of PPPoE
    redial: float = 0.0  # seconds until a cut line dials again; 0 never
    redial_at: float | None = None

    @property
    def state(self) -> str:
        if self.session is not None:
            return "online"
        return "blocked" if self.joined else "away"

    def as_json(self, now: float) -> dict[str, Any]:
        return {
            "mac": self.mac, "name": self.name, "kind": self.kind, "state": self.state, "joined": self.joined,
            "ip": self.ip, "cookie": self.cookie is not None, "up_bps": self.want[0], "down_bps": self.want[1],
            "last": self.last.as_json() if self.last else None, "redial": self.redial,
            "session": self.session.as_json(now) if self.session else None,
        }  # fmt: skip


def read_mac(text: str) -> str:
    """AA:BB:CC:DD:EE:FF. Raises ValueError."""
    if plain_mac(text) is None:
        raise ValueError(f"{text!r} is not a MAC address like 02:AB:CD:00:00:01")
    return colons(text)


def invented_mac() -> str:
    """As a phone with a private address makes one: the local bit is set (sheet 1.12)."""
    return colons("02" + secrets.token_hex(5))


class Pools:
    """The `/ip/pool` of a router. The first ten addresses of each are the router's own."""

    def __init__(self, networks: Mapping[str, str] | None = None) -> None:
        self._networks = {k: ipaddress.IPv4Network(v) for k, v in (networks or DEFAULT_POOLS).items()}
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._networks

    def take(self, name: str) -> str | None:
        """The lowest free address, or None: no such pool, or it is empty."""
        network = self._networks.get(name)
        if network is None:
            return None
        first, last = int(network.network_address) + 10, int(network.broadcast_address)
        for number in range(first, last):
            address = str(ipaddress.IPv4Address(number))
            if address not in self._taken:
                self._taken.add(address)
                return address
        return None

    def give_back(self, address: str) -> None:
        self._taken.discard(address)


def require_loopback(address: str) -> str:
    """IPv4 only. The simulator logs anyone in who asks; it must not be a neighbour's to use. Raises ValueError."""
    if ":" in address or loopback_address(address) != address:
        raise ValueError(f"the router simulator binds loopback only, not {address!r}")
    return address
