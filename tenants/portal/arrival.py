"""What a hotspot's router sends along with a phone (mac, ip, srv, lo, dst, err). All of it is a stranger's word.

`lo` decides where a phone goes with a log-in code, so it must be the log-in address of one of this ISP's own routers,
letter for letter. `dst` is only ever a link that a person may follow, and names its host. `ip` and `srv` are not used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from tenants.subscribers import normalise_mac
from wavu.errors import N_, Refused

_PLAIN = re.compile(r"https?://[\x21-\x5b\x5d-\x7e]{1,1000}", re.IGNORECASE)
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*\.?")
_PURCHASE = re.compile(r"/w/([0-9a-f]{32})")
# Where phones and laptops ask whether they are online: nobody wants to read those.
_PROBES = re.compile(
    r"(^|\.)(captive\.apple\.com|connectivitycheck\.\w+\.com|connectivity-check\.\w+\.com|gstatic\.com"
    r"|clients3\.google\.com|msftconnecttest\.com|msftncsi\.com|detectportal\.firefox\.com|nmcheck\.gnome\.org)$"
)


class UnknownRouter(Refused):
    message = N_(
        "This page was opened with a log-in address that is not one of ours, so we stopped. Leave the Wi-Fi, join it "
        "again and use the page that opens by itself. Nothing was kept."
    )


class Arrival(NamedTuple):
    """`paying` names the purchase whose page the phone was on its way back to."""

    mac: str | None = None
    login_url: str | None = None
    router_id: UUID | None = None
    original_url: str | None = None
    paying: str | None = None

    def arguments(self) -> list[tuple[str, str]]:
        """For an address that brings the phone here again, knowing as much."""
        known = (("mac", self.mac), ("lo", self.login_url), ("dst", self.original_url))
        return [(key, value) for key, value in known if value]

    def whereabouts(self, mac: str | None = None, login_url: str | None = None) -> list[tuple[str, str]]:
        """Where the phone is now, for the address of a purchase; nothing where the purchase knows that already."""
        if self.router_id is None or (mac, login_url) == (self.mac, self.login_url):
            return []
        return [("mac", self.mac or ""), ("lo", self.login_url or "")]


def read(arguments: Mapping[str, str], host: str, routers: Mapping[str, UUID]) -> Arrival:
    """Raises UnknownRouter for an address that is not in `routers`. Whatever else is wrong counts as absent."""
    login_url = arguments.get("lo") or None
    router_id = routers.get(login_url) if login_url is not None else None
    if login_url is not None and router_id is None:
        raise UnknownRouter
    original, paying = destination(arguments.get("dst", ""), host)
    return Arrival(normalise_mac(arguments.get("mac", "")[:40]), login_url, router_id, original, paying)


def destination(text: str, own_host: str) -> tuple[str | None, str | None]:
    """(a web address that may stand in a link, the purchase that it shows if it is a page of ours)."""
    if not _PLAIN.fullmatch(text):
        return None, None
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port  # raises where it is none
    except ValueError:
        return None, None
    if "@" in parts.netloc or not _HOST.fullmatch(host) or _PROBES.search(host.rstrip(".")):
        return None, None
    if host.rstrip(".") == own_host:
        purchase = _PURCHASE.fullmatch(parts.path)
        return None, purchase[1] if purchase else None
    return text, None
