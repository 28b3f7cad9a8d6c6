"""Paying for a line at home: anybody may, for any line, and learns nothing about whose it is.

The packages are the same for every line. An account number that is nobody's is refused after everything else was found
right, and so few such tries are taken from one address that numbers cannot be listed by them. No page of such a
purchase says when the line's package ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from flask import Response, g, redirect, request
from flask.typing import ResponseReturnValue

from tenants import checkout, subscribers
from tenants.portal import gateways, mine, shelf, ticket
from tenants.portal.frame import address, bp, links, page, refusal
from tenants.portal.frame import gettext as _
from tenants.portal.shop import CHANGED, CHOOSE, FORGED, PRESSES, STALE, BadPhone, is_new, read_phone
from tenants.portal.storefront import Storefront, storefront
from tenants.portal.ticket import Ticket
from wavu import money
from wavu.db import savepoint
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.phone import Phone
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.security import csrf, limiter

# Of account numbers that are nobody's, from one address.
TRIES = "10 per hour; 30 per day"

_NO_ACCOUNT = N_("Enter the account number of the line. It is on your bill, or ask our team.")
_NO_NUMBER = N_("That is not an account number. Check its digits.")
_UNKNOWN = N_("We have no line with this account number. Check it and try again.")


class Said(NamedTuple):
    """What the page says back to its form, and what was typed into it."""

    notice: str | None = None
    account_error: str | None = None
    phone_error: str | None = None
    account: str = ""
    phone: str = ""
    chosen: str = ""
    via: str = ""


@bp.get("/line")
@public(scope="tenant")
def line() -> ResponseReturnValue:
    refused = ticket.uncover(request.args.get("said", ""))
    return _show(_front(), Said(*refused) if refused else Said())


def _front() -> Storefront:
    front = storefront()
    if not front.line_offers:
        raise NotFound
    return front


@bp.post("/line")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit(PRESSES)
@limiter.limit(TRIES, deduct_when=lambda _response: bool(g.get("unknown_line")))
@public(scope="tenant")
def pay_line() -> ResponseReturnValue:
    """Guarded as the shop's form is: see ticket.py."""
    opened, front = ticket.unseal(request.form.get("state", "")), _front()
    account, phone = request.form.get("account", "")[:40].strip(), request.form.get("phone", "")[:40].strip()
    chosen, via = request.form.get("package", "")[:40], request.form.get("via", "")[:10]

    def refuse(**wrong: str) -> ResponseReturnValue:
        said = Said(account=account, phone=phone, chosen=chosen, via=via)._replace(**wrong)
        return redirect(address("/line", [*mine.carried(), ("said", ticket.cover(said))]), 303)

    if opened.ticket is None or ticket.is_from_elsewhere():
        return refuse(notice=_(FORGED))
    if not opened.fresh:
        return refuse(notice=_(STALE))
    nonce = opened.ticket.nonce
    if opened.ticket.shelf != front.line_digest and is_new(nonce):
        return refuse(notice=_(CHANGED))
    try:
        asked = Asked.read(account, phone, chosen, from_balance=request.form.get("pay") == "balance")
    except Wrong as wrong:
        return refuse(**wrong.said)
    try:
        with savepoint():
            _begin(nonce, asked, gateways.wish(via))
    except Refused as no:
        if no.kind not in (Kind.CONFLICT, Kind.TOO_MANY):
            raise
        return refuse(notice=refusal(no))
    return mine.keep(redirect(address(f"/w/{nonce}"), 303), nonce)


class Wrong(ValueError):
    """What the customer reads, by the field of Said."""

    def __init__(self, **said: str) -> None:
        super().__init__(said)
        self.said = said


class Asked(NamedTuple):
    """The form, read. `line_id` and `phone` are None for a purchase out of the balance."""

    package_id: UUID
    line_id: UUID | None
    phone: Phone | None

    @classmethod
    def read(cls, account: str, phone: str, chosen: str, *, from_balance: bool) -> Asked:
        """Raises Wrong."""
        try:
            package_id = UUID(chosen)
        except ValueError:
            raise Wrong(notice=_(CHOOSE)) from None
        if from_balance:
            return cls(package_id, None, None)
        if not account:
            raise Wrong(account_error=_(_NO_ACCOUNT))
        try:
            number = read_phone(phone)
        except BadPhone as bad:
            raise Wrong(phone_error=_(str(bad))) from None
        account = "".join(account.split()).replace("-", "")
        if not subscribers.is_account_number(account):
            # A slip of the finger, by its check digit: it asks about nobody.
            raise Wrong(account_error=_(_NO_NUMBER))
        found = subscribers.find_line(account)
        if found is None:
            g.unknown_line = True
            raise Wrong(account_error=_(_UNKNOWN))
        return cls(package_id, found.id, number)


def _begin(nonce: str, asked: Asked, provider: str | None) -> None:
    if asked.line_id is None or asked.phone is None:
        checkout.begin_with_balance(nonce=nonce, package_id=asked.package_id, held=mine.names(), channel="pppoe")
    else:
        checkout.begin_for_line(
            nonce=nonce, package_id=asked.package_id, phone=asked.phone, line_id=asked.line_id, provider=provider
        )


def _show(front: Storefront, said: Said) -> Response:
    tenant: Tenant = g.tenant
    names, now = mine.names(), gateways.standings()
    has = checkout.holdings(None, names, "pppoe").balance if names else None
    data: dict[str, Any] = {
        "packages": shelf.faces(front.line_offers, tenant.currency, said.chosen),
        "notice": said.notice or gateways.notice(now),
        "gateways": gateways.offered(now, said.via),
        "account": said.account,
        "account_error": said.account_error,
        "phone": said.phone,
        "phone_error": said.phone_error,
        "balance": money.show(has.cents, tenant.currency) if has else None,
        "state": ticket.seal(Ticket(ticket.new_nonce(), front.line_digest, None, None, None)),
        "pay_url": address("/line", mine.carried()),
        "claim_url": address("/claim", mine.carried()),
        "monthly_url": address("/line/monthly") if front.monthly else None,
        "mine_url": address("/mine", mine.carried()) if names else None,
    }
    return page("line.html", home_url=address("/"), language_links=links("/line", mine.carried()), **data)
