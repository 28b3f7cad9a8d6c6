"""Headers that tell browsers what not to do, CSRF, and how many requests an address may make."""

from __future__ import annotations

import threading
import time
from collections import Counter

from flask import Flask, Response, abort, request
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import TooManyRequests

from config import Settings
from wavu.web.hosts import Site

# No inline script or style anywhere, so no nonce: pages stay cacheable and an injected tag does nothing.
STAFF_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'none'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

csrf = CSRFProtect()


def _who() -> str:
    site: Site | None = request.environ.get("wavu.site")
    return f"{site.host if site else '-'}|{request.remote_addr}"


class Flood:
    """How many requests an address has made at a host, in each window of so many seconds.

    Counted in this process alone, so that no page waits for Redis: with n processes an address gets up to n times as
    many. It only stops floods, since a whole hotspot may share one public address.
    """

    def __init__(self, limits: dict[int, int]) -> None:
        self.limits = limits
        self._windows: dict[int, tuple[int, Counter[str]]] = {}
        self._lock = threading.Lock()

    def wait_of(self, who: str) -> int:
        """Counts a request. 0 while it is welcome; else the seconds until there is room again."""
        now, wait = int(time.monotonic()), 0
        with self._lock:
            for seconds, most in self.limits.items():
                number, counts = self._windows.get(seconds, (-1, Counter[str]()))
                if number != now // seconds:
                    number, counts = now // seconds, Counter[str]()
                    self._windows[seconds] = number, counts
                counts[who] += 1
                if counts[who] > most:
                    wait = max(wait, seconds - now % seconds)
        return wait


flood = Flood({1: 120, 60: 3000})

# For what a page does, counted for all processes in Redis. Sign-in counts for itself in PostgreSQL.
limiter = Limiter(
    _who,
    strategy="fixed-window",
    in_memory_fallback_enabled=True,
    swallow_errors=True,
    key_prefix="limit",
)


def init_security(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        MAX_CONTENT_LENGTH=1024 * 1024,
        MAX_FORM_MEMORY_SIZE=256 * 1024,
        WTF_CSRF_TIME_LIMIT=None,
        RATELIMIT_STORAGE_URI=settings.redis_url.get_secret_value(),
        RATELIMIT_STORAGE_OPTIONS={"socket_timeout": 0.2, "socket_connect_timeout": 0.2},
    )

    @app.before_request
    def slow_down() -> None:
        site: Site | None = request.environ.get("wavu.site")
        # A few addresses of a payment provider speak for every tenant: hooks count what they do not know instead.
        # Whoever watches over us asks often.
        if (site is None or site.surface not in ("hooks", "ops")) and (wait := flood.wait_of(_who())):
            raise TooManyRequests(retry_after=wait)

    @app.before_request
    def refuse_nothing_characters() -> None:
        """NUL is no text to PostgreSQL, and nobody types it into an address. Forms tidy what they take."""
        site: Site | None = request.environ.get("wavu.site")
        if site is not None and site.surface == "console" and any("\0" in value for value in request.args.values()):
            abort(400)

    csrf.init_app(app)
    limiter.init_app(app)
    # A view that is limited asks by itself; without limits for all, there is nothing to ask before each of the others.
    app.before_request_funcs[None].remove(limiter._check_request_limit)

    shield = {
        "Content-Security-Policy": STAFF_CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "X-Frame-Options": "DENY",
    }
    if settings.secure:
        shield["Strict-Transport-Security"] = "max-age=31536000"

    @app.after_request
    def harden(response: Response) -> Response:
        headers = response.headers
        own = set(headers.keys())
        headers.extend((name, value) for name, value in shield.items() if name not in own)
        if "Cache-Control" not in headers:
            headers["Cache-Control"] = "private, no-store"
            response.vary.update(["Host", "Cookie"])
        return response
