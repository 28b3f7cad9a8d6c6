"""What somebody in front of the first page has already: packages that run or wait, a request that is open, money."""

from __future__ import annotations

from typing import Any

from flask import g

from tenants import checkout
from tenants.checkout import Held, Holdings
from tenants.portal import mine, shelf, ticket
from tenants.portal.arrival import Arrival
from tenants.portal.frame import address
from tenants.portal.ticket import Pass
from wavu import money
from wavu.phone import Phone
from wavu.tenancy import Tenant


def holdings(came: Arrival) -> Holdings:
    """Of a device that one of this ISP's routers names, for a MAC address is no secret, and of this browser's own
    purchases."""
    mac, names = came.mac if came.router_id is not None else None, mine.names()
    return checkout.holdings(mac, names) if mac or names else Holdings()


def cards(came: Arrival, has: Holdings) -> tuple[dict[str, Any], ...]:
    """What a template shows of each purchase to go on with."""
    own = mine.names()
    return tuple(
        {
            "kind": one.kind,
            "own": one.nonce in own,
            "name": shelf.name(one.terms),
            "starts": shelf.until(one.starts_at) if one.starts_at else None,
            "until": shelf.until(one.ends_at) if one.ends_at else None,
            "url": _url(one, came) if one.nonce in own else _url_for_a_stranger(one, came),
        }
        for one in has.held
    )


def _url(one: Held, came: Arrival) -> str:
    if one.kind == "elsewhere":
        return address(f"/w/{one.nonce}/use", came.whereabouts())
    # The page of one that was online before would say that it still is: straight on to the router.
    path = f"/w/{one.nonce}/go" if one.been_online else f"/w/{one.nonce}"
    return address(path, came.whereabouts(one.mac, one.login_url))


def _url_for_a_stranger(one: Held, came: Arrival) -> str:
    """A MAC address is no secret: it brings its device online, and never names the purchase."""
    if one.kind == "asked" or not came.mac or not came.login_url:
        return address("/", came.arguments())
    allowed = Pass(one.purchase_id, came.mac, came.login_url, came.original_url)
    return address(f"/on/{ticket.sign_pass(allowed)}")


def purse(has: Holdings) -> dict[str, str] | None:
    """What may be spent here, as a template shows it, and the masked number that is asked for the rest."""
    tenant: Tenant = g.tenant
    if has.balance is None:
        return None
    return {
        "amount": money.show(has.balance.cents, tenant.currency),
        "phone": Phone(has.balance.phone).masked if has.balance.phone else "",
    }


def asked_of(came: Arrival, phone: Phone) -> str | None:
    """This browser's own purchase, for this very device, for which that phone has a request open."""
    own, asked = mine.names(), [one for one in holdings(came).held if one.kind == "asked"]
    return next((one.nonce for one in asked if one.nonce in own and one.phone == phone.e164), None)
