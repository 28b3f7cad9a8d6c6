"""Surface: an ISP's owner and staff run their business. Runs in the scope of the ISP they chose."""

from tenants.console import desk, money
from tenants.console.blueprint import bp
from tenants.console.pages import suspended_page

__all__ = ["bp", "desk", "money", "suspended_page"]
