"""Paying for a line each month by itself (M-Pesa Ratiba): asking for it, and the page that says how it stands.

Anybody may ask for any line, as they may pay for it, and learns nothing about whose it is: see line.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import UUID

from flask import Response, g, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import format_date

from tenants import checkout
from tenants.checkout import StandingOrder
from tenants.portal import line, shelf, ticket, words
from tenants.portal.frame import address, bp, links, page, refusal
from tenants.portal.frame import gettext as _
from tenants.portal.line import TRIES
from tenants.portal.shop import FORGED, PRESSES, STALE
from tenants.portal.storefront import Storefront, storefront
from tenants.portal.ticket import Ticket
from wavu import clock, money
from wavu.db import savepoint
from wavu.errors import Kind, NotFound, Refused
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.security import csrf, limiter

_FIRST = ("month", "tomorrow")


class Said(NamedTuple):
    """What the page says back to its form, and what was typed into it."""

    notice: str | None = None
    account_error: str | None = None
    phone_error: str | None = None
    account: str = ""
    phone: str = ""
    chosen: str = ""
    first: str = "month"


def _front() -> Storefront:
    front = storefront()
    if not front.monthly:
        raise NotFound
    return front


@bp.get("/line/monthly")
@public(scope="tenant")
def monthly() -> ResponseReturnValue:
    refused = ticket.uncover(request.args.get("said", ""))
    return _form(_front(), Said(*refused) if refused else Said())


def _form(front: Storefront, said: Said) -> Response:
    tenant: Tenant = g.tenant
    tomorrow, month = (format_date(day, "long") for day in checkout.first_days(clock.now()))
    return page(
        "monthly.html",
        home_url=address("/"),
        language_links=links("/line/monthly"),
        packages=shelf.faces(front.monthly, tenant.currency, said.chosen),
        state=ticket.seal(Ticket(ticket.new_nonce(), "", None, None, None)),
        ask_url=address("/line/monthly"),
        line_url=address("/line"),
        firsts=tuple(
            {"id": name, "label": label, "chosen": name == said.first}
            for name, label in (("month", month), ("tomorrow", tomorrow))
        ),
        notice=said.notice,
        account=said.account,
        account_error=said.account_error,
        phone=said.phone,
        phone_error=said.phone_error,
    )


@bp.post("/line/monthly")
@csrf.exempt  # type: ignore[untyped-decorator]
@limiter.limit(PRESSES)
@limiter.limit(TRIES, deduct_when=lambda _response: bool(g.get("unknown_line")))
@public(scope="tenant")
def ask_monthly() -> ResponseReturnValue:
    """Guarded as the shop's form is: see ticket.py."""
    opened, front = ticket.unseal(request.form.get("state", "")), _front()
    account, phone = request.form.get("account", "")[:40].strip(), request.form.get("phone", "")[:40].strip()
    chosen, first = request.form.get("package", "")[:40], request.form.get("first", "")[:10]

    def refuse(**wrong: str) -> ResponseReturnValue:
        kept = Said(account=account, phone=phone, chosen=chosen, first=first if first in _FIRST else "month")
        return redirect(address("/line/monthly", [("said", ticket.cover(kept._replace(**wrong)))]), 303)

    if opened.ticket is None or ticket.is_from_elsewhere():
        return refuse(notice=_(FORGED))
    if not opened.fresh:
        return refuse(notice=_(STALE))
    try:
        asked = line.Asked.read(account, phone, chosen, from_balance=False)
    except line.Wrong as wrong:
        return refuse(**wrong.said)
    nonce = opened.ticket.nonce
    try:
        with savepoint():
            _begin(nonce, asked, first)
    except Refused as no:
        if no.kind not in (Kind.CONFLICT, Kind.TOO_MANY):
            raise
        return refuse(notice=refusal(no))
    del front
    return redirect(address(f"/m/{nonce}"), 303)


def _begin(nonce: str, asked: line.Asked, first: str) -> None:
    assert asked.line_id is not None
    assert asked.phone is not None
    tomorrow, month = checkout.first_days(clock.now())
    package_id: UUID = asked.package_id
    checkout.ask_standing_order(
        nonce=nonce, package_id=package_id, phone=asked.phone, line_id=asked.line_id,
        starts_on=tomorrow if first == "tomorrow" else month,
    )  # fmt: skip


def _find(nonce: str) -> StandingOrder:
    """Raises NotFound."""
    if not re.fullmatch(r"[0-9a-f]{32}", nonce):
        raise NotFound
    return checkout.find_standing_order(nonce)


@bp.get("/m/<nonce>/status.json")
@public(scope="tenant")
def order_status(nonce: str) -> ResponseReturnValue:
    """What portal.js asks: when `state` is not what the page shows, it loads the page anew."""
    return jsonify(state=checkout.standing_order_state(_find(nonce), clock.now()))


@bp.get("/m/<nonce>")
@public(scope="tenant")
def show_order(nonce: str) -> ResponseReturnValue:
    tenant: Tenant = g.tenant
    order, path = _find(nonce), f"/m/{nonce}"
    state = checkout.standing_order_state(order, clock.now())
    said = words.failure(order.code) if state == "refused" else None
    return page(
        "monthly_state.html",
        home_url=address("/line"),
        language_links=links(path),
        order={
            "name": shelf.name(order.terms),
            "price": money.show(order.amount_cents, tenant.currency),
            "first": format_date(order.starts_on, "long"),
            "title": order.name,
            "state": state,
            "why": _(said.title) if said is not None else None,
            "again_url": address("/line/monthly"),
            "url": address(path),
            "status_url": f"{path}/status.json",
        },
    )
