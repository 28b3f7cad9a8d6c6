"""Roles and what each may do. A permission is `thing.verb`; pages ask for permissions, never for roles."""

from __future__ import annotations

from typing import NamedTuple

from wavu.errors import N_


class Role(NamedTuple):
    label: str
    permissions: frozenset[str]


def _may(*permissions: str) -> frozenset[str]:
    return frozenset(permissions)


_READ = _may("home.see", "team.see")
_DESK = _READ | _may("money.see", "payments.take")
_MANAGE = _DESK | _may(
    "audit.see",
    "mpesa.see",
    "money.match",
    "mpesa.approve",
    "payouts.request",
    "payouts.approve",
    "books.close",
    "promo.grant",
)

ISP_ROLES = {
    "owner": Role(N_("Owner"), _MANAGE | _may("team.manage", "mpesa.manage", "payouts.limit", "promo.limit")),
    "manager": Role(N_("Manager"), _MANAGE),
    "cashier": Role(N_("Cashier"), _DESK),
    "support": Role(N_("Support"), _READ),
    "technician": Role(N_("Technician"), _READ),
    "network": Role(N_("Network engineer"), _READ),
    "viewer": Role(N_("Viewer"), _READ),
}

PLATFORM_ROLES = {
    "admin": Role(
        N_("Administrator"), _may("home.see", "tenants.see", "tenants.manage", "team.see", "team.manage", "audit.see")
    ),
    "staff": Role(N_("Staff"), _may("home.see", "tenants.see", "team.see", "audit.see")),
}

# The role that each tenant must never be without.
LAST_ROLE = {"isp": "owner", "platform": "admin"}


def roles_of(kind: str) -> dict[str, Role]:
    """The roles that a tenant of this kind can give."""
    return PLATFORM_ROLES if kind == "platform" else ISP_ROLES
