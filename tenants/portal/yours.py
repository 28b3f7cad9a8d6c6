"""What the device in front of the first page has already: a package that runs, a request that is open."""

from __future__ import annotations

from typing import Any

from tenants import checkout
from tenants.checkout import Held
from tenants.portal import shelf
from tenants.portal.arrival import Arrival
from tenants.portal.frame import address
from wavu.phone import Phone


def held(came: Arrival) -> tuple[Held, ...]:
    """Of a device that one of this ISP's routers names; of any other nothing, for a MAC address is no secret."""
    return checkout.held_by(came.mac) if came.mac is not None and came.router_id is not None else ()


def cards(came: Arrival) -> tuple[dict[str, Any], ...]:
    """What a template shows of each."""
    return tuple(
        {
            "name": shelf.name(one.terms),
            "until": shelf.until(one.ends_at) if one.ends_at else None,
            # The page of one that was online before would say that it still is: straight on to the router.
            "url": address(f"/w/{one.nonce}/go" if one.been_online else f"/w/{one.nonce}"),
        }
        for one in held(came)
    )


def asked_of(came: Arrival, phone: Phone) -> str | None:
    """The purchase of this very device for which that phone has a request open."""
    return next((one.nonce for one in held(came) if one.phone == phone.e164), None)
