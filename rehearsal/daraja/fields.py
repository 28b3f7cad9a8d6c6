"""Checks of the fields of a request, as the gateway words its refusals (build sheet 2.3, 2.7 and 6.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rehearsal.simulation import loopback_address

from .gateway import Call, Refusal, bad_request
from .knobs import Knobs
from .parties import Merchant
from .world import World

Body = Mapping[str, Any]

_FORBIDDEN_WORDS = re.compile(
    r"m-?pesa|safaricom|exe|cmd|sql|query|ngrok|mockbin|requestbin", re.IGNORECASE
)  # build sheet 6.2


def plain(value: object) -> str:
    """Numbers may come as JSON numbers or strings (build sheet section 4); a decimal is neither."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def digits(body: Body, name: str, least: int, most: int) -> str:
    value = plain(body.get(name))
    if not re.fullmatch(rf"[0-9]{{{least},{most}}}", value):
        raise bad_request(name)
    return value


def own_merchant(call: Call, world: World, name: str) -> Merchant:
    """The app's own: by its PayBill, or by the store or till number (build sheet 6.1)."""
    merchant = world.merchants[call.app.shortcode]
    if digits(call.body, name, 5, 7) not in (merchant.shortcode, merchant.till):
        raise bad_request(name, "not a shortcode of this app")
    return merchant


def msisdn(body: Body, name: str) -> str:
    value = plain(body.get(name))
    if not re.fullmatch(r"254[17][0-9]{8}", value):
        raise bad_request(name)
    return value


def amount(body: Body) -> int:
    value = plain(body.get("Amount"))
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < 1:
        raise bad_request("Amount", "a whole number of shillings, 1 or more")
    return int(value)


def choice(body: Body, name: str, *choices: str) -> str:
    value = plain(body.get(name))
    if value not in choices:
        raise bad_request(name, f"one of {', '.join(choices)}")
    return value


def url(body: Body, name: str) -> str:
    """An address that the simulator can call; its words are another check."""
    value = body.get(name)
    address = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(address)
        usable = parts.scheme == "http" and parts.port != 0 and loopback_address(parts.hostname) is not None
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f\x7f-\U0010ffff]", address):
        raise bad_request(name, "the simulator calls plain http on loopback or *.localhost only")
    return address


def refuse_words(name: str, address: str, knobs: Knobs) -> None:
    """Build sheet 6.2; which code the live gateway uses is not documented, so it is a knob."""
    word = _FORBIDDEN_WORDS.search(address)
    if word is None or knobs.gateway_url_words == "lenient":
        return
    why = f"the {name} contains {word[0]!a}"
    if knobs.gateway_url_refusal == "400.002.02":
        raise bad_request(name, why)
    raise Refusal(400, "400.003.02", "Bad Request", why)
