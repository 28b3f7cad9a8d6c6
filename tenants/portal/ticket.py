"""The one hidden field of the pay form: what the page knew when it was shown, signed. And the way back of a form that
is refused: what was typed and what is wrong with it, enciphered in the page's address for a few minutes.

The field takes the place of a cookie with a CSRF token. The small browser that opens by itself on an iPhone keeps no
cookies, so that check would lock those customers out; and there is no signed-in state here that a foreign site could
abuse: the form does nothing but ask the phone whose number is typed in, which anyone can do. What must hold is that
the form is ours, young and this host's, and that sending it twice is one purchase: the signature with its time and
the nonce inside see to that. Browsers that say where a form comes from (Sec-Fetch-Site) are believed on top.

And the link that connects a device whose purchase another browser holds: signed too, and no secret is in it.
"""

from __future__ import annotations

import base64
import functools
import hmac
import json
import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from flask import current_app, g, request
from itsdangerous import (
    BadData,
    Serializer,
    SignatureExpired,
    TimestampSigner,
    URLSafeTimedSerializer,
    base64_encode,
)

from config import Settings
from wavu import clock

MAX_AGE = 3600
_COVERED_SECONDS = 300


class _Signer(TimestampSigner):
    def get_timestamp(self) -> int:
        return int(clock.now().timestamp())


class _Serializer(URLSafeTimedSerializer):
    def dump_payload(self, obj: Any) -> bytes:
        """As it is: a ticket is too short for the compression that would be tried first, at each page."""
        return base64_encode(Serializer.dump_payload(self, obj))


class Ticket(NamedTuple):
    """`nonce` is the purchase's name; `shelf` stands for the packages and prices that the page showed."""

    nonce: str
    shelf: str
    mac: str | None
    login_url: str | None
    original_url: str | None


class Opened(NamedTuple):
    """`ticket` is None for a forgery, or one of another host's; a stale one still tells which router was meant."""

    ticket: Ticket | None
    fresh: bool


class Pass(NamedTuple):
    """Lets one device of a purchase through one router, and do nothing else with it."""

    purchase_id: UUID
    mac: str
    login_url: str
    original_url: str | None


def new_nonce() -> str:
    """128 random bits. Whoever knows it may see the purchase, and nobody else."""
    return secrets.token_hex(16)


def seal(ticket: Ticket) -> str:
    return str(_serializer().dumps(list(ticket)))


def unseal(text: str) -> Opened:
    try:
        return Opened(Ticket(*_serializer().loads(text, max_age=MAX_AGE)), True)
    except SignatureExpired as stale:
        payload = _serializer().load_payload(stale.payload) if stale.payload else None
        return Opened(Ticket(*payload) if payload else None, False)
    except BadData:
        return Opened(None, False)


def sign_pass(to: Pass) -> str:
    """For an address. Whoever has it can read it."""
    return str(_passes().dumps([str(to.purchase_id), *to[1:]]))


def read_pass(text: str) -> Pass | None:
    """None for what is not ours, another host's or older than MAX_AGE."""
    try:
        purchase_id, *rest = _passes().loads(text, max_age=MAX_AGE)
    except BadData:
        return None
    return Pass(UUID(purchase_id), *rest)


def is_from_elsewhere() -> bool:
    """Whether the browser says that another site sent this form; ISPs of one domain are other sites to each other."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}


def cover(said: Iterable[str | None]) -> str:
    """Enciphered, not only signed: a phone number is among it, and addresses are kept in histories and logs."""
    return _cipher().encrypt_at_time(json.dumps(list(said)).encode(), int(clock.now().timestamp())).decode()


def uncover(text: str) -> list[Any] | None:
    """None for what is not ours, another host's or too old."""
    try:
        return list(json.loads(_cipher().decrypt_at_time(text, _COVERED_SECONDS, int(clock.now().timestamp()))))
    except (InvalidToken, ValueError):
        return None


def _serializer() -> URLSafeTimedSerializer:
    return _made(_secret(), f"portal-form|{_here()}")


def _passes() -> URLSafeTimedSerializer:
    return _made(_secret(), f"portal-pass|{_here()}")


def _cipher() -> Fernet:
    return _keyed(_secret(), f"portal-said|{_here()}")


def _secret() -> str:
    settings: Settings = current_app.extensions["settings"]
    return settings.secret_key.get_secret_value()


def _here() -> str:
    return f"{g.site.host}|{g.site.tenant_id}"


@functools.lru_cache(1000)
def _made(key: str, salt: str) -> URLSafeTimedSerializer:
    return _Serializer(key, salt=salt, signer=_Signer)


@functools.lru_cache(1000)
def _keyed(key: str, salt: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hmac.digest(key.encode(), salt.encode(), "sha256")))
