"""The purchases that were begun in this browser, by name. Whoever knows a name may see that purchase and use what its
payments left (tenants/checkout/balance.py), so the cookie is this host's alone and no script reads it.

A captive browser may keep no cookies: there the page of a purchase carries its name back to the shop, as `with`.
"""

from __future__ import annotations

import re

from flask import current_app, request
from werkzeug import Response

_NAME = re.compile(r"[0-9a-f]{32}")
_MOST = 8
_KEPT_SECONDS = 90 * 24 * 3600


def names() -> tuple[str, ...]:
    """The latest first. All of it is a stranger's word, and proves what it proves only by naming what exists."""
    carried, kept = request.args.get("with", ""), request.cookies.get(_cookie(), "")
    found = [name for name in (carried, *kept[: 33 * _MOST].split(".")) if _NAME.fullmatch(name)]
    return tuple(dict.fromkeys(found))[:_MOST]


def carried() -> list[tuple[str, str]]:
    """What keeps the name in an address that had one, for a browser without cookies."""
    name = request.args.get("with", "")
    return [("with", name)] if _NAME.fullmatch(name) else []


def keep(response: Response, nonce: str) -> Response:
    """Adds a purchase to those of this browser."""
    latest = dict.fromkeys((nonce, *names()))
    response.set_cookie(
        _cookie(),
        ".".join(list(latest)[:_MOST]),
        max_age=_KEPT_SECONDS,
        secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
        httponly=True,
        samesite="Lax",
    )
    return response


def _cookie() -> str:
    return "__Host-wavu-bought" if current_app.config["SESSION_COOKIE_SECURE"] else "wavu-bought"
