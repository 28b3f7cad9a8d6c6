"""Surface: machines call in. Bodies are stored and answered; nothing is decided here."""

from tenants.hooks.daraja import bp
from tenants.hooks.spool import init_spool

__all__ = ["bp", "init_spool"]
