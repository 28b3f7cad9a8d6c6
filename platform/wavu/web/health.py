"""Health, told truthfully and to whoever asks: words and numbers, no names.

/livez: the process answers. /readyz: it can serve, which needs a database that writes and nothing else.
/healthz: everything works, Redis, workers and RADIUS too: what monitoring and the launcher watch.
"""

from __future__ import annotations

import threading
import time

import redis
from flask import Blueprint, Flask, Response, current_app, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from config import Settings
from wavu import outbox
from wavu.db import db, transaction
from wavu.errors import N_
from wavu.radius_probe import answers as radius_answers
from wavu.tenancy import tenant_scope
from wavu.web.access import public

OVERDUE_SECONDS = 60

NAMES = {"database": N_("Database"), "outbox": N_("Jobs"), "redis": N_("Redis"), "radius": N_("RADIUS")}

bp = Blueprint("health", __name__)


class Probe:
    """Checks each part at most once a second, however often it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = redis.Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=1, socket_connect_timeout=1
        )
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, str]] = {}

    def check(self, *parts: str) -> dict[str, str]:
        """Each part's state: `ok`, or what is wrong in a few words."""
        with self._lock:
            return {part: self._fresh(part) for part in parts}

    def _fresh(self, part: str) -> str:
        at, state = self._known.get(part, (0.0, ""))
        if time.monotonic() - at > 1:
            state = getattr(self, f"_{part}")()
            self._known[part] = (time.monotonic(), state)
        return state

    def _database(self) -> str:
        try:
            with tenant_scope(None), transaction():
                db.session.execute(
                    text(
                        "INSERT INTO health_probe (id, written_at) VALUES (1, now()) "
                        "ON CONFLICT (id) DO UPDATE SET written_at = now()"
                    )
                )
        except SQLAlchemyError:
            return "cannot write"
        return "ok"

    def _outbox(self) -> str:
        try:
            with tenant_scope(None), transaction():
                backlog = outbox.backlog()
        except SQLAlchemyError:
            return "unknown"
        if backlog.dead:
            return f"{backlog.dead} dead jobs"
        late = int(backlog.overdue_seconds)
        return "ok" if late < OVERDUE_SECONDS else f"oldest job overdue by {late} s"

    def _redis(self) -> str:
        try:
            self._client.ping()
        except redis.RedisError:
            return "does not answer"
        return "ok"

    def _radius(self) -> str:
        s = self._settings
        secret = s.radius_health_secret.get_secret_value()
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a daemon on every address is asked on loopback
        host = loopback.get(s.radius_bind, s.radius_bind)
        return "ok" if radius_answers(host, s.radius_auth_port, secret) else "does not answer"


def init_health(app: Flask, settings: Settings) -> None:
    app.extensions["health"] = Probe(settings)
    app.register_blueprint(bp, subdomain="ops")


def report() -> dict[str, str]:
    """The state of every part, for /healthz and for the staff's home page."""
    probe: Probe = current_app.extensions["health"]
    return probe.check(*NAMES)


def _answer(parts: dict[str, str]) -> tuple[Response, int]:
    good = all(state == "ok" for state in parts.values())
    return jsonify(status="ok" if good else "failing", **parts), 200 if good else 503


@bp.get("/livez")
@public()
def livez() -> str:
    return "ok\n"


@bp.get("/readyz")
@public()
def readyz() -> tuple[Response, int]:
    probe: Probe = current_app.extensions["health"]
    return _answer(probe.check("database"))


@bp.get("/healthz")
@public()
def healthz() -> tuple[Response, int]:
    return _answer(report())
