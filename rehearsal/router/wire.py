"""RADIUS on the wire: RFC 2865, 2866, 2869, 5176 and the Message-Authenticator rules of sheet 1.9.

Written for this simulator alone. The product decodes with pyrad, so a router that did too would share its mistakes.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT = 1, 2, 3
ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 4, 5
DISCONNECT_REQUEST, DISCONNECT_ACK, DISCONNECT_NAK = 40, 41, 42
COA_REQUEST, COA_ACK, COA_NAK = 43, 44, 45
CODES = {
    1: "Access-Request", 2: "Access-Accept", 3: "Access-Reject", 4: "Accounting-Request", 5: "Accounting-Response",
    11: "Access-Challenge", 40: "Disconnect-Request", 41: "Disconnect-ACK", 42: "Disconnect-NAK", 43: "CoA-Request",
    44: "CoA-ACK", 45: "CoA-NAK",
}  # fmt: skip
REPLIES = {ACCESS_REQUEST: (ACCESS_ACCEPT, ACCESS_REJECT), ACCOUNTING_REQUEST: (ACCOUNTING_RESPONSE,)}
MESSAGE_AUTHENTICATOR, VENDOR_SPECIFIC, LONGEST = 80, 26, 4096

Value = int | str | bytes
Attributes = Sequence[tuple[str, Value]]

# Sheet appendix A, what the simulator sends or honours: name, number or vendor/number, kind.
_TABLE = """
User-Name 1 text, User-Password 2 octets, CHAP-Password 3 octets, NAS-IP-Address 4 address, NAS-Port 5 integer,
Service-Type 6 integer, Framed-Protocol 7 integer, Framed-IP-Address 8 address, Framed-IP-Netmask 9 address,
Filter-Id 11 text, Reply-Message 18 text, Framed-Route 22 text, State 24 octets, Class 25 octets,
Session-Timeout 27 integer, Idle-Timeout 28 integer, Called-Station-Id 30 text, Calling-Station-Id 31 text,
NAS-Identifier 32 text, Proxy-State 33 octets, Acct-Status-Type 40 integer, Acct-Delay-Time 41 integer,
Acct-Input-Octets 42 integer, Acct-Output-Octets 43 integer, Acct-Session-Id 44 text, Acct-Authentic 45 integer,
Acct-Session-Time 46 integer, Acct-Input-Packets 47 integer, Acct-Output-Packets 48 integer,
Acct-Terminate-Cause 49 integer, Acct-Input-Gigawords 52 integer, Acct-Output-Gigawords 53 integer,
Event-Timestamp 55 integer, CHAP-Challenge 60 octets, NAS-Port-Type 61 integer, Port-Limit 62 integer,
Message-Authenticator 80 octets, Acct-Interim-Interval 85 integer, NAS-Port-Id 87 text, Framed-Pool 88 text,
Error-Cause 101 integer,
Mikrotik-Recv-Limit 14988/1 integer, Mikrotik-Xmit-Limit 14988/2 integer, Mikrotik-Group 14988/3 text,
Mikrotik-Rate-Limit 14988/8 text, Mikrotik-Realm 14988/9 text, Mikrotik-Host-IP 14988/10 address,
Mikrotik-Mark-Id 14988/11 text, Mikrotik-Advertise-URL 14988/12 text, Mikrotik-Advertise-Interval 14988/13 integer,
Mikrotik-Recv-Limit-Gigawords 14988/14 integer, Mikrotik-Xmit-Limit-Gigawords 14988/15 integer,
Mikrotik-Total-Limit 14988/17 integer, Mikrotik-Total-Limit-Gigawords 14988/18 integer,
Mikrotik-Address-List 14988/19 text, WISPr-Location-ID 14122/1 text, WISPr-Location-Name 14122/2 text,
WISPr-Logoff-URL 14122/3 text, WISPr-Redirection-URL 14122/4 text, Ascend-Data-Rate 529/197 integer,
Ascend-Xmit-Rate 529/255 integer
"""


@dataclass(frozen=True)
class _Kind:
    vendor: int
    number: int
    form: str


def _read_table() -> dict[str, _Kind]:
    table = {}
    for entry in _TABLE.replace("\n", " ").split(","):
        name, number, form = entry.split()
        vendor, _, own = number.rpartition("/")
        table[name] = _Kind(int(vendor or 0), int(own), form)
    return table


KINDS = _read_table()
_NAMES = {(kind.vendor, kind.number): name for name, kind in KINDS.items()}


class BadPacket(ValueError):
    """What the router throws away; the message says why."""


@dataclass(frozen=True)
class Packet:
    code: int
    identifier: int
    authenticator: bytes
    attributes: tuple[tuple[str, Value], ...]
    raw: bytes = field(repr=False)

    @property
    def name(self) -> str:
        return CODES.get(self.code, f"code {self.code}")

    def all(self, name: str) -> list[Value]:
        return [value for known, value in self.attributes if known == name]

    def number(self, name: str) -> int | None:
        return next((value for value in self.all(name) if isinstance(value, int)), None)

    def text(self, name: str) -> str | None:
        return next((value for value in self.all(name) if isinstance(value, str)), None)

    def octets(self, name: str) -> list[bytes]:
        return [value for value in self.all(name) if isinstance(value, bytes)]


# -- attributes


def _pack(name: str, value: Value) -> bytes:
    kind = KINDS[name]
    if kind.form == "integer":
        content = struct.pack("!I", value)
    elif kind.form == "address":
        content = ipaddress.IPv4Address(value).packed
    else:
        content = value if isinstance(value, bytes) else str(value).encode()
    if kind.vendor:
        content = struct.pack("!IBB", kind.vendor, kind.number, len(content) + 2) + content
    if len(content) > 253:
        raise ValueError(f"{name} is longer than RADIUS allows")
    return bytes((VENDOR_SPECIFIC if kind.vendor else kind.number, len(content) + 2)) + content


def _unpack(vendor: int, number: int, content: bytes) -> tuple[str, Value]:
    name = _NAMES.get((vendor, number), f"Attr-{vendor}/{number}" if vendor else f"Attr-{number}")
    form = KINDS[name].form if name in KINDS else "octets"
    if form in ("integer", "address"):
        if len(content) != 4:
            raise BadPacket(f"{name} must have 4 octets, not {len(content)}")
        return name, int.from_bytes(content, "big") if form == "integer" else str(ipaddress.IPv4Address(content))
    return name, content.decode("utf-8", "replace") if form == "text" else content


def _split(data: bytes, least: int = 2) -> list[tuple[int, bytes]]:
    """Type, length, value (RFC 2865 section 5)."""
    found, at = [], 0
    while at < len(data):
        size = data[at + 1] if at + 2 <= len(data) else 0
        if size < least or at + size > len(data):
            raise BadPacket(f"attribute {data[at]} has a wrong length")
        found.append((data[at], data[at + 2 : at + size]))
        at += size
    return found


def parse(raw: bytes) -> Packet:
    """Raises BadPacket for anything that RFC 2865 section 3 says to discard."""
    if len(raw) < 20:
        raise BadPacket("shorter than a header")
    code, identifier, length = struct.unpack_from("!BBH", raw)
    if not 20 <= length <= min(len(raw), LONGEST):
        raise BadPacket(f"length field {length} does not fit {len(raw)} octets")
    raw = raw[:length]
    attributes: list[tuple[str, Value]] = []
    for number, content in _split(raw[20:]):
        if number == VENDOR_SPECIFIC and len(content) > 4:
            vendor = int.from_bytes(content[:4], "big")
            attributes += [_unpack(vendor, own, value) for own, value in _split(content[4:])]
        else:
            attributes.append(_unpack(0, number, content))
    return Packet(code, identifier, raw[4:20], tuple(attributes), raw)


# -- digests


def _header(code: int, identifier: int, body: bytes) -> bytes:
    return struct.pack("!BBH", code, identifier, 20 + len(body))


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b"".join(parts)).digest()  # noqa: S324 - the protocol's own digest


def _signature(secret: bytes, head: bytes, authenticator: bytes, body: bytes) -> bytes:
    """RFC 2869 5.14; the body holds a Message-Authenticator of sixteen zeros."""
    return hmac.new(secret, head + authenticator + body, "md5").digest()


def _signed(secret: bytes, head: bytes, authenticator: bytes, before: bytes, after: bytes) -> bytes:
    """The body with a Message-Authenticator between its two parts."""
    at = len(before) + 2
    blank = before + bytes((MESSAGE_AUTHENTICATOR, 18)) + bytes(16) + after
    return blank[:at] + _signature(secret, head, authenticator, blank) + blank[at + 16 :]


def _signature_holds(raw: bytes, authenticator: bytes, secret: bytes) -> bool | None:
    """None: the packet carries no Message-Authenticator."""
    at = 20
    while at < len(raw):
        number, size = raw[at], raw[at + 1]
        if number == MESSAGE_AUTHENTICATOR:
            if size != 18:
                return False
            blank = raw[20 : at + 2] + bytes(16) + raw[at + 18 :]
            return hmac.compare_digest(raw[at + 2 : at + 18], _signature(secret, raw[:4], authenticator, blank))
        at += size
    return None


def hide_password(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """User-Password, RFC 2865 5.2. Raises ValueError over 128 octets."""
    if len(password) > 128:
        raise ValueError("a password has at most 128 octets")
    padded = password + bytes(-len(password) % 16) if password else bytes(16)
    hidden, last = b"", authenticator
    for at in range(0, len(padded), 16):
        mask = _md5(secret, last)
        last = bytes(a ^ b for a, b in zip(padded[at : at + 16], mask, strict=True))
        hidden += last
    return hidden


def chap_response(identifier: int, password: bytes, challenge: bytes) -> bytes:
    """CHAP-Password (RFC 2865 5.3): the identifier and MD5 of identifier, password and challenge (RFC 1994)."""
    return bytes((identifier,)) + _md5(bytes((identifier,)), password, challenge)


# -- what the router sends


def access_request(identifier: int, attributes: Attributes, secret: bytes, sign: str = "sent") -> bytes:
    """User-Password is given in clear and sent hidden; Message-Authenticator comes last (sheet 1.2).

    `sign` is "sent", "absent" or "wrong".
    """
    authenticator, body = os.urandom(16), b""
    for name, value in attributes:
        if name == "User-Password" and isinstance(value, bytes):
            value = hide_password(value, secret, authenticator)
        body += _pack(name, value)
    if sign != "absent":
        head = struct.pack("!BBH", ACCESS_REQUEST, identifier, 20 + len(body) + 18)
        body = _signed(secret if sign == "sent" else secret + b"?", head, authenticator, body, b"")
    return _header(ACCESS_REQUEST, identifier, body) + authenticator + body


def accounting_request(identifier: int, attributes: Attributes, secret: bytes) -> bytes:
    """RFC 2866 section 3. RouterOS signs none of them (sheet 1.3)."""
    body = b"".join(_pack(name, value) for name, value in attributes)
    head = _header(ACCOUNTING_REQUEST, identifier, body)
    return head + _md5(head, bytes(16), body, secret) + body


def check_reply(raw: bytes, request: bytes, secret: bytes, signature: str = "first") -> Packet:
    """A reply to `request` that the router believes. Raises BadPacket.

    `signature` for Access-*: "first" as RouterOS 7.15+ is taken to be (sheet 1.9, 5), "any" place, or "no".
    """
    reply = parse(raw)
    if reply.identifier != request[1]:
        raise BadPacket("the identifier is that of another request")
    if reply.code not in REPLIES[request[0]]:
        raise BadPacket(f"a {reply.name} is no answer to this request")
    asked = request[4:20]
    if not hmac.compare_digest(reply.authenticator, _md5(reply.raw[:4], asked, reply.raw[20:], secret)):
        raise BadPacket("wrong Response Authenticator (another shared secret?)")
    if request[0] != ACCESS_REQUEST or signature == "no":
        return reply
    holds = _signature_holds(reply.raw, asked, secret)
    if not holds:
        raise BadPacket("no Message-Authenticator" if holds is None else "wrong Message-Authenticator")
    if signature == "first" and reply.attributes[0][0] != "Message-Authenticator":
        raise BadPacket("Message-Authenticator is not the first attribute")
    return reply


# -- what the router is asked (RFC 5176)


def check_order(raw: bytes, secret: bytes, *, need_signature: bool) -> Packet:
    """A Disconnect- or CoA-Request that the router believes. Raises BadPacket: stay silent then (RFC 5176 3.5)."""
    order = parse(raw)
    if order.code not in (DISCONNECT_REQUEST, COA_REQUEST):
        raise BadPacket(f"a {order.name} on the CoA port")
    if not hmac.compare_digest(order.authenticator, _md5(order.raw[:4], bytes(16), order.raw[20:], secret)):
        raise BadPacket("wrong Request Authenticator (another shared secret?)")
    holds = _signature_holds(order.raw, bytes(16), secret)
    if holds is False or (need_signature and not holds):
        raise BadPacket("no Message-Authenticator" if holds is None else "wrong Message-Authenticator")
    return order


def answer_order(order: Packet, code: int, attributes: Attributes, secret: bytes) -> bytes:
    """ACK or NAK: Proxy-State goes back as it came (RFC 5176 3.1); signed when the order was."""
    listed = [*attributes, *((name, value) for name, value in order.attributes if name == "Proxy-State")]
    body = b"".join(_pack(name, value) for name, value in listed)
    if order.all("Message-Authenticator"):
        head = struct.pack("!BBH", code, order.identifier, 20 + len(body) + 18)
        body = _signed(secret, head, order.authenticator, b"", body)
    head = _header(code, order.identifier, body)
    return head + _md5(head, order.authenticator, body, secret) + body


def malformed(form: str, genuine: bytes) -> bytes:
    """A broken relative of a genuine request, for the knob `radius.malformed`."""
    head, rest = genuine[:2], genuine[4:]
    return {
        "empty": b"",
        "short": genuine[:19],
        "length_beyond": head + struct.pack("!H", len(genuine) + 40) + rest,
        "length_short": head + struct.pack("!H", 12) + rest,
        "attribute_zero": head + struct.pack("!H", len(genuine) + 2) + rest + bytes((1, 0)),
        "attribute_beyond": head + struct.pack("!H", len(genuine) + 2) + rest + bytes((1, 200)),
        "garbage": os.urandom(64),
        "oversized": head + struct.pack("!H", 5000) + rest + bytes(5000 - len(genuine)),
    }[form]


MALFORMED = (
    "empty", "short", "length_beyond", "length_short", "attribute_zero", "attribute_beyond", "garbage", "oversized",
)  # fmt: skip
