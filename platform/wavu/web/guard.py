"""Before each view: who is it, which tenant are they working for, may they? See access.py for what views declare."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, abort, g, redirect, request, url_for
from flask_login import current_user

from wavu import accounts
from wavu.db import db
from wavu.errors import N_, Kind, Refused
from wavu.tenancy import PLATFORM_ID, Tenant, TenantSuspended, find_tenant, read_tenant
from wavu.web.access import PUBLIC, SIGNED_IN, access_of
from wavu.web.hosts import Site
from wavu.web.sessions import forget


class NotAllowed(Refused):
    kind = Kind.FORBIDDEN
    message = N_("Your role does not allow this. Ask an owner of the business.")


def init_guard(app: Flask) -> None:
    app.before_request(_guard)


def _guard() -> Any:
    site: Site | None = request.environ.get("wavu.site")
    if site is None or site.surface == "ops":
        return None
    g.permissions = frozenset()
    g.tenant = read_tenant(site.tenant_id) if site.tenant_id else None
    if site.surface == "portal" and not g.tenant.is_active:
        raise TenantSuspended
    access = access_of(request.endpoint)
    if access is None:
        if current_user.is_authenticated:
            _dress()
        return None
    if access.scope == "platform" and g.signed_in is not None:
        # Read in a transaction of its own; from here on the request may change it.
        db.session.add_all([g.signed_in.row, g.signed_in.person])
    if access.who == PUBLIC:
        return None
    if not current_user.is_authenticated:
        return ask_to_sign_in()
    return _admit_member(site, access.who, access.scope)


def _admit_member(site: Site, who: str, scope: str) -> Response | None:
    """Finds the tenant that a signed-in person works for and what they may do there."""
    chosen = PLATFORM_ID if site.surface == "backoffice" else g.signed_in.row.chosen_tenant_id
    if scope == "platform" and chosen != PLATFORM_ID:
        _dress()
        return None if who == SIGNED_IN else abort(404)
    tenant = find_tenant(chosen) if chosen else None
    membership = accounts.membership_of(g.signed_in.person.id) if tenant else None
    if tenant is None or membership is None:
        if site.surface == "console":
            return _redirect("auth.choose_tenant")
        # Not of the staff any more: this browser's session is no use here.
        accounts.end_session(g.signed_in.row.id, g.signed_in.person.id)
        forget()
        return ask_to_sign_in()
    g.tenant, g.membership = tenant, membership
    g.can_switch = site.surface == "console" and len(accounts.tenants_of(g.signed_in.person.id)) > 1
    g.permissions = accounts.roles_of(tenant.kind)[membership.role].permissions
    if not tenant.is_active:
        raise TenantSuspended
    if who != SIGNED_IN and who not in g.permissions:
        raise NotAllowed
    return None


def _dress() -> None:
    """Pages in the platform's scope carry the look of the ISP that was chosen, while the person belongs to it."""
    mine = accounts.tenants_of(g.signed_in.person.id)
    g.tenant = next((tenant for tenant in mine if tenant.id == g.signed_in.row.chosen_tenant_id), None)
    g.can_switch = len(mine) > 1


def ask_to_sign_in() -> Response:
    """Sends the browser to the sign-in page and back here afterwards, if this was a page and not an act."""
    back = request.full_path.rstrip("?") if request.method == "GET" and request.path != "/" else None
    return _redirect("auth.sign_in", next=back)


def _redirect(endpoint: str, **values: Any) -> Response:
    response = redirect(url_for(endpoint, **values))
    assert isinstance(response, Response)
    return response


def current_tenant() -> Tenant:
    """The tenant that this request works for. Only in views that need a permission."""
    tenant: Tenant = g.tenant
    return tenant
