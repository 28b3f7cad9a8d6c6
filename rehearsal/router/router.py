"""One MikroTik router: people log in, RADIUS is asked, sessions run and end, the server's orders are obeyed."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from rehearsal.simulation import NotPossible, Unknown

from . import coa, packets
from .clock import Clock
from .hotspot import HotspotServer
from .journal import Journal
from .knobs import Knobs
from .packets import Box
from .people import (
    DEFAULT_POOLS,
    ERRORS,
    NO_ANSWER,
    NOT_ASKED,
    Credentials,
    Device,
    Outcome,
    Pools,
    invented_mac,
    read_mac,
    refused,
    require_loopback,
    with_password,
)
from .radio import Radio
from .session import (
    ADMIN_REBOOT,
    ADMIN_RESET,
    LOST_CARRIER,
    LOST_SERVICE,
    NAS_REQUEST,
    SESSION_TIMEOUT,
    USER_REQUEST,
    Policy,
    Session,
)
from .uplink import Uplink
from .wire import ACCESS_ACCEPT, Packet, Value

_SLACK = 0.001  # seconds; sums of bytes and rates do not come out even
_MOST_DEVICES = 200
# Sheet 3.8: a mac-cookie does not outlive these ends of its session.
_COOKIE_KILLERS = frozenset({USER_REQUEST, ADMIN_RESET, NAS_REQUEST, SESSION_TIMEOUT})
LOGIN_BY = ("mac", "mac-cookie", "http-chap", "http-pap")


class VirtualRouter:
    """A RouterOS-shaped NAS on its own loopback address. All methods are safe from any thread.

        with VirtualRouter("pendo", address="127.0.1.10", secret="s", radius=("127.0.0.1", 1812, 1813)) as router:
            router.join("02:00:00:00:00:01")
            outcome = router.login("02:00:00:00:00:01", "K7PM2QX9", "K7PM2QX9")

    `coa_port` and `hotspot_port` 0 take a free port, `hotspot_port` None serves no pages. `traffic` is what new
    devices use, (up, down) in bit/s. Without a `clock` the router brings its own.
    """

    def __init__(
        self, name: str, *, address: str, secret: str, radius: tuple[str, int, int], identifier: str = "",
        coa_port: int = 0, hotspot_port: int | None = 0, portal_url: str = "", tenant: str = "",
        clock: Clock | None = None, radio: Radio | None = None, journal: Journal | None = None,
        login_by: Iterable[str] = LOGIN_BY, mac_as_password: bool = True, mac_format: str = "XX:XX:XX:XX:XX:XX",
        pools: Mapping[str, str] | None = None, boot: int = 1, traffic: tuple[int, int] = (0, 0),
        knobs: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        require_loopback(address)
        require_loopback(radius[0])
        self.name, self.tenant, self.portal_url = name, tenant or name, portal_url
        self._wanted_ports = (coa_port, hotspot_port)
        self._owns_clock, self._owns_radio = clock is None, radio is None
        self.clock = clock or Clock()
        self.radio = radio or Radio()
        self.journal = journal or Journal(self.clock.iso)
        self.uplink = Uplink(
            name, address, secret, radius, self.clock, self.radio, self.journal, Knobs().changed(knobs or {})
        )
        self.box = Box(
            address, identifier or name, f"hs-{self.tenant}", self.tenant, f"http://{address}/logout", mac_format
        )
        self.login_by, self.mac_as_password, self.traffic = frozenset(login_by), mac_as_password, traffic
        self.pools = Pools({**DEFAULT_POOLS, **(pools or {})})
        self.devices: dict[str, Device] = {}
        self.history: deque[Session] = deque(maxlen=200)
        self.notes: deque[str] = deque(maxlen=50)
        self.up, self.coa_port, self.boot = False, 0, boot % 16
        self._sessions: dict[str, Session] = {}
        self._numbers: Counter[str] = Counter()
        self.hotspot: HotspotServer | None = None

    # -- life

    def serve(self) -> VirtualRouter:
        """Boot: open the CoA port and the hotspot pages, send Accounting-On. Raises OSError if a port is taken."""
        coa_port, hotspot_port = self._wanted_ports
        self.coa_port = self.uplink.listen(coa_port, lambda order: coa.obey(self, order))
        if hotspot_port is not None:
            self.hotspot = HotspotServer(self, hotspot_port)
            self.box = dataclasses.replace(self.box, logoff_url=f"{self.hotspot.url}/logout")
        with self.clock.lock:
            self.up = True
            self._whole_router("on")
        self.clock.attach(self)
        self.clock.start()
        return self

    def close(self, patience: float = 1.0) -> None:
        """Shut down in order: Stops, Accounting-Off, at most `patience` seconds for the answers."""
        with self.clock.lock:
            if self.up:
                self._go_down(ADMIN_REBOOT)
                self.uplink.flush()
        self.clock.detach(self)
        self.radio.wait_idle(patience)
        self.uplink.close()
        if self.hotspot is not None:
            self.hotspot.close()
        if self._owns_radio:
            self.radio.close()
        if self._owns_clock:
            self.clock.close()

    def __enter__(self) -> VirtualRouter:
        return self if self.up else self.serve()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def reboot(self, *, power_cut: bool = False) -> None:
        """Every session is gone. A power cut sends no Stop and no Accounting-Off (sheet 1.3: they never come)."""
        with self.clock.lock:
            self._go_down(None if power_cut else ADMIN_REBOOT)
            self.boot = (self.boot + 1) % 16
            self._numbers.clear()
            self.up = True
            self._whole_router("on")

    def _go_down(self, cause: int | None) -> None:
        for session in self.sessions():
            self.end(session, cause)
        for device in self.devices.values():
            if device.kind == "phone":
                self._off_air(device)
            device.redial_at = None
        self.up = False
        if cause is not None:
            self._whole_router("off")

    # -- devices

    def add_device(self, mac: str = "", name: str = "", kind: str = "phone", redial: float = 0.0) -> Device:
        """A phone or a home router within reach. An empty MAC is invented; a known one is returned."""
        if kind not in ("phone", "home"):
            raise ValueError(f"a device is a phone or a home router, not {kind!r}")
        address = read_mac(mac) if mac else invented_mac()
        with self.clock.lock:
            if address not in self.devices:
                if len(self.devices) >= _MOST_DEVICES:
                    raise NotPossible(f"the router has {_MOST_DEVICES} devices already")
                made = Device(address, name or f"{kind.title()} {len(self.devices) + 1}", kind, want=self.traffic)
                made.redial = redial
                self.devices[address] = made
            return self.devices[address]

    def device(self, mac: str) -> Device:
        with self.clock.lock:
            found = self.devices.get(read_mac(mac))
        if found is None:
            raise Unknown(f"there is no device {mac!r} at {self.name}")
        return found

    def sessions(self) -> list[Session]:
        """The open ones, oldest first."""
        with self.clock.lock:
            return list(self._sessions.values())

    def traffic_of(self, mac: str, up_bps: int, down_bps: int) -> None:
        """What the device would use from now on."""
        if min(up_bps, down_bps) < 0:
            raise ValueError("traffic is 0 or more")
        device = self.device(mac)
        with self.clock.lock:
            device.want = (int(up_bps), int(down_bps))
            if device.session is not None:
                device.session.count(self.clock.now())
                device.session.want = device.want
            self.clock.changed()

    def transfer(self, mac: str, upload: int = 0, download: int = 0) -> None:
        """Bytes in one go, whatever the rate limit."""
        device = self.device(mac)
        with self.clock.lock:
            if device.session is None:
                raise NotPossible("the device is not online")
            device.session.transfer(self.clock.now(), upload, download)
            self.clock.changed()

    # -- hotspot

    def join(self, mac: str) -> Outcome | None:
        """Join the Wi-Fi: MAC authentication, then the cookie (sheet 1.2). None: nothing was tried or needed."""
        with self.clock.lock:
            device = self.add_device(mac)
            self._running()
            if device.session is not None:
                return None
            if not device.joined:
                device.ip = self.pools.take("hotspot") or ""
                if not device.ip:
                    raise NotPossible(ERRORS["ippool-empty"])
            device.joined = True
        return self._greet(device)

    def _greet(self, device: Device) -> Outcome | None:
        outcome = None
        if "mac" in self.login_by:
            user = packets.write_mac(device.mac, self.box.mac_format)
            password = user if self.mac_as_password else ""
            outcome = self._login(device, with_password(user, password, self.knobs.auth_mac_protocol, "mac"))
        if (outcome is None or not outcome.ok) and device.cookie is not None and "mac-cookie" in self.login_by:
            outcome = self._login(device, dataclasses.replace(device.cookie, method="cookie"))
            if not outcome.ok:
                device.cookie = None
        return outcome

    def leave(self, mac: str) -> None:
        """Out of reach. The router notices at once, as if keepalive-timeout were nothing."""
        device = self.device(mac)
        with self.clock.lock:
            if device.session is not None:
                self.end(device.session, LOST_SERVICE)
            self._off_air(device)

    def login(self, mac: str, username: str, password: str, method: str = "pap") -> Outcome:
        """Interactive log-in of a device that has joined. Waits for RADIUS."""
        return self.login_with(mac, with_password(username, password, method))

    def login_with(self, mac: str, credentials: Credentials) -> Outcome:
        device, user = self.device(mac), credentials.user
        if not device.joined:
            raise NotPossible("the device is not on the Wi-Fi")
        if packets.looks_like_mac(user) and packets.plain_mac(user) != packets.plain_mac(device.mac):
            return self._told(device, refused("wrong-mac-username", user))
        if not user:
            return self._told(device, refused("invalid-username", user))
        outcome = self._login(device, credentials)
        if outcome.ok and "mac-cookie" in self.login_by:
            device.cookie = credentials
        return outcome

    def logout(self, mac: str) -> None:
        device = self.device(mac)
        with self.clock.lock:
            if device.session is None:
                raise NotPossible(ERRORS["not-logged-in"].format(ip=device.ip))
            self.end(device.session, USER_REQUEST)

    def _login(self, device: Device, credentials: Credentials) -> Outcome:
        with self.clock.lock:
            self._running()
            if device.session is not None:
                return Outcome(True, NOT_ASKED, session=device.session)
            if device.authorizing:
                return refused("auth-in-progress", credentials.user)
            candidate = self._candidate("hotspot", device, credentials, device.ip)
            future = self._authorize(device, candidate, credentials)
        return future.result()

    # -- PPPoE

    def dial(
        self, username: str, password: str, mac: str = "", method: str = "chap", redial: float | None = None
    ) -> Outcome:
        """Dial from a home router, which remembers the line. `redial`: seconds until it dials again when cut."""
        if not username:
            raise NotPossible("PPPoE needs a user name")
        with_password(username, password, method)
        device = self.add_device(mac, kind="home")
        with self.clock.lock:
            self._running()
            device.line = (username, password, method)
            device.redial = device.redial if redial is None else redial
            future = self._dial(device)
        return future.result()

    def dial_again(self, mac: str) -> Outcome:
        device = self.device(mac)
        if device.line is None:
            raise NotPossible("this device has never dialled")
        return self.dial(*device.line[:2], mac, device.line[2])

    def hang_up(self, mac: str) -> None:
        device = self.device(mac)
        with self.clock.lock:
            device.redial_at = None
            if device.session is not None:
                self.end(device.session, USER_REQUEST)

    def _dial(self, device: Device) -> Future[Outcome]:
        device.redial_at = None
        if device.session is not None:  # one-session-per-host (sheet 4.9 B): the new one wins
            self.end(device.session, LOST_CARRIER)
        credentials = with_password(*(device.line or ("", "", "pap")))
        return self._authorize(device, self._candidate("pppoe", device, credentials, ""), credentials)

    # -- asking RADIUS

    def _candidate(self, kind: str, device: Device, credentials: Credentials, ip: str) -> Session:
        return Session(
            self._new_id(kind), kind, credentials.user, device.mac, ip, ip, self.clock.now(), credentials.method,
            Policy(), want=device.want,
        )  # fmt: skip

    def _new_id(self, kind: str) -> str:
        """Sheet 1.4: two digits service, one per boot, five of a counter."""
        self._numbers[kind] += 1
        return f"{'80' if kind == 'hotspot' else '81'}{self.boot:x}{self._numbers[kind] & 0xFFFFF:05x}"

    def _authorize(self, device: Device, candidate: Session, credentials: Credentials) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        boot = self.boot

        def done(reply: Packet | None) -> None:
            try:
                with self.clock.lock:
                    device.authorizing = False
                    gone = boot != self.boot or not self.up or (candidate.kind == "hotspot" and not device.joined)
                    outcome = refused("shutting-down", "") if gone else self._decide(device, candidate, reply)
                    self._told(device, outcome)
            except Exception as error:  # someone is waiting for the outcome
                future.set_exception(error)
                raise
            future.set_result(outcome)

        self.uplink.ask(packets.access(self.box, candidate, credentials.proof), done)
        device.authorizing = True  # `done` waits for the lock that we hold
        return future

    def _decide(self, device: Device, candidate: Session, reply: Packet | None) -> Outcome:
        if reply is None:
            return dataclasses.replace(refused("radius-timeout", candidate.user), reply=NO_ANSWER)
        message = "".join(str(part) for part in reply.all("Reply-Message"))
        self.uplink.stats["accepts" if reply.code == ACCESS_ACCEPT else "rejects"] += 1
        if reply.code != ACCESS_ACCEPT:
            return Outcome(False, reply.name, message or ERRORS["invalid-username"], message)
        session, problem = self._admitted(candidate, reply, message)
        if session is None:
            return dataclasses.replace(refused(problem, candidate.user), reply=reply.name, message=message)
        device.session, self._sessions[session.id] = session, session
        if session.kind == "pppoe":
            device.ip, device.joined = session.ip, True
        self._account("start", session)
        self.clock.changed()
        return Outcome(True, reply.name, message=message, session=session)

    def _admitted(self, candidate: Session, reply: Packet, message: str) -> tuple[Session | None, str]:
        """The session that the Accept opens, or the key of the error that stops it on the router itself."""
        policy = Policy()
        policy.take(reply)
        limit = policy.port_limit if candidate.kind == "hotspot" else None
        others = [s for s in self._sessions.values() if s.user == candidate.user and s.kind == "hotspot"]
        if limit is not None and len(others) >= limit:
            return None, "user-session-limit"
        ip = self._framed_ip(candidate, reply)
        if not ip:
            return None, "ippool-empty"
        opened = dataclasses.replace(
            candidate, started=self.clock.now(), ip=ip, host_ip=candidate.host_ip or ip, policy=policy,
            classes=tuple(reply.octets("Class")), interim=reply.number("Acct-Interim-Interval") or 0, message=message,
        )  # fmt: skip
        return opened, ""

    def _framed_ip(self, candidate: Session, reply: Packet) -> str | None:
        """Sheet 1.5: Framed-IP-Address beats Framed-Pool, 127/8 and 224/3 mean the profile's pool."""
        given, pool = reply.text("Framed-IP-Address"), reply.text("Framed-Pool")
        if given and not (ipaddress.IPv4Address(given).is_loopback or int(given.partition(".")[0]) >= 224):
            return given
        if pool:
            return self.pools.take(pool)
        return candidate.ip or self.pools.take("pppoe")

    # -- accounting

    def _account(self, status: str, session: Session) -> None:
        number, swap = packets.STATUS[status], self.knobs.acct_swap_octets
        self.uplink.record(status, packets.accounting(self.box, session, number, self.clock.now(), swap=swap))

    def _whole_router(self, status: str) -> None:
        if self.knobs.acct_on_off:
            number = packets.STATUS[status]
            self.uplink.record(status, packets.whole_router(self.box, number, self.clock.now(), self.boot))

    def end(self, session: Session, cause: int | None) -> None:
        """End an open session and tell RADIUS; None tells nobody. Called with the lock held."""
        now = self.clock.now()
        session.count(now)
        session.ended, session.cause = now, cause or 0
        del self._sessions[session.id]
        self.history.append(session)
        device = self.devices[session.mac]
        device.session = None
        if cause in _COOKIE_KILLERS:
            device.cookie = None
        if session.ip != device.ip or session.kind == "pppoe":
            self.pools.give_back(session.ip)
        if session.kind == "pppoe":
            device.ip, device.joined = "", False
            device.redial_at = now + device.redial if device.redial and cause != USER_REQUEST else None
        if cause is not None:
            self._account("stop", session)
        self.clock.changed()

    def identity(self, session: Session) -> list[tuple[str, Value]]:
        """What the router calls this session in its packets."""
        return list(packets.accounting(self.box, session, packets.START, self.clock.now()))

    # -- time (clock.Timed)

    def due(self) -> float | None:
        moments = [min(session.end()[0], session.next_interim) for session in self._sessions.values()]
        moments += [device.redial_at for device in self.devices.values() if device.redial_at is not None]
        return min(moments, default=None)

    def perform(self, now: float) -> None:
        for session in self.sessions():
            session.count(now)
            moment, cause = session.end()
            if moment <= now + _SLACK:
                self.end(session, cause)
            elif session.next_interim <= now + _SLACK:
                session.next_interim += session.interim
                self._account("interim", session)
        for device in list(self.devices.values()):
            if device.redial_at is not None and device.redial_at <= now + _SLACK:
                self._dial(device)

    def settle(self) -> None:
        if any(device.authorizing for device in self.devices.values()):
            self.radio.wait_idle()
        self.radio.wait_room()

    def advance(self, seconds: float) -> None:
        """Let virtual time pass on this router's clock; returns when the packets that it caused are off the wire."""
        self.clock.advance(seconds)
        self.wait_idle()

    def wait_idle(self, timeout: float = 10.0) -> bool:
        return self.radio.wait_idle(timeout)

    @property
    def knobs(self) -> Knobs:
        return self.uplink.knobs

    def set_knobs(self, knobs: Mapping[str, object]) -> None:
        """`{"acct.lose": ["stop"]}`; see knobs.py. Raises BadKnob and changes nothing if one is wrong."""
        with self.clock.lock:
            self.uplink.set_knobs(knobs)

    def reset_knobs(self) -> None:
        """Every knob to its default."""
        self.set_knobs(Knobs().as_json())

    # -- small things

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.journal.write(router=self.name, direction="note", remark=text)

    def _running(self) -> None:
        if not self.up:
            raise NotPossible("the router is off")

    def _off_air(self, device: Device) -> None:
        self.pools.give_back(device.ip)
        device.joined, device.ip, device.challenge = False, "", None

    @staticmethod
    def _told(device: Device, outcome: Outcome) -> Outcome:
        device.last = outcome
        return outcome

    def as_json(self) -> dict[str, Any]:
        with self.clock.lock:
            return {
                "name": self.name, "tenant": self.tenant, "address": self.box.address, "up": self.up,
                "identifier": self.box.identifier, "coa_port": self.coa_port, "boot": self.boot,
                "hotspot_url": self.hotspot.url if self.hotspot else None, "portal_url": self.portal_url,
                "radius": list(self.uplink.server), "sessions": len(self._sessions), "stats": dict(self.uplink.stats),
                "notes": list(self.notes),
            }  # fmt: skip
