"""create_web(): the application with all its surfaces. The one place where the platform meets the tenant plane's."""

from __future__ import annotations

import secrets
from pathlib import Path

import structlog
from flask import Blueprint, Flask, current_app, g, redirect, request
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import BadRequest
from werkzeug.middleware.proxy_fix import ProxyFix

import tenants.console
import tenants.hooks
import tenants.portal
import wavu.backoffice
from config import Settings
from wavu.app import init_core
from wavu.signin import init_signin
from wavu.web import assets, errors, guard, health, i18n, security, sessions, templating
from wavu.web.access import check_every_view_declares, public
from wavu.web.flask_app import WavuFlask

front = Blueprint("front", __name__)


@front.get("/")
@public()
def home() -> ResponseReturnValue:
    """The bare domain: until ISPs can sign up alone, the door to the console."""
    settings: Settings = current_app.extensions["settings"]
    return redirect(settings.origin(f"console.{settings.platform_domain}"))


def create_web(settings: Settings) -> Flask:
    """Connects to nothing, so that it can be made before a process forks."""
    app = WavuFlask("wavu", settings, template_folder="web/templates", root_path=str(Path(__file__).parent))
    init_core(app, settings)
    if settings.proxy_hops:
        # The host is never taken from a forwarded header: it names the tenant.
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    app.before_request(_name_request)
    sessions.init_sessions(app, secure=settings.secure)
    security.init_security(app, settings)
    guard.init_guard(app)
    i18n.init_i18n(app, templating.pick_locale, templating.pick_timezone)
    templating.init_templating(app)
    errors.init_errors(app)
    for unreadable in (ParseException, NoMoreData):
        app.register_error_handler(unreadable, _body_not_understood)
    _register_surfaces(app, settings)
    check_every_view_declares(app)
    return app


def _register_surfaces(app: Flask, settings: Settings) -> None:
    assets.init_assets(app)
    health.init_health(app, settings)
    init_signin(app)
    app.register_blueprint(front, subdomain="front")
    app.register_blueprint(wavu.backoffice.bp, subdomain="backoffice")
    app.register_blueprint(tenants.console.bp, subdomain="console")
    app.register_blueprint(tenants.portal.bp, subdomain="portal")
    app.register_blueprint(tenants.hooks.bp, subdomain="hooks")
    security.csrf.exempt(tenants.hooks.bp)
    tenants.hooks.init_spool(app, settings)
    app.extensions["error_pages"] |= {
        "portal": tenants.portal.error_page,
        "console": tenants.console.suspended_page,
    }


def _body_not_understood(_: Exception) -> ResponseReturnValue:
    """gunicorn reads a chunked body only when the application does, and finds its faults only then."""
    return current_app.handle_http_exception(BadRequest())


def _name_request() -> None:
    """Gives the request a name that stands in its log lines and on its error page."""
    g.request_id = secrets.token_hex(6)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id, method=request.method, path=request.path)
