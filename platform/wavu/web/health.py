"""Health, told truthfully and to whoever asks: words and numbers, no names.

/livez: the process answers. /readyz: it can serve, which needs a database that writes and nothing else.
/healthz: everything works, Redis, workers and RADIUS too: what monitoring and the launcher watch.
"""

from __future__ import annotations

import math
import threading
import time
from typing import NamedTuple

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


class State(NamedTuple):
    """How a part is: `ok`, or what is wrong in a few words, with the numbers that fill its places."""

    message: str
    facts: dict[str, int]

    def __str__(self) -> str:
        return self.message % self.facts


OK = State("ok", {})
_SILENT = State(N_("does not answer"), {})


class Probe:
    """Checks each part at most once a second, however often it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = redis.Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=1, socket_connect_timeout=1
        )
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, State]] = {}

    def check(self, *parts: str) -> dict[str, State]:
        """Each part's state."""
        with self._lock:
            return {part: self._fresh(part) for part in parts}

    def _fresh(self, part: str) -> State:
        at, state = self._known.get(part, (-math.inf, OK))
        if time.monotonic() - at > 1:
            state = getattr(self, f"_{part}")()
            self._known[part] = (time.monotonic(), state)
        return state

    def _database(self) -> State:
        try:
            with tenant_scope(None), transaction():
                db.session.execute(
                    text(
                        "INSERT INTO health_probe (id, written_at) VALUES (1, now()) "
                        "ON CONFLICT (id) DO UPDATE SET written_at = now()"
                    )
                )
        except SQLAlchemyError:
            return State(N_("cannot write"), {})
        return OK

    def _outbox(self) -> State:
        try:
            with tenant_scope(None), transaction():
                backlog = outbox.backlog()
        except SQLAlchemyError:
            return State(N_("unknown"), {})
        if backlog.dead:
            return State(N_("%(count)s jobs given up"), {"count": backlog.dead})
        late = int(backlog.overdue_seconds)
        return OK if late < OVERDUE_SECONDS else State(N_("oldest job overdue by %(seconds)s s"), {"seconds": late})

    def _redis(self) -> State:
        try:
            self._client.ping()
        except redis.RedisError:
            return _SILENT
        return OK

    def _radius(self) -> State:
        s = self._settings
        secret = s.radius_health_secret.get_secret_value()
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a daemon on every address is asked on loopback
        host = loopback.get(s.radius_bind, s.radius_bind)
        return OK if radius_answers(host, s.radius_auth_port, secret) else _SILENT


def init_health(app: Flask, settings: Settings) -> None:
    app.extensions["health"] = Probe(settings)
    app.register_blueprint(bp, subdomain="ops")


def report() -> dict[str, State]:
    """The state of every part, for /healthz and for the staff's home page."""
    probe: Probe = current_app.extensions["health"]
    return probe.check(*NAMES)


def _answer(parts: dict[str, State]) -> tuple[Response, int]:
    good = all(state == OK for state in parts.values())
    words = {part: str(state) for part, state in parts.items()}
    return jsonify(status="ok" if good else "failing", **words), 200 if good else 503


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
