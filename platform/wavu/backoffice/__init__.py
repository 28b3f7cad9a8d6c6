"""Surface: platform staff look after tenants. Runs in the platform's own scope."""

from wavu.backoffice.pages import bp

__all__ = ["bp"]
