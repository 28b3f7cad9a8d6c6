from __future__ import annotations

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow
from wavu.vault import Sealed


class Router(TenantRow):
    """A network access server (NAS, RFC 2865) of a tenant, told from all others by the address it sends from."""

    __tablename__ = "router"
    __table_args__ = (UniqueConstraint("tenant_id", "address"),)

    name: Mapped[str]
    identifier: Mapped[str]
    address: Mapped[str]
    secret_sealed: Mapped[bytes]
    # Where its hotspot takes log-ins, such as http://10.5.50.1/login: the only target a phone is ever sent to.
    login_url: Mapped[str | None]
    # Off only for routers that cannot send it (RouterOS before 7.15): see docs/adr on BlastRADIUS.
    require_message_authenticator: Mapped[bool] = mapped_column(default=True)

    secret = Sealed("secret_sealed")
