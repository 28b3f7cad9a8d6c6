"""Surface: an ISP's owner and staff run their business. Runs in the scope of the ISP they chose."""

from tenants.console import airtel as airtel_pages
from tenants.console import books, desk, initiators, money, payouts, posters, standing, wallet
from tenants.console import mpesa as mpesa_pages
from tenants.console.blueprint import bp
from tenants.console.pages import suspended_page

__all__ = [
    "airtel_pages",
    "books",
    "bp",
    "desk",
    "initiators",
    "money",
    "mpesa_pages",
    "payouts",
    "posters",
    "standing",
    "suspended_page",
    "wallet",
]
