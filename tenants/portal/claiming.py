"""I have paid, and am not online: the customer shows the message of M-Pesa's, and watches what comes of it.

The page of a claim is at an address that only its customer knows, like that of a purchase. Somebody else's payment, and
one that nobody made, are told alike, so nothing is learnt here by trying.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flask import Response, g, jsonify, redirect, request
from flask.typing import ResponseReturnValue

from tenants import checkout
from tenants.checkout import PaymentClaim, Purchase
from tenants.portal import arrival, mine, ticket
from tenants.portal.arrival import Arrival
from tenants.portal.frame import Arguments, address, bp, links, page, refusal
from tenants.portal.frame import gettext as _
from tenants.portal.shop import PRESSES, BadPhone, read_phone
from tenants.portal.storefront import storefront
from tenants.portal.ticket import Ticket
from wavu import money
from wavu.db import savepoint
from wavu.errors import N_, NotFound, Refused
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.security import csrf, limiter

# Claims of which nothing came at once, from one address: a whole hotspot may share it.
_TRIES = "30 per hour; 100 per day"
_LONGEST = 600
_STALE = N_("This page was open for too long. Check what you typed and press the button again.")
_FORGED = N_("We could not read that form. Paste the message again.")


class Said(NamedTuple):
    """What the page says back to its form, and what was typed into it."""

    notice: str | None = None
    message_error: str | None = None
    phone_error: str | None = None
    message: str = ""
    phone: str = ""


@bp.get("/claim")
@public(scope="tenant")
def claim() -> ResponseReturnValue:
    """`for` names the purchase from whose page the customer comes."""
    came = arrival.read(request.args, g.site.host, storefront().routers)
    refused = ticket.uncover(request.args.get("said", ""))
    said = Said(*refused) if refused else Said()
    here = [*came.arguments(), *_for(request.args.get("for", "")), *mine.carried()]
    new = Ticket(ticket.new_nonce(), "", came.mac, came.login_url, came.original_url)
    return page(
        "claim.html",
        home_url=address("/", [*came.arguments(), *mine.carried()]),
        language_links=links("/claim", here),
        state=ticket.seal(new),
        claim_url=address("/claim", [*_for(request.args.get("for", "")), *mine.carried()]),
        **said._asdict(),
    )


def _for(nonce: str) -> list[tuple[str, str]]:
    return [("for", nonce)] if re.fullmatch(r"[0-9a-f]{32}", nonce) else []


@bp.post("/claim")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit(PRESSES)
@limiter.limit(_TRIES, deduct_when=lambda _response: bool(g.get("nothing_found")))
@public(scope="tenant")
def make_claim() -> ResponseReturnValue:
    """Guarded as the shop's form is: see ticket.py."""
    opened = ticket.unseal(request.form.get("state", ""))
    message, phone = request.form.get("message", "")[:_LONGEST].strip(), request.form.get("phone", "")[:40].strip()
    came, wanted = _came_by(opened.ticket), _for(request.args.get("for", ""))

    def refuse(**wrong: str) -> ResponseReturnValue:
        said = ticket.cover(Said(message=message, phone=phone)._replace(**wrong))
        return redirect(address("/claim", [*came.arguments(), *wanted, *mine.carried(), ("said", said)]), 303)

    if opened.ticket is None or ticket.is_from_elsewhere():
        return refuse(notice=_(_FORGED))
    if not opened.fresh:
        return refuse(notice=_(_STALE))
    try:
        number = read_phone(phone)
    except BadPhone as bad:
        return refuse(phone_error=_(str(bad)))
    try:
        with savepoint():
            made = checkout.begin_claim(text=message, phone=number, purchase=_wanted(wanted))
    except checkout.NoCode as no:
        return refuse(message_error=refusal(no))
    except checkout.TooManyClaims as no:
        g.nothing_found = True
        return refuse(notice=refusal(no))
    g.nothing_found = made.state != "found"
    return mine.keep(redirect(address(f"/c/{made.nonce}", came.arguments()), 303), made.nonce)


def _came_by(was: Ticket | None) -> Arrival:
    """The router is looked up again: it may have gone since the page was shown."""
    if was is None:
        return Arrival()
    known = {"mac": was.mac or "", "lo": was.login_url or "", "dst": was.original_url or ""}
    return arrival.read(known, g.site.host, storefront().routers)


def _wanted(named: Arguments) -> Purchase | None:
    for _key, nonce in named:
        try:
            return checkout.find_purchase(nonce)
        except Refused:
            return None
    return None


def _find(nonce: str) -> PaymentClaim:
    """Raises NotFound."""
    if not re.fullmatch(r"[0-9a-f]{32}", nonce):
        raise NotFound
    return checkout.find_claim(nonce)


@bp.get("/c/<nonce>/status.json")
@public(scope="tenant")
def claim_status(nonce: str) -> ResponseReturnValue:
    """What portal.js asks: when `state` is not what the page shows, it loads the page anew."""
    return jsonify(state=_find(nonce).state)


@bp.get("/c/<nonce>")
@public(scope="tenant")
def show_claim(nonce: str) -> ResponseReturnValue:
    made, came = _find(nonce), arrival.read(request.args, g.site.host, storefront().routers)
    purchase = checkout.purchase_of(made)
    if purchase is not None and made.state == "found":
        return mine.keep(redirect(_page_of(purchase, came), 303), purchase.nonce)
    return _show(made, purchase, came)


def _page_of(purchase: Purchase, came: Arrival) -> str:
    """Where the customer goes on: to the page of what is paid, or, on a device for which it was not bought, to the
    first page, which asks whether it shall be used there."""
    if purchase.state == "bought" and came.mac is not None and came.mac != purchase.mac and purchase.mac is not None:
        return address("/", [*came.arguments(), ("with", purchase.nonce)])
    return address(f"/w/{purchase.nonce}", came.whereabouts(purchase.mac, purchase.login_url))


def _show(made: PaymentClaim, purchase: Purchase | None, came: Arrival) -> Response:
    tenant: Tenant = g.tenant
    path, left = f"/c/{made.nonce}", made.cents - made.moved_cents
    spend = "/line" if made.channel == "pppoe" else "/"
    return page(
        "claimed.html",
        home_url=address("/", came.arguments()),
        language_links=links(path, came.arguments()),
        claim={
            "code": made.code,
            "state": made.state,
            "amount": money.show(left, tenant.currency) if made.state == "found" and left else None,
            "spend_url": address(spend, [*(came.arguments() if spend == "/" else []), ("with", made.nonce)]),
            "purchase_url": address(f"/w/{purchase.nonce}") if purchase is not None else None,
            "again_url": address("/claim", came.arguments()),
            "url": address(path, came.arguments()),
            "status_url": f"{path}/status.json",
        },
    )
