"""The packages as the page shows them: plain texts in the reader's language, made from what the catalog says."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from flask import g
from flask_babel import format_datetime, get_locale

from tenants.catalog import Offer
from tenants.portal.frame import gettext, ngettext
from wavu import clock, money
from wavu.tenancy import Tenant

Shelf = tuple[Offer, ...]


def digest(shelf: Shelf) -> str:
    """Changes whenever anything does that a customer has seen."""
    return hashlib.blake2s(repr(shelf).encode(), digest_size=6).hexdigest()


def faces(shelf: Shelf, currency: str, chosen: str) -> tuple[dict[str, Any], ...]:
    """What a template shows of each. `chosen` is an id, or '' for what the ISP puts forward."""
    ids = [str(item.id) for item in shelf]
    if chosen not in ids:
        chosen = next((str(item.id) for item in shelf if item.popular), ids[0] if ids else "")
    return tuple(_face(item, currency, str(item.id) == chosen) for item in shelf)


def _face(item: Offer, currency: str, chosen: bool) -> dict[str, Any]:
    title = name(item._asdict())
    lasts, speed = _lasts(item.validity, item.validity_count), _speed(item.speed_down_bps)
    details = [] if lasts.casefold() == title.casefold() else [lasts]
    if item.time_cap_seconds is not None:
        details.append(gettext("%(time)s of use", time=_duration(item.time_cap_seconds)))
    if item.data_cap_bytes is not None:
        details.append(_size(item.data_cap_bytes))
    elif item.time_cap_seconds is None:
        details.append(gettext("unlimited"))
    if item.devices > 1:
        details.append(ngettext("%(num)d device", "%(num)d devices", item.devices))
    return {
        "id": str(item.id),
        "name": title,
        "price": money.show(item.price_cents, currency),
        "speed": gettext("Up to %(speed)s", speed=speed),
        "speed_short": speed,
        # A line may break between two facts, not inside one.
        "details": " · ".join(detail.replace(" ", "\N{NO-BREAK SPACE}") for detail in details),
        "popular": item.popular,
        "chosen": chosen,
    }


def name(terms: dict[str, Any]) -> str:
    """A package's name in the reader's language."""
    swahili = terms.get("name_sw") if str(get_locale()) == "sw" else None
    return str(swahili or terms["name"])


def _lasts(validity: str, count: int) -> str:
    if validity == "hours":
        return ngettext("%(num)d hour", "%(num)d hours", count)
    if validity == "days":
        return ngettext("%(num)d day", "%(num)d days", count)
    if validity == "months":
        return ngettext("%(num)d month", "%(num)d months", count)
    if count == 1:
        return gettext("until midnight")
    return ngettext("until midnight, %(num)d day", "until midnight, %(num)d days", count)


def _duration(seconds: int) -> str:
    if seconds % 3600 == 0:
        return ngettext("%(num)d hour", "%(num)d hours", seconds // 3600)
    return ngettext("%(num)d minute", "%(num)d minutes", max(1, seconds // 60))


def _speed(bits: int) -> str:
    return f"{_short(bits / 1e6)} Mbps" if bits >= 1_000_000 else f"{_short(bits / 1e3)} kbps"


def _size(count: int) -> str:
    """Caps are set in round numbers, of a thousand or of 1024; whichever it is, the round number is shown."""
    base = 1024 if count % 1024**2 == 0 else 1000
    return f"{_short(count / base**3)} GB" if count >= base**3 else f"{_short(count / base**2)} MB"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def until(instant: datetime) -> str:
    """An instant as a customer says it, in the ISP's zone."""
    tenant: Tenant = g.tenant
    days = (clock.local_date(instant, tenant.timezone) - clock.local_date(clock.now(), tenant.timezone)).days
    time = format_datetime(instant, "HH:mm")
    if days in (0, 1):
        return gettext("Today, %(time)s", time=time) if days == 0 else gettext("Tomorrow, %(time)s", time=time)
    return gettext("%(day)s, %(time)s", day=str(format_datetime(instant, "EEE d MMM")), time=time)
