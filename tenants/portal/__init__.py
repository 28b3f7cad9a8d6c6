"""Surface: an ISP's customers, on the ISP's own hosts, in its own theme and colours.

Promises: every page works without JavaScript, cookies or a third host; a phone is sent to no log-in address but those
of this ISP's routers; no page shows a phone number.
"""

from tenants.portal import claiming, line, money, shop, standing, waiting  # noqa: F401 - their views
from tenants.portal.frame import bp, error_page

__all__ = ["bp", "error_page"]
