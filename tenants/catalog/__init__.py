"""What a tenant sells. Promise: a purchase keeps the terms it was made under, whatever is changed later."""

from tenants.catalog.models import Package
from tenants.catalog.packages import Channel, NotOnSale, ends_at, find_on_sale, on_sale, terms_of

__all__ = ["Channel", "NotOnSale", "Package", "ends_at", "find_on_sale", "on_sale", "terms_of"]
