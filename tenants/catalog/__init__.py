"""What a tenant sells. Promise: a purchase keeps the terms it was made under, whatever is changed later."""

from tenants.catalog.models import Package
from tenants.catalog.packages import Channel, NotOnSale, Offer, ends_at, find_on_sale, offers, on_sale, terms_of

__all__ = [
    "Channel",
    "NotOnSale",
    "Offer",
    "Package",
    "ends_at",
    "find_on_sale",
    "offers",
    "on_sale",
    "terms_of",
]
