"""A small RADIUS server and a sender of orders on pyrad, so that the simulator's own codec meets another one."""

from __future__ import annotations

import hashlib
import hmac
import io
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyrad import packet
from pyrad.dictionary import Dictionary

from rehearsal.router import VirtualRouter

SECRET = "a secret of this router"
PHONE = "02:AA:BB:CC:DD:01"
OTHER = "02:AA:BB:CC:DD:02"

DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE CHAP-Password 3 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Class 25 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Idle-Timeout 28 integer
ATTRIBUTE Called-Station-Id 30 string
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Proxy-State 33 octets
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Input-Packets 47 integer
ATTRIBUTE Acct-Output-Packets 48 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Acct-Input-Gigawords 52 integer
ATTRIBUTE Acct-Output-Gigawords 53 integer
ATTRIBUTE Event-Timestamp 55 date
ATTRIBUTE CHAP-Challenge 60 octets
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Port-Limit 62 integer
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE Acct-Interim-Interval 85 integer
ATTRIBUTE NAS-Port-Id 87 string
ATTRIBUTE Framed-Pool 88 string
ATTRIBUTE Error-Cause 101 integer
VENDOR Mikrotik 14988
BEGIN-VENDOR Mikrotik
ATTRIBUTE Mikrotik-Recv-Limit 1 integer
ATTRIBUTE Mikrotik-Xmit-Limit 2 integer
ATTRIBUTE Mikrotik-Rate-Limit 8 string
ATTRIBUTE Mikrotik-Host-IP 10 ipaddr
ATTRIBUTE Mikrotik-Total-Limit 17 integer
ATTRIBUTE Mikrotik-Total-Limit-Gigawords 18 integer
ATTRIBUTE Mikrotik-Address-List 19 string
END-VENDOR Mikrotik
VENDOR WISPr 14122
BEGIN-VENDOR WISPr
ATTRIBUTE WISPr-Logoff-URL 3 string
END-VENDOR WISPr
"""
NAMES = Dictionary(io.StringIO(DICTIONARY))


@dataclass
class Request:
    """One datagram that arrived, decoded by pyrad."""

    raw: bytes
    peer: tuple[str, int]
    code: int
    values: dict[str, Any]
    order: list[str]
    packet: Any = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.values[name][0]


class RadiusServer:
    """Accepts `users` (name to password) with `replies` (name to attributes), and keeps everything it got.

    `deaf` datagrams are not answered; `signature` spoils the Message-Authenticator of answers: last, absent or wrong.
    """

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.replies: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, str] = {}
        self.deaf, self.signature, self.secret = 0, "first", SECRET.encode()
        self.access: list[Request] = []
        self.records: list[Request] = []
        self.faults: list[str] = []
        self._sockets = [self._bound(), self._bound()]
        self.ports = [s.getsockname()[1] for s in self._sockets]
        self._stop, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int, int]:
        return "127.0.0.1", self.ports[0], self.ports[1]

    def records_of(self, status: int) -> list[Request]:
        return [record for record in self.records if record["Acct-Status-Type"] == status]

    def close(self) -> None:
        self._stop.send(b"!")
        self._thread.join(timeout=5)
        for plug in (*self._sockets, self._stop, self._ended):
            plug.close()

    @staticmethod
    def _bound() -> socket.socket:
        plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plug.bind(("127.0.0.1", 0))
        return plug

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for plug, take in zip(self._sockets, (self._take_access, self._take_record), strict=True):
                selector.register(plug, selectors.EVENT_READ, take)
            selector.register(self._ended, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    self._take(key.fileobj, key.data)

    def _take(self, plug: Any, take: Callable[[bytes, tuple[str, int]], bytes | None]) -> None:
        raw, peer = plug.recvfrom(65535)
        try:
            answer = take(raw, peer)
        except packet.PacketError as error:
            self.faults.append(f"{error}")
            return
        if self.deaf:
            self.deaf -= 1
        elif answer is not None:
            plug.sendto(answer, peer)

    def _take_access(self, raw: bytes, peer: tuple[str, int]) -> bytes | None:
        asked = packet.AuthPacket(packet=raw, secret=self.secret, dict=NAMES)
        if 80 not in asked or not asked.verify_message_authenticator():
            self.faults.append("no Message-Authenticator" if 80 not in asked else "wrong Message-Authenticator")
            return None
        request = _request(raw, peer, asked)
        self.access.append(request)
        user = request["User-Name"]
        reply = asked.CreateReply()
        good = user in self.users and self._proves(asked, self.users[user])
        reply.code = packet.AccessAccept if good else packet.AccessReject
        for name, value in (self.replies.get(user, {}) if good else {}).items():
            for one in value if isinstance(value, list) else [value]:
                reply.AddAttribute(name, one)
        if not good and user in self.refusals:
            reply["Reply-Message"] = self.refusals[user]
        return self._spoilt(reply.ReplyPacket(), raw[4:20])

    @staticmethod
    def _proves(asked: Any, password: str) -> bool:
        if 3 in asked:
            return bool(asked.VerifyChapPasswd(password.encode()))
        return 2 in asked and asked.PwDecrypt(asked[2][0]) == password

    def _take_record(self, raw: bytes, peer: tuple[str, int]) -> bytes | None:
        record = packet.AcctPacket(packet=raw, secret=self.secret, dict=NAMES)
        if not record.VerifyAcctRequest():
            self.faults.append("wrong accounting authenticator")
            return None
        self.records.append(_request(raw, peer, record))
        answer: bytes = record.CreateReply().ReplyPacket()
        return answer

    def _spoilt(self, raw: bytes, asked: bytes) -> bytes:
        """Digests by hand, since pyrad signs as it should."""
        if self.signature == "first":
            return raw
        assert raw[20:22] == bytes((80, 18))
        rest, signature = raw[38:], raw[22:38]
        if self.signature == "absent":
            body = rest
        elif self.signature == "wrong":
            body = raw[20:22] + bytes(16) + rest
        else:
            head = raw[:4] + asked + rest + bytes((80, 18)) + bytes(16)
            signature = hmac.new(self.secret, head, "md5").digest()
            body = rest + bytes((80, 18)) + signature
        head = raw[:2] + (20 + len(body)).to_bytes(2, "big")
        return head + hashlib.md5(head + asked + body + self.secret).digest() + body  # noqa: S324 - RFC 2865


def impatient(router: VirtualRouter, seconds: float = 0.03) -> None:
    """For tests in which the router gives up; elsewhere a loaded machine must not make it repeat itself."""
    router.set_knobs({"radius.timeout": seconds})


def soon(true: Callable[[], bool]) -> bool:
    """Whether it comes true: the last datagram of a router that gave up may still wait to be read."""
    deadline = time.monotonic() + 2
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def _request(raw: bytes, peer: tuple[str, int], decoded: Any) -> Request:
    order = [str(name) for name in decoded.keys()]  # noqa: SIM118 - pyrad decodes names in keys() only
    return Request(raw, peer, decoded.code, {name: decoded[name] for name in decoded.keys()}, order, decoded)  # noqa: SIM118


def order(
    router: VirtualRouter, code: int, attributes: dict[str, Any], *, secret: str = SECRET, signed: bool = True,
    wait: float = 2.0, times: int = 1,
) -> Any:  # fmt: skip
    """Send a Disconnect- or CoA-Request from the server's address; the answer as pyrad checks it, or None."""
    asked = packet.CoAPacket(code=code, secret=secret.encode(), dict=NAMES)
    for name, value in attributes.items():
        asked[name] = value
    if signed:
        asked.add_message_authenticator()
    raw = asked.RequestPacket()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.bind(("127.0.0.1", 0))
        plug.settimeout(wait)
        for _ in range(times):
            plug.sendto(raw, (router.box.address, router.coa_port))
            try:
                answer = plug.recv(4096)
            except TimeoutError:
                return None
        reply = packet.CoAPacket(packet=answer, secret=secret.encode(), dict=NAMES)
        assert asked.VerifyReply(reply, answer, enforce_ma=signed)
        return reply
