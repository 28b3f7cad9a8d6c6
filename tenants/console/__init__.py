"""Surface: an ISP's owner and staff run their business. Runs in the scope of the ISP they chose."""

from tenants.console.pages import bp, suspended_page

__all__ = ["bp", "suspended_page"]
