"""What this browser has bought here: switching auto-renew on and off, and what came and went of its money.

Shown and done by the names of purchases that the browser keeps (mine.py), and nothing else: no page says whose a line
is, or until when it is paid.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import g, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import format_datetime

from tenants import checkout
from tenants.checkout import history, renewals
from tenants.checkout.history import Event, Own
from tenants.portal import mine, shelf, ticket
from tenants.portal.frame import address, bp, links, page, refusal
from tenants.portal.frame import gettext as _
from wavu import money
from wavu.db import savepoint
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.security import csrf, limiter

_PAGE = 20

# Why a renewal waits, or is off.
_SHORT = N_("There was not enough money. Pay it in, and it renews at once; we try until three days after the end.")
_PRICE = N_("The price has changed to %(price)s. It renews once you agree.")
_SAID = {
    "withdrawn": N_("It was switched off: this package is not sold any more. Choose another."),
    "gave_up": N_("It was switched off: no money came within three days after the end."),
    "returned": N_("It was switched off: the package was given back."),
    "nothing": N_("It was switched off: there was no package to renew."),
}
_EVENTS = {"paid": N_("You paid"), "returned": N_("%(package)s was given back")}
_RENEWED = N_("%(package)s, by itself")


@bp.get("/mine")
@public(scope="tenant")
def own() -> ResponseReturnValue:
    return _show_own(None)


def _show_own(notice: str | None) -> ResponseReturnValue:
    names = mine.names()
    found = history.own_packages(names) if names else []
    return page(
        "mine.html",
        home_url=address("/", mine.carried()),
        language_links=links("/mine", mine.carried()),
        notice=notice or (_(_NOTICES[said]) if (said := request.args.get("said", "")) in _NOTICES else None),
        packages=[_face(one) for one in found],
        money_urls=[
            (address("/mine/money", [*mine.carried(), ("of", channel)]), _(label))
            for channel, label in _LABELS.items()
            if any(one.channel == channel for one in found)
        ],
    )


_LABELS = {"hotspot": N_("Money for Wi-Fi packages"), "pppoe": N_("Money for home internet")}
_NOTICES = {
    "on": N_("Auto-renew is on."),
    "off": N_("Auto-renew is off. What is paid stays."),
    "unknown": N_("This browser does not hold that package any more."),
}


def _face(one: Own) -> dict[str, Any]:
    tenant: Tenant = g.tenant
    price = money.show(one.price_cents, tenant.currency) if one.price_cents is not None else None
    dearer = one.price_cents is not None and one.agreed_cents is not None and one.price_cents > one.agreed_cents
    is_on = one.renews == "on"
    said = None
    if is_on and dearer:
        said = _(_PRICE, price=str(price))
    elif is_on and one.said == "short":
        said = _(_SHORT)
    elif not is_on and one.said in _SAID:
        said = _(_SAID[one.said])
    return {
        "url": address(f"/w/{one.nonce}/renew", mine.carried()),
        "name": shelf.name(one.terms),
        # A line's page tells nobody until when it is paid.
        "until": shelf.until(one.ends_at) if one.channel == "hotspot" else None,
        "is_line": one.channel == "pppoe",
        "price": price,
        "price_cents": one.price_cents,
        "on": is_on,
        "agrees": is_on and dearer,
        "other": one.renews == "other",
        "said": said,
        "pay_to": one.paybill if one.number else None,
        "number": one.number if is_on else None,
    }


@bp.post("/w/<nonce>/renew")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit("60 per hour")
@public(scope="tenant")
def renew(nonce: str) -> ResponseReturnValue:
    """Switches it on (`agreed` is the price that was shown) or off. The name of the purchase is the guard: 128 random
    bits that only its own browser was given."""
    agreed = request.form.get("agreed", "")
    if ticket.is_from_elsewhere():
        raise NotFound
    back, said = [*mine.carried()], "off"
    try:
        with savepoint():
            if agreed.isascii() and agreed.isdigit() and len(agreed) < 12:
                renewals.switch_on_held(nonce, mine.names(), int(agreed))
                said = "on"
            else:
                renewals.switch_off_held(nonce, mine.names())
    except NotFound:
        said = "unknown"
    except Refused as no:
        if no.kind not in (Kind.CONFLICT, Kind.TOO_MANY):
            raise
        return _show_own(refusal(no))
    return redirect(address("/mine", [*back, ("said", said)]), 303)


@bp.get("/w/<nonce>/renew")
@public(scope="tenant")
def renew_again(nonce: str) -> ResponseReturnValue:
    """Somebody reloads or goes back to where a button went."""
    return redirect(address("/mine", mine.carried()))


@bp.get("/mine/money")
@public(scope="tenant")
def spending() -> ResponseReturnValue:
    """What came in for this browser's purchases, what they cost, and what was left each time; newest first."""
    tenant: Tenant = g.tenant
    names, channel = mine.names(), "pppoe" if request.args.get("of") == "pppoe" else "hotspot"
    before = _key()
    has = (
        checkout.history.spending(names, channel, before=before, limit=_PAGE + 1)
        if names
        else history.Spending((), 0, 0)
    )
    shown = has.events[:_PAGE]
    here = [*mine.carried(), ("of", channel)]
    return page(
        "spending.html",
        home_url=address("/", mine.carried()),
        language_links=links("/mine/money", here),
        title=_(_LABELS[channel]),
        balance=money.show(has.balance_cents, tenant.currency),
        otherwise=money.show(has.otherwise_cents, tenant.currency) if has.otherwise_cents and not before else None,
        events=[_line(event, tenant.currency) for event in shown],
        back_url=address("/mine", mine.carried()),
        next_url=address("/mine/money", [*here, ("before", _typed(shown[-1]))]) if len(has.events) > _PAGE else None,
        first_url=address("/mine/money", here) if before else None,
    )


def _line(event: Event, currency: str) -> dict[str, Any]:
    package = shelf.name(event.terms) if event.terms else ""
    what = package
    if event.kind in _EVENTS:
        what = _(_EVENTS[event.kind], package=package) if package else _(_EVENTS[event.kind])
    elif event.renewed:
        what = _(_RENEWED, package=package)
    return {
        "what": what,
        "when": str(format_datetime(event.at, "d MMM, HH:mm")),
        "amount": ("+" if event.cents > 0 else "") + money.show(event.cents, currency),
        "receipt": event.receipt,
        "credit": money.show(event.promo_cents, currency) if event.promo_cents else None,
        "after": money.show(event.after_cents, currency),
    }


def _typed(event: Event) -> str:
    whole = event.at.astimezone(UTC).replace(microsecond=0)
    return f"{int(whole.timestamp()) * 1_000_000 + event.at.microsecond}.{event.id}"


def _key() -> tuple[datetime, UUID] | None:
    """The query's `before`: the line after which a page begins. None where it can be none."""
    at, _dot, event_id = request.args.get("before", "").partition(".")
    try:
        micros = int(at) if at.isascii() and at.isdigit() and len(at) < 18 else None
        if micros is None:
            return None
        # By whole numbers: a float loses microseconds, and with them lines.
        second = datetime.fromtimestamp(micros // 1_000_000, UTC)
        return second.replace(microsecond=micros % 1_000_000), UUID(event_id)
    except (ValueError, OverflowError, OSError):
        return None
