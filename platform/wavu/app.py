"""create_app(): the composition root. Daemons and workers run on it as it is; wavu.surfaces adds the web."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from config import ConfigurationError, Settings, load
from wavu import failpoint, logs, vault
from wavu.db import db, init_db
from wavu.tenancy import catalog
from wavu.web.i18n import init_i18n
from workers import reactions

log = structlog.get_logger(__name__)


def release() -> str:
    """The version that runs, as Sentry knows it."""
    try:
        return version("wavu")
    except PackageNotFoundError:
        return "checkout"


def create_app(settings: Settings) -> Flask:
    """An application without web pages: database, vault, jobs, languages. Connects to nothing yet."""
    app = Flask("wavu", static_folder=None)
    init_core(app, settings)
    init_i18n(app, lambda: "en")
    return app


def init_core(app: Flask, settings: Settings) -> None:
    """What every process of the product needs."""
    logs.init_logs(settings)
    logs.init_sentry(settings, release())
    failpoint.arm(settings.failpoint_dir)
    app.extensions["settings"] = settings
    app.extensions["vault"] = vault.Vault(settings.vault_keys)
    init_db(app, settings)
    reactions.install()


def start() -> tuple[Settings, Flask]:
    """How a daemon begins: the settings of its environment, and an application on a checked database. Ends the process
    with every fault of the configuration. Raises LeakySchema."""
    try:
        settings = load()
    except ConfigurationError as error:
        sys.exit(str(error))
    app = create_app(settings)
    check_database(app)
    return settings, app


def check_database(app: Flask) -> None:
    """Refuses to start on a schema that does not isolate tenants: raises LeakySchema.

    A database that is away is no reason not to start: the process answers 503, or waits, until it is back. Leaves no
    connection open, so that the process may fork afterwards.
    """
    with app.app_context():
        try:
            faults = catalog.faults()
        except SQLAlchemyError as error:
            log.warning("database not checked at start", error=type(error).__name__)
            return
        finally:
            db.engine.dispose()
    if faults:
        raise catalog.LeakySchema(faults)
