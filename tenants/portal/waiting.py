"""The page of a purchase: a state machine that lives on the server, under an address that only its customer knows.

Every GET may be repeated at will, but for the hop to the router, which makes a new log-in code each time.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, current_app, g, jsonify, redirect, request
from flask.typing import ResponseReturnValue

from config import Settings
from tenants import checkout
from tenants.checkout import Progress, Purchase
from tenants.portal import arrival, gateways, mine, shelf, ticket, words
from tenants.portal.arrival import Arrival
from tenants.portal.frame import address, bp, links, page, refusal
from tenants.portal.frame import gettext as _
from tenants.portal.shop import BadPhone, read_phone, router_notice
from tenants.portal.storefront import storefront
from wavu import money
from wavu.db import savepoint
from wavu.errors import Kind, NotFound, Refused
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.errors import STATUS
from wavu.web.security import csrf, limiter

_WAITING = {"requested", "held", "prompted", "checking"}
_PROMPT_SECONDS = 75
_PAYS_BY_HAND = {"requested", "held", "prompted", "failed", "no_reply", "short"}


def _checked(nonce: str) -> str:
    """Raises NotFound for what can be no purchase's name."""
    if not re.fullmatch(r"[0-9a-f]{32}", nonce):
        raise NotFound
    return nonce


def _find(nonce: str) -> Purchase:
    """Raises NotFound."""
    return checkout.find_purchase(_checked(nonce))


@bp.get("/w/<nonce>")
@public(scope="tenant")
def show(nonce: str) -> ResponseReturnValue:
    return _show(_checked(nonce))


@bp.get("/w/<nonce>/status.json")
@public(scope="tenant")
def status(nonce: str) -> ResponseReturnValue:
    """What portal.js asks: when `state` is not what the page shows, it loads the page anew."""
    now = checkout.progress(_checked(nonce))
    return jsonify(state=now.state, left=now.seconds_left, retry=now.retry_in_seconds)


@bp.post("/w/<nonce>/again")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit("60 per minute; 900 per hour")
@public(scope="tenant")
def again(nonce: str) -> ResponseReturnValue:
    """A new prompt, at the customer's tap; to another phone by another gateway, if they say so. The address is the
    guard: 128 random bits that no other site knows."""
    purchase, via = _find(nonce), gateways.wish(request.form.get("via", ""))
    if ticket.is_from_elsewhere():
        raise NotFound
    phone = None
    if via is not None:
        try:
            phone = read_phone(request.form.get("phone", "")[:40].strip())
        except BadPhone as bad:
            return _show(nonce, status=422, phone_error=_(str(bad)))
    try:
        with savepoint():
            checkout.try_again(purchase, phone, via)
    except checkout.AlreadyBought:
        pass
    except Refused as no:
        if no.kind not in (Kind.CONFLICT, Kind.TOO_MANY):
            raise
        return _show(nonce, refusal(no), STATUS[no.kind])
    return redirect(address(f"/w/{nonce}"), 303)


@bp.get("/w/<nonce>/again")
@public(scope="tenant")
def again_again(nonce: str) -> ResponseReturnValue:
    """Somebody reloads or goes back to where the button went."""
    return redirect(address(f"/w/{_find(nonce).nonce}"))


@bp.get("/w/<nonce>/go")
@public(scope="tenant")
def go(nonce: str) -> ResponseReturnValue:
    """On to the router with a fresh log-in code. A page leads here, not a form: `form-action` would forbid the hop.

    To the router that the phone is at now, if its address says so; else to the one where it was bought, if that is
    still there.
    """
    purchase, front = _find(nonce), storefront()
    came = arrival.read(request.args, g.site.host, front.routers)
    where = came.whereabouts(purchase.mac, purchase.login_url)
    mac, login_url = (came.mac, came.login_url) if where else (purchase.mac, purchase.login_url)
    here = address(f"/w/{nonce}", [("back", "1"), *where])
    return _hand_back(purchase, mac, login_url if login_url in front.routers else None, here)


def _hand_back(purchase: Purchase, mac: str | None, login_url: str | None, here: str) -> ResponseReturnValue:
    """`here` is the page that the router leads back to, and where a phone goes that it cannot take."""
    login = checkout.hand_back(purchase, mac, login_url)
    if login is None:
        return redirect(here)
    settings: Settings = current_app.extensions["settings"]
    return redirect(f"{login}&{urlencode({'dst': settings.origin(g.site.host) + here})}")


@bp.get("/on/<signed>")
@public(scope="tenant")
def connect(signed: str) -> ResponseReturnValue:
    """As go(), for the device that a router named, in a browser that was not told the purchase's name; nor is it here:
    the router leads back to the first page."""
    allowed = ticket.read_pass(signed)
    if allowed is None:
        raise NotFound
    known = {"mac": allowed.mac, "lo": allowed.login_url, "dst": allowed.original_url or ""}
    came = arrival.read(known, g.site.host, storefront().routers)
    purchase = checkout.held_purchase(allowed.purchase_id)
    return _hand_back(purchase, came.mac, came.login_url, address("/", came.arguments()))


@bp.post("/w/<nonce>/use")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit("20 per hour")
@public(scope="tenant")
def use(nonce: str) -> ResponseReturnValue:
    """Lets the device that a router names use what was bought in this browser. Guarded as again() is."""
    purchase = _find(nonce)
    came = arrival.read(request.args, g.site.host, storefront().routers)
    if ticket.is_from_elsewhere() or came.mac is None or came.router_id is None:
        raise NotFound
    try:
        with savepoint():
            checkout.use_on(purchase, mac=came.mac, router_id=came.router_id, login_url=came.login_url)
    except checkout.NoRoom as no:
        said = ticket.cover((refusal(no), None, "", ""))
        return redirect(address("/", [*came.arguments(), *mine.carried(), ("said", said)]), 303)
    if checkout.progress(nonce).state == "paid":
        return redirect(address(f"/w/{nonce}", came.whereabouts(purchase.mac, purchase.login_url)), 303)
    # Its page would say that it is online, as the other device is: the shop has a way to the router.
    return redirect(address("/", came.arguments()), 303)


@bp.get("/w/<nonce>/use")
@public(scope="tenant")
def use_again(nonce: str) -> ResponseReturnValue:
    """Somebody reloads or goes back to where the button went."""
    return redirect(address(f"/w/{_find(nonce).nonce}"))


def _show(nonce: str, notice: str | None = None, status: int = 200, *, phone_error: str | None = None) -> Response:
    tenant: Tenant = g.tenant
    now = checkout.progress(nonce)
    path, back = f"/w/{nonce}", request.args.get("back") == "1"
    at = arrival.read(request.args, g.site.host, storefront().routers)
    where = at.whereabouts(now.mac, now.login_url)
    came = at._replace(original_url=now.original_url) if where else _origin(now)
    # What is left over is spent in the shop, which a browser without cookies must be told.
    spends = [("with", nonce)] if now.spare_cents else []
    order = {
        "name": shelf.name(now.terms),
        "price": money.show(now.price_cents, tenant.currency),
        "pay_to": now.pay_to,
        "provider": now.provider,
        "gateway": gateways.NAMES[now.provider],
        "phone": now.phone_masked,
        "receipt": now.receipt,
        "from_balance": money.show(now.wallet_cents, tenant.currency) if now.wallet_cents else None,
        "spare": money.show(now.spare_cents, tenant.currency) if now.spare_cents and now.ends_at else None,
        "spend_url": address("/line", spends) if now.channel == "pppoe" else address("/", [*came.arguments(), *spends]),
        "by_hand": _by_hand(now),
        "claim_url": address("/claim", [*where, ("for", nonce)]),
        "mine_url": address("/mine", [("with", nonce)]) if now.ends_at else None,
        "state": now.state,
        "url": address(path, where),
        "status_url": f"{path}/status.json",
    }
    name, data = _state_page(path, now, where, back=back, phone_error=phone_error)
    response = page(
        name,
        home_url=address("/line") if now.channel == "pppoe" else address("/", came.arguments()),
        language_links=links(path, [("back", "1" if back else ""), *where]),
        notice=notice or router_notice(request.args.get("err", "")),
        order=order,
        **data,
    )
    response.status_code = status
    return response


def _by_hand(now: Progress) -> dict[str, str | None] | None:
    """What to type into M-Pesa's own menu, as long as paying again is right and M-Pesa takes so much, or so little."""
    tenant: Tenant = g.tenant
    if now.by_hand is None or now.state not in _PAYS_BY_HAND or now.code in {"2", "3"} or not now.missing_cents:
        return None
    return {**now.by_hand._asdict(), "amount": money.show(now.missing_cents, tenant.currency)}


def _origin(now: Progress) -> Arrival:
    return Arrival(now.mac, now.login_url, None, now.original_url)


def _state_page(
    path: str, now: Progress, where: list[tuple[str, str]], *, back: bool, phone_error: str | None
) -> tuple[str, dict[str, Any]]:
    """(the template that shows a state, what it needs beside the order)."""
    if now.state in _WAITING:
        left = min(now.seconds_left, _PROMPT_SECONDS)
        return "wait.html", {
            "left": left,
            "left_shown": _minutes(left),
            "gone": _PROMPT_SECONDS - left,
            "still": _is_still(),
            "still_url": address(path, [*where, ("still", "1")]),
            **_otherwise(path, now, phone_error),
        }
    if now.channel == "pppoe" and now.ends_at is not None:
        return "line_paid.html", {}
    go_url = address(f"{path}/go", where) if where or (now.login_url and now.mac) else None
    if now.state == "paid":
        return "paid.html", {"go_url": go_url, "by_itself": go_url is not None and not back}
    if now.state in {"online", "waits", "ended"}:
        return "done.html", {
            "starts": shelf.until(now.starts_at) if now.state == "waits" and now.starts_at else None,
            "until": shelf.until(now.ends_at) if now.ends_at else None,
            "go_url": go_url,
            **_onward(now.original_url),
        }
    return "fail.html", _failure(path, now) | _otherwise(path, now, phone_error)


def _is_still() -> bool:
    """Whether a waiting page does not load itself anew: at the customer's wish, or since it answers a form."""
    return request.method == "POST" or request.args.get("still") == "1"


def _failure(path: str, now: Progress) -> dict[str, Any]:
    tenant: Tenant = g.tenant
    said = {"no_reply": words.NO_REPLY[now.provider], "review": words.REVIEW, "short": words.SHORT}.get(
        now.state
    ) or words.failure(now.code, now.provider)
    sums = {
        "here": money.show(now.spare_cents, tenant.currency),
        "missing": money.show(now.missing_cents, tenant.currency),
    }
    return {
        "title": _(said.title, **sums) if now.state == "short" else _(said.title),
        "text": _(said.text, **sums) if now.state == "short" else _(said.text),
        "again_price": sums["missing"] if now.missing_cents < now.price_cents else None,
        "again_url": address(f"{path}/again") if said.again else None,
        "retry_in": now.retry_in_seconds,
        "retry_shown": _minutes(now.retry_in_seconds),
    }


def _otherwise(path: str, now: Progress, phone_error: str | None) -> dict[str, Any]:
    """How else this purchase can be paid: through another gateway, one that works."""
    tenant: Tenant = g.tenant
    standings = gateways.standings()
    other = gateways.another(standings, now.provider) if now.state in {"held", "failed", "no_reply"} else None
    if other is None:
        return {"other": None}
    unfolded = _is_still() if now.state == "held" else gateways.is_down(standings, now.provider, now.code)
    return {
        "other": {
            "name": gateways.NAMES[other], "value": other, "url": address(f"{path}/again"),
            "price": money.show(now.missing_cents, tenant.currency), "error": phone_error,
            "open": unfolded or phone_error is not None,
        }
    }  # fmt: skip


def _onward(url: str | None) -> dict[str, str | None]:
    """Where the customer was going, checked again: it was a stranger's word when it was stored."""
    checked, _paying = arrival.destination(url or "", g.site.host)
    host = urlsplit(checked).hostname if checked else None
    # The number of a host tells a person nothing.
    return {"onward_url": checked, "onward_host": host if host and re.search("[a-z]", host) else None}


def _minutes(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02}"
