"""Surface: an ISP's customers, on the ISP's own hosts, in its own theme and colours."""

from tenants.portal.pages import bp, error_page

__all__ = ["bp", "error_page"]
