"""Surface: machines call in. Bodies are stored and answered; nothing is decided here."""

from tenants.hooks.daraja import bp

__all__ = ["bp"]
