"""The one gate that every call to Daraja passes, shared by all processes: pace and breaker (see pace.py).

All tenants leave from one address, and Safaricom's firewall judges that address. The state is in Redis; where Redis
does not answer, each process keeps its own: then up to as many times the pace may leave as there are processes, which
is better than money that waits. docs/adr/0017 tells why these are not rows, and not a library's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
import structlog
from flask import current_app

from config import Settings
from tenants.mpesa import pace
from tenants.mpesa.pace import Rate, State, Turn
from wavu import clock
from wavu.db import assert_no_transaction

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

_PREFIX = "egress:"
_AWAY_SECONDS = 5.0
_KEEP_SECONDS = 86_400
# How old what a page says of the breaker may be.
_GLANCE_SECONDS = 2.0


class Gate:
    """One per application; safe in threads and after a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = redis.Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=0.5, socket_connect_timeout=0.2
        )
        self._lock = threading.Lock()
        self._here: dict[str, State] = {}
        self._away_until = 0.0
        self._glances: dict[str, tuple[float, float]] = {}

    def admit(
        self, base_url: str, app: str, kind: str, *, in_line: bool = False, patience_seconds: float = 3600
    ) -> Turn:
        """Asks for a turn to call one of Daraja's hosts. `app` names the caller's Daraja app, `kind` is `stk`, `query`
        or anything else; `in_line` is said by who comes back at the moment that it was given. Never waits.
        """
        assert_no_transaction("Daraja")
        host, now = urlsplit(base_url).netloc, self._now()
        rates = self._rates(base_url, kind)
        names = [f"breaker:{host}", f"all:{host}", f"{kind}:{host}:{app}"]

        def ask(states: list[State]) -> Turn:
            breaker, total, own = states
            if rest := pace.stopped_for(breaker, now):
                return Turn(rest, down=True)
            wait = pace.take(total, own, rates, now, in_line=in_line, patience_seconds=patience_seconds)
            if wait:
                breaker.pop("probe", None)  # whoever comes next may be the probe
            return Turn(wait)

        return self._change(names, ask)

    def heard(self, base_url: str, kind: str | None) -> None:
        """Says how a call ended: `html 403` or `html 503` where a page came instead of an answer, else None."""
        host, now = urlsplit(base_url).netloc, self._now()
        name = f"breaker:{host}"
        if self._change([name], lambda states: pace.heard(states[0], kind, now)):
            log.error("Daraja shuts us out: all calls rest", host=host, answer=kind)

    def down_for(self, base_url: str) -> float:
        """Seconds for which calls to this host rest still; 0 where they go out. For pages: a moment old at most."""
        host, now = urlsplit(base_url).netloc, clock.now().timestamp()
        seen_at, until = self._glances.get(host, (0.0, 0.0))
        if not 0 <= now - seen_at < _GLANCE_SECONDS:
            until = now + max(0.0, float(self._read(f"breaker:{host}").get("until", 0)) - self._now())
            self._glances[host] = now, until
        return max(0.0, until - now)

    def _now(self) -> float:
        """By the clock of Redis: whose own clock is wrong shall neither wait for the others nor hold them up."""
        return clock.now_by(self._redis_seconds).timestamp()

    def _redis_seconds(self) -> float:
        if time.monotonic() >= self._away_until:
            with suppress(redis.RedisError):
                said: Any = self._redis.time()
                return float(said[0]) + float(said[1]) / 1_000_000
        return clock.now().timestamp()

    def _rates(self, base_url: str, kind: str) -> tuple[Rate, Rate]:
        """For all of us, and for one app."""
        said = self._settings
        total = Rate(said.daraja_calls_per_second, max(1, int(said.daraja_calls_per_second)))
        sandbox = base_url == said.daraja_sandbox_url
        per_second = {
            "stk": said.daraja_sandbox_stk_per_second if sandbox else said.daraja_stk_per_second,
            "query": said.daraja_sandbox_queries_per_minute / 60 if sandbox else said.daraja_queries_per_second,
        }.get(kind, said.daraja_calls_per_second)
        # The sandbox is known to take one at a time (build sheet 4.2); of production nothing is known.
        return total, Rate(per_second, 1 if sandbox else max(1, int(per_second)))

    def _change(self, names: list[str], change: Callable[[list[State]], Result]) -> Result:
        """Applies a rule to states that no other process changes meanwhile."""
        with self._lock:
            if time.monotonic() >= self._away_until:
                try:
                    return self._change_shared([_PREFIX + name for name in names], change)
                except redis.RedisError as error:
                    log.warning("redis is away: each process paces itself", error=type(error).__name__)
                    self._away_until = time.monotonic() + _AWAY_SECONDS
            return change([self._here.setdefault(name, {}) for name in names])

    def _change_shared(self, keys: list[str], change: Callable[[list[State]], Result]) -> Result:
        with self._redis.pipeline() as pipe:
            while True:
                with suppress(redis.WatchError):
                    pipe.watch(*keys)  # type: ignore[no-untyped-call]
                    before: list[Any] = list(pipe.mget(keys))
                    states = [_read(raw) for raw in before]
                    result = change(states)
                    pipe.multi()
                    for key, raw, state in zip(keys, before, states, strict=True):
                        if state != _read(raw):
                            pipe.set(key, json.dumps(state), ex=_KEEP_SECONDS)
                    pipe.execute()
                    return result

    def _read(self, name: str) -> State:
        if time.monotonic() >= self._away_until:
            try:
                raw: Any = self._redis.get(_PREFIX + name)
                return _read(raw)
            except redis.RedisError:
                self._away_until = time.monotonic() + _AWAY_SECONDS
        return self._here.get(name, {})


def _read(raw: bytes | None) -> State:
    state: State = json.loads(raw) if raw else {}
    return state


def gate() -> Gate:
    """The running application's."""
    made: Gate | None = current_app.extensions.get("daraja_gate")
    if made is None:
        made = current_app.extensions.setdefault("daraja_gate", Gate(current_app.extensions["settings"]))
    return made
