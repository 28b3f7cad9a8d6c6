"""The Flask application class: the host chooses the routes, and one request is one transaction of one tenant."""

from __future__ import annotations

from typing import Any

from flask import Flask, Request, Response, g, request, session
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.routing import MapAdapter

from config import Settings
from wavu import accounts, audit
from wavu.db import db, is_outage, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope
from wavu.web.access import access_of, gather, most_bytes_of
from wavu.web.hosts import Hosts, Site


class WavuFlask(Flask):
    """Blueprints are registered with `subdomain=` the names of their surfaces, joined by `|`.

    To werkzeug a surface's name is the host: whatever host a request came to, it is matched, and its links are built,
    as if it had come to its surface.
    """

    def __init__(self, name: str, settings: Settings, **options: Any) -> None:
        super().__init__(name, host_matching=True, static_folder=None, **options)
        self.hosts = Hosts(settings)
        # Redirects made while matching would name the surface as the host; there are none.
        self.url_map.strict_slashes = self.url_map.merge_slashes = self.url_map.redirect_defaults = False

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *args: Any, **options: Any
    ) -> None:
        surfaces = options.pop("subdomain", None)
        if not surfaces:
            raise ValueError(f"{rule} belongs to no surface")
        for surface in surfaces.split("|"):
            super().add_url_rule(rule, endpoint, view_func, *args, host=surface, **options)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        with self.app_context():
            try:
                site = self.hosts.find(request.environ.get("HTTP_HOST", ""), request.path)
            except (DBAPIError, PoolTimeout) as error:
                raise ServiceUnavailable(retry_after=5) from error
        request.environ["wavu.site"] = site
        return self.url_map.bind_to_environ(request.environ, server_name=site.surface)

    def full_dispatch_request(self) -> Response:
        site: Site | None = request.environ.get("wavu.site")
        if site is None or site.surface == "ops":
            return super().full_dispatch_request()
        # Before CSRF reads the form; of someone who is signed in only, as the guard will find out.
        request.max_content_length = most_bytes_of(request.endpoint)
        g.site, g.place = site, _place(site)
        g.signed_in = _find_session(g.place)
        actor = audit.SYSTEM
        if g.signed_in is not None:
            actor = audit.Actor(g.signed_in.person.id, g.signed_in.person.name, g.place.address)
            if g.signed_in.is_complete:
                g.gathered = gather(request.endpoint)
        with tenant_scope(_scope(site, g.signed_in)), audit.acting(actor), transaction():
            return super().full_dispatch_request()

    def handle_user_exception(self, e: Exception) -> ResponseReturnValue:
        """What a failed view began is undone before the error page is rendered and the request's edge commits."""
        if request.environ.get("wavu.site"):
            db.session.rollback()
        return super().handle_user_exception(e)

    def handle_exception(self, e: Exception) -> Response:
        """An error outside any view, such as a commit that failed: what the request had read is gone by now."""
        g.tenant = g.signed_in = None
        if is_outage(e):
            return self.finalize_request(self.handle_user_exception(e), from_error_handler=True)
        return super().handle_exception(e)


def _place(site: Site) -> accounts.Place:
    return accounts.Place(site.surface, site.host, request.remote_addr, request.user_agent.string or None)


def _find_session(place: accounts.Place) -> accounts.Session | None:
    """The sign-in behind the cookie, read in a transaction of the platform's own before the request's begins."""
    token = session.get("_user_id") or session.get("pending")
    if not token or place.surface not in accounts.LIFETIMES:
        return None
    with tenant_scope(PLATFORM_ID), transaction():
        return accounts.find_session(token, place)


def _scope(site: Site, signed_in: accounts.Session | None) -> Any:
    """Whose rows this request may touch. A console request is the chosen tenant's, except for account pages."""
    if site.surface == "portal":
        return site.tenant_id
    access = access_of(request.endpoint)
    if site.surface == "hooks":
        # A machine names the tenant in its path; the token beside it must be that tenant's.
        return (request.view_args or {}).get("tenant_id")
    if site.surface == "console" and access is not None and access.scope == "tenant":
        complete = signed_in is not None and signed_in.is_complete
        return signed_in.row.chosen_tenant_id if complete and signed_in else None
    return PLATFORM_ID
