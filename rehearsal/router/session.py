"""One session on a router: what the Access-Accept allowed, what it has used, and when the router must end it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .wire import Packet

# RFC 2866 5.10 with the hotspot meanings of sheet 1.3.
USER_REQUEST, LOST_CARRIER, LOST_SERVICE, IDLE_TIMEOUT, SESSION_TIMEOUT, ADMIN_RESET = 1, 2, 3, 4, 5, 6
ADMIN_REBOOT, NAS_REQUEST = 7, 10
CAUSES = {
    1: "User-Request", 2: "Lost-Carrier", 3: "Lost-Service", 4: "Idle-Timeout", 5: "Session-Timeout", 6: "Admin-Reset",
    7: "Admin-Reboot", 10: "NAS-Request", 11: "NAS-Reboot",
}  # fmt: skip
_RATE = re.compile(r"(0|[1-9][0-9]*)([kM]?)")
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000}
_EPSILON = 1e-6


def rate_limit(text: str) -> tuple[int, int]:
    """(upload, download) in bit/s of a Mikrotik-Rate-Limit, the first field of sheet 1.6; 0 is no limit.

    Raises ValueError for anything outside that grammar.
    """
    fields = text.split()
    if not 1 <= len(fields) <= 6:
        raise ValueError("a rate limit has one to six fields")
    pairs = [_pair(part, plain=place in (3, 4)) for place, part in enumerate(fields)]
    if len(pairs) > 4 and ("/" in fields[4] or not 1 <= pairs[4][0] <= 8):
        raise ValueError("the priority is 1 to 8")
    if len(pairs) > 5 and any(least > rate for least, rate in zip(pairs[5], pairs[0], strict=True) if rate):
        raise ValueError("the least rate exceeds the rate")
    return pairs[0]


def _pair(text: str, *, plain: bool) -> tuple[int, int]:
    parts = text.split("/")
    found = [_RATE.fullmatch(part) for part in parts]
    if len(parts) > 2 or not all(found) or (plain and any(m and m[2] for m in found)):
        raise ValueError(f"{text!r} is not a pair of rates")
    values = [int(match[1]) * _UNITS[match[2]] for match in found if match]
    return values[0], values[-1]


def _limit(packet: Packet, name: str) -> int | None:
    """32 bits and gigawords (sheet 1.5)."""
    low, high = packet.number(f"Mikrotik-{name}-Limit"), packet.number(f"Mikrotik-{name}-Limit-Gigawords")
    return None if low is None and high is None else (low or 0) + ((high or 0) << 32)


@dataclass
class Policy:
    """What Access-Accept and CoA set. Bytes and rates are (upload, download): the router receives uploads."""

    session_timeout: int | None = None
    idle_timeout: int | None = None
    recv_limit: int | None = None
    xmit_limit: int | None = None
    total_limit: int | None = None
    rate_text: str = ""
    rate: tuple[int, int] = (0, 0)
    port_limit: int | None = None
    extras: dict[str, str] = field(default_factory=dict)
    warning: str = ""

    def take(self, packet: Packet) -> None:
        """Adopt what the packet says and leave the rest."""
        for name in ("session_timeout", "idle_timeout", "port_limit"):
            value = packet.number(name.replace("_", "-").title())
            setattr(self, name, getattr(self, name) if value is None else value)
        for name in ("Recv", "Xmit", "Total"):
            limit = _limit(packet, name)
            if limit is not None:
                setattr(self, f"{name.lower()}_limit", limit)
        for name in ("Mikrotik-Group", "Mikrotik-Address-List", "Mikrotik-Mark-Id", "Filter-Id", "Framed-Route"):
            if values := packet.all(name):
                self.extras[name] = ", ".join(str(value) for value in values)
        if (text := packet.text("Mikrotik-Rate-Limit")) is not None:
            self._shape(text)
        if self.session_timeout == 0:
            # From memory, not from the sheet: 0 is "none" everywhere in RouterOS. Better loud than silently for ever.
            self.session_timeout, self.warning = None, "Session-Timeout 0 is no limit at all"

    def _shape(self, text: str) -> None:
        self.rate_text, self.warning = text, ""
        try:
            self.rate = rate_limit(text)
        except ValueError as error:
            self.rate, self.warning = (0, 0), f"Mikrotik-Rate-Limit not understood: {error}"


@dataclass
class Session:
    id: str
    kind: str  # hotspot or pppoe
    user: str
    mac: str
    ip: str
    host_ip: str
    started: float
    method: str  # pap, chap, mac or cookie
    policy: Policy
    classes: tuple[bytes, ...] = ()
    interim: int = 0
    message: str = ""
    want: tuple[int, int] = (0, 0)  # bit/s that the device would use
    next_interim: float = float("inf")
    ended: float | None = None
    cause: int = 0
    _used: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _counted: float = 0.0
    _active: float = 0.0

    def __post_init__(self) -> None:
        self._counted = self._active = self.started
        if self.interim > 0:
            self.next_interim = self.started + self.interim

    # -- traffic

    @property
    def flow(self) -> tuple[float, float]:
        """Bytes per second under way: what the device wants, as far as the queue lets it."""
        pairs = zip(self.want, self.policy.rate, strict=True)
        up, down = (min(want, rate) / 8 if rate else want / 8 for want, rate in pairs)
        return up, down

    def count(self, now: float) -> None:
        """Bring the counters up to `now`; before every change of `want` or of the policy."""
        seconds = max(0.0, now - self._counted)
        for way, flow in enumerate(self.flow):
            self._used[way] += flow * seconds
        if seconds and any(self.flow):
            self._active = now
        self._counted = now

    def transfer(self, now: float, upload: int, download: int) -> None:
        """Bytes in one go, however fast the queue is."""
        self.count(now)
        self._used[0] += upload
        self._used[1] += download
        self._active = now

    def usage(self, now: float) -> tuple[int, int]:
        """(upload, download) in bytes."""
        seconds = max(0.0, min(now, self.ended or now) - self._counted)
        up, down = (int(used + flow * seconds + _EPSILON) for used, flow in zip(self._used, self.flow, strict=True))
        return up, down

    # -- when it ends

    def time_left(self, now: float) -> int | None:
        timeout = self.policy.session_timeout
        return None if timeout is None else max(0, round(self.started + timeout - now))

    def end(self) -> tuple[float, int]:
        """The moment and cause of the end that is in sight, infinity if none."""
        ends = [(self._limit_reached(), NAS_REQUEST)]
        if self.policy.session_timeout is not None:
            ends.append((self.started + self.policy.session_timeout, SESSION_TIMEOUT))
        if self.policy.idle_timeout and not any(self.flow):
            ends.append((self._active + self.policy.idle_timeout, IDLE_TIMEOUT))
        return min(ends)

    def _limit_reached(self) -> float:
        up, down = self.flow
        sums = (
            (self.policy.recv_limit, self._used[0], up),
            (self.policy.xmit_limit, self._used[1], down),
            (self.policy.total_limit, sum(self._used), up + down),
        )
        moments = [float("inf")]
        for limit, used, flow in sums:
            if limit and used + _EPSILON >= limit:
                moments.append(self._counted)
            elif limit and flow:
                moments.append(self._counted + (limit - used) / flow)
        return min(moments)

    def as_json(self, now: float) -> dict[str, Any]:
        upload, download = self.usage(now)
        until = self.ended or now
        return {
            "id": self.id, "kind": self.kind, "user": self.user, "mac": self.mac, "ip": self.ip,
            "host_ip": self.host_ip, "method": self.method, "started": self.started,
            "uptime": int(until - self.started),
            "time_left": self.time_left(now) if self.ended is None else 0, "upload": upload, "download": download,
            "rate_limit": self.policy.rate_text, "interim": self.interim, "class": [c.hex() for c in self.classes],
            "session_timeout": self.policy.session_timeout, "idle_timeout": self.policy.idle_timeout,
            "recv_limit": self.policy.recv_limit, "xmit_limit": self.policy.xmit_limit,
            "total_limit": self.policy.total_limit, "port_limit": self.policy.port_limit, "extras": self.policy.extras,
            "message": self.message, "warning": self.policy.warning, "open": self.ended is None,
            "cause": CAUSES.get(self.cause, "") if self.ended is not None else "",
        }  # fmt: skip
