"""A tenant's routers. Promise: a NAS address belongs to one tenant of the whole deployment, or to none."""

from tenants.network.models import Router
from tenants.network.routers import add_router, find_nas, find_router, login_urls, routers

__all__ = ["Router", "add_router", "find_nas", "find_router", "login_urls", "routers"]
