"""create_app(): the one composition root, where the platform meets the tenant plane."""

from __future__ import annotations

import secrets
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import structlog
from flask import Blueprint, Flask, Response, current_app, g, redirect, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.middleware.proxy_fix import ProxyFix

import tenants.console
import tenants.portal
import wavu.backoffice
from config import Settings
from wavu import logs, vault
from wavu.db import init_db
from wavu.signin import init_signin
from wavu.tenancy import catalog
from wavu.web import assets, errors, guard, health, i18n, security, sessions, templating
from wavu.web.access import check_every_view_declares, public
from wavu.web.flask_app import WavuFlask
from workers import reactions

log = structlog.get_logger(__name__)

front = Blueprint("front", __name__)


@front.get("/")
@public()
def home() -> Response:
    """The bare domain: until ISPs can sign up alone, the door to the console."""
    settings: Settings = current_app.extensions["settings"]
    response = redirect(settings.origin(f"console.{settings.platform_domain}"))
    assert isinstance(response, Response)
    return response


def release() -> str:
    try:
        return version("wavu")
    except PackageNotFoundError:
        return "checkout"


def create_app(settings: Settings) -> Flask:
    """Composes the application. Connects to nothing, so that it can be made before a process forks."""
    logs.init_logs(settings)
    logs.init_sentry(settings, release())
    app = WavuFlask("wavu", settings, template_folder="web/templates", root_path=str(Path(__file__).parent))
    app.extensions["settings"] = settings
    app.extensions["vault"] = vault.Vault(settings.vault_keys)
    if settings.proxy_hops:
        # The host is never taken from a forwarded header: it names the tenant.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxy_hops, x_proto=settings.proxy_hops, x_host=0)  # type: ignore[method-assign]
    init_db(app, settings)
    reactions.install()
    _init_web(app, settings)
    check_every_view_declares(app)
    return app


def _init_web(app: Flask, settings: Settings) -> None:
    app.before_request(_name_request)
    sessions.init_sessions(app, secure=settings.secure)
    security.init_security(app, settings)
    guard.init_guard(app)
    i18n.init_i18n(app, templating.pick_locale)
    app.config["BABEL_DEFAULT_TIMEZONE"] = "Africa/Nairobi"
    templating.init_templating(app)
    assets.init_assets(app)
    errors.init_errors(app)
    health.init_health(app, settings)
    init_signin(app)
    app.register_blueprint(front, subdomain="front")
    app.register_blueprint(wavu.backoffice.bp, subdomain="backoffice")
    app.register_blueprint(tenants.console.bp, subdomain="console")
    app.register_blueprint(tenants.portal.bp, subdomain="portal")
    app.extensions["error_pages"] |= {
        "portal": tenants.portal.error_page,
        "console": tenants.console.suspended_page,
    }


def _name_request() -> None:
    """Gives the request a name that stands in its log lines and on its error page."""
    g.request_id = secrets.token_hex(6)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id, method=request.method, path=request.path)


def check_database(app: Flask) -> None:
    """Refuses to start on a schema that does not isolate tenants. A database that is away is waited for elsewhere:
    the process starts and answers 503 until it is back.
    """
    with app.app_context():
        try:
            faults = catalog.faults()
        except SQLAlchemyError as error:
            log.warning("database not checked at start", error=type(error).__name__)
            return
    if faults:
        raise catalog.LeakySchema(faults)
