"""Asks our RADIUS daemon whether it is alive: Status-Server (RFC 5997), a real packet over the wire."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket

_STATUS_SERVER, _ACCESS_ACCEPT = 12, 2
_MESSAGE_AUTHENTICATOR = 80


def answers(host: str, port: int, secret: str, timeout_seconds: float = 1.0) -> bool:
    """Whether a Status-Server signed with the secret is answered, by someone who knows the secret too."""
    identifier, authenticator = secrets.randbelow(256), secrets.token_bytes(16)
    head = bytes([_STATUS_SERVER, identifier]) + (38).to_bytes(2) + authenticator
    empty = bytes([_MESSAGE_AUTHENTICATOR, 18]) + bytes(16)
    signature = hmac.new(secret.encode(), head + empty, hashlib.md5).digest()
    request = head + empty[:2] + signature
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as wire:
        wire.settimeout(timeout_seconds)
        try:
            wire.connect((host, port))
            wire.send(request)
            reply = wire.recv(4096)
        except OSError:
            return False
    if len(reply) < 20 or reply[0] != _ACCESS_ACCEPT or reply[1] != identifier:
        return False
    expected = hashlib.md5(reply[:4] + authenticator + reply[20:] + secret.encode()).digest()  # noqa: S324 - RFC 2865 3
    return hmac.compare_digest(expected, reply[4:20])
