"""What an ISP sells and to which routers it may send phones: read once, and kept while the tenant's version stays."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache
from flask import g

from tenants import catalog, checkout, network
from tenants.portal import shelf
from wavu.tenancy import Tenant


class Kept(NamedTuple):
    """A page as it is at first sight: its texts, and between them the names of what each answer fills in."""

    parts: tuple[str, ...]
    policy: str


@dataclass(frozen=True)
class Storefront:
    """`offers` are sold on hotspots and `line_offers` for lines; the digests stand for their packages and prices. For
    those of `monthly` M-Pesa may be told to pay each month.
    `routers` are ids by log-in address, `pages` are kept by language and ways to pay.

    Pages are kept here and not beside, so that none can ever show other prices than its digest stands for.
    """

    version: UUID
    offers: shelf.Shelf
    digest: str
    line_offers: shelf.Shelf
    line_digest: str
    monthly: shelf.Shelf
    routers: Mapping[str, UUID]
    pages: dict[str, Kept] = field(default_factory=dict)


_storefronts: LRUCache[UUID, Storefront] = LRUCache(1000)
_lock = threading.Lock()


def storefront() -> Storefront:
    """The current tenant's, as of this request or newer: a change of a package or a router is a new version."""
    tenant: Tenant = g.tenant
    with _lock:
        kept = _storefronts.get(tenant.id)
    if kept is None or kept.version != tenant.version:
        # The version was read before this is: what is kept under it may be newer, and is read again under the next.
        offers = catalog.offers()
        kept = Storefront(
            tenant.version,
            offers["hotspot"],
            shelf.digest(offers["hotspot"]),
            offers["pppoe"],
            shelf.digest(offers["pppoe"]),
            _monthly(offers["pppoe"]),
            network.login_urls(),
        )
        with _lock:
            _storefronts[tenant.id] = kept
    return kept


def _monthly(offers: shelf.Shelf) -> shelf.Shelf:
    found = tuple(offer for offer in offers if checkout.is_monthly(offer.validity, offer.validity_count))
    return found if found and checkout.standing_orders_offered() else ()
