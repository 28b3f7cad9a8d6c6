"""The first page, and what its button does."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from uuid import UUID

from flask import Response, g, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from markupsafe import escape

from tenants import checkout
from tenants.checkout import Holdings
from tenants.portal import arrival, gateways, mine, shelf, ticket, words, yours
from tenants.portal.arrival import Arrival
from tenants.portal.frame import address, bp, links, refusal, render, respond
from tenants.portal.frame import gettext as _
from tenants.portal.storefront import Kept, Storefront, storefront
from tenants.portal.ticket import Ticket
from wavu.db import savepoint
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.phone import Phone
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.security import csrf, limiter

# A whole hotspot may share one public address: this stops a flood of prompts, checkout paces each phone.
PRESSES = "60 per minute; 900 per hour"

STALE = N_("This page was open for too long. Check your choice and press the button again.")
CHANGED = N_("The packages or prices changed while this page was open. Check your choice and press the button again.")
FORGED = N_("We could not read that form. Choose your package again.")
CHOOSE = N_("Choose a package.")
_NO_PHONE = N_("Enter the M-Pesa number that pays.")
_BAD_PHONE = N_("That is not a phone number. Enter it like 0712 345 678.")
_NOT_KENYAN = N_("M-Pesa needs a Kenyan mobile number: 07… or 01…")


class BadPhone(ValueError):
    """The text is what the customer reads below the field."""


class Said(NamedTuple):
    """What the page says back to a form, or to a router, and what was typed into that form."""

    notice: str | None = None
    phone_error: str | None = None
    phone: str = ""
    chosen: str = ""
    via: str = ""


@bp.get("/")
@public(scope="tenant")
def home() -> ResponseReturnValue:
    front = storefront()
    came = arrival.read(request.args, g.site.host, front.routers)
    if came.paying is not None:
        # On its way back from the router to a purchase: that page knows what was paid, this one would ask for it again.
        return redirect(_back_to(came.paying, came))
    refused = ticket.uncover(request.args.get("said", ""))
    return _shop(came, front, Said(*refused) if refused else Said(_first_notice()))


def _first_notice() -> str | None:
    """What a customer must know first: that no request can reach their phone, or what the router said."""
    return gateways.notice(gateways.standings()) or router_notice(request.args.get("err", ""))


def _back_to(nonce: str, came: Arrival) -> str:
    """The page of a purchase, which is told where the phone is now if it was made behind another router."""
    try:
        bought = checkout.find_purchase(nonce)
        where = came.whereabouts(bought.mac, bought.login_url)
    except NotFound:
        where = []
    return address(f"/w/{nonce}", [("back", "1"), *where, ("err", request.args.get("err", "")[:300])])


def router_notice(err: str) -> str | None:
    """A router's `err` as a sentence in the reader's language."""
    says = words.router_error(err)
    if says.known is not None:
        return _(says.known)
    return _("The Wi-Fi says: “%(message)s”", message=says.quoted) if says.quoted is not None else None


@bp.get("/buy")
@public(scope="tenant")
def buy_again() -> ResponseReturnValue:
    """Somebody reloads or goes back to where a form went."""
    return redirect(address("/"))


@bp.post("/buy")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit(PRESSES)
@public(scope="tenant")
def buy() -> ResponseReturnValue:
    """Guarded by its signed ticket instead of a cookie: see ticket.py.

    Every answer is a redirect: a page that is the answer to a form cannot be gone back to, nor reloaded.
    """
    opened, front = ticket.unseal(request.form.get("state", "")), storefront()
    phone, chosen = request.form.get("phone", "")[:40].strip(), request.form.get("package", "")[:40]
    via = request.form.get("via", "")[:10]

    def refuse(came: Arrival, notice: str | None = None, phone_error: str | None = None) -> ResponseReturnValue:
        said = ticket.cover(Said(notice, phone_error, phone, chosen, via))
        return redirect(address("/", [*came.arguments(), *mine.carried(), ("said", said)]), 303)

    if opened.ticket is None or ticket.is_from_elsewhere():
        return refuse(Arrival(), _(FORGED))
    was, came = opened.ticket, _came_by(opened.ticket, front)
    if not opened.fresh:
        return refuse(came, _(STALE))
    try:
        package_id = UUID(chosen)
    except ValueError:
        return refuse(came, _(CHOOSE))
    try:
        number = None if request.form.get("pay") == "balance" else read_phone(phone)
    except BadPhone as bad:
        return refuse(came, None, _(str(bad)))
    if was.shelf != front.digest and is_new(was.nonce):
        return refuse(came, _(CHANGED))
    try:
        with savepoint():
            _begin(was, came, package_id, number, gateways.wish(via))
    except Refused as no:
        if no.kind not in (Kind.CONFLICT, Kind.TOO_MANY):
            raise
        if isinstance(no, checkout.PromptOpen) and number and (asked := yours.asked_of(came, number)):
            return redirect(address(f"/w/{asked}"), 303)
        return refuse(came, refusal(no))
    return mine.keep(redirect(address(f"/w/{was.nonce}"), 303), was.nonce)


def _begin(was: Ticket, came: Arrival, package_id: UUID, phone: Phone | None, provider: str | None) -> None:
    """`phone` is None for a purchase out of the balance."""
    place: dict[str, Any] = {
        "nonce": was.nonce, "package_id": package_id, "mac": was.mac, "router_id": came.router_id,
        "login_url": came.login_url, "original_url": was.original_url,
    }  # fmt: skip
    if phone is None:
        checkout.begin_with_balance(held=mine.names(), **place)
    else:
        checkout.begin(phone=phone, provider=provider, **place)


def is_new(nonce: str) -> bool:
    """A purchase that is begun keeps its terms: pressing again shows it, whatever the shelf looks like by now."""
    try:
        checkout.find_purchase(nonce)
    except Refused:
        return True
    return False


def _came_by(was: Ticket, front: Storefront) -> Arrival:
    """The router is looked up again: it may have gone since the page was shown."""
    known = {"mac": was.mac or "", "lo": was.login_url or "", "dst": was.original_url or ""}
    return arrival.read(known, g.site.host, front.routers)


def read_phone(text: str) -> Phone:
    """A number that an M-Pesa prompt can go to. Raises BadPhone."""
    if not text:
        raise BadPhone(_NO_PHONE)
    try:
        phone = Phone.parse(text)
    except ValueError:
        raise BadPhone(_BAD_PHONE) from None
    if not phone.is_kenyan_mobile:
        raise BadPhone(_NOT_KENYAN)
    return phone


# Private characters, which no text of ours has, stand where each answer differs.
_MARKS = {
    name: chr(0xE100 + number)
    for number, name in enumerate(("state", "buy_url", "line_url", "claim_url", "home_url", "language"))
}
_SPLIT = re.compile("([" + "".join(_MARKS.values()) + "])")


def _shop(came: Arrival, front: Storefront, said: Said) -> Response:
    """The first page. As it is at first sight it is rendered once and kept; what is one phone's is filled in.

    A page that says more to one phone is rendered for it alone.
    """
    new = Ticket(ticket.new_nonce(), front.digest, came.mac, came.login_url, came.original_url)
    here = [*came.arguments(), *mine.carried()]
    filled = {
        "state": ticket.seal(new),
        "buy_url": address("/buy", mine.carried()),
        "line_url": address("/line"),
        "claim_url": address("/claim", here),
        "home_url": address("/", here),
        "language": next(url for _code, _name, url, current in links("/", here) if not current),
    }
    has = yours.holdings(came)
    if said != Said() or has != Holdings():
        html, policy = _render(front, said, filled, came, has)
        return respond(html, policy)
    # Its look depends on the language, and on which ways to pay there are.
    language = f"{get_locale()} {' '.join(each.provider for each in gateways.standings())}"
    kept = front.pages.get(language)
    if kept is None:
        html, policy = _render(front, Said(), _MARKS, came, has)
        kept = front.pages[language] = Kept(tuple(_SPLIT.split(html)), policy)
    values = {_MARKS[name]: str(escape(value)) for name, value in filled.items()}
    return respond("".join([values.get(part, part) for part in kept.parts]), kept.policy)


def _render(front: Storefront, said: Said, filled: dict[str, str], came: Arrival, has: Holdings) -> tuple[str, str]:
    tenant: Tenant = g.tenant
    language_links = tuple(
        (code, name, filled["language"], current) for code, name, _url, current in links("/") if not current
    )
    data: dict[str, Any] = {
        "packages": shelf.faces(front.offers, tenant.currency, said.chosen),
        "notice": said.notice,
        "yours": yours.cards(came, has),
        "purse": yours.purse(has),
        "starts": shelf.until(has.free_at) if has.free_at else None,
        "line_url": filled["line_url"] if front.line_offers else None,
        "claim_url": filled["claim_url"],
        "mine_url": address("/mine", mine.carried()) if has != Holdings() and mine.names() else None,
        "phone": said.phone,
        "phone_error": said.phone_error,
        "gateways": gateways.offered(gateways.standings(), said.via),
        "state": filled["state"],
        "buy_url": filled["buy_url"],
    }
    return render("home.html", home_url=filled["home_url"], language_links=language_links, **data)
