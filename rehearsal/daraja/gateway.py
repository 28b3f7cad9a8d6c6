"""The API gateway in front of every Daraja path: faults, verbs, tokens, products, rates, JSON, and OAuth itself.

The order of checks is that of build sheet 23 ("Must validate like the gateway"); the answers are those of 2.2 and 2.3.
An API of Daraja is one `mount` with a handler that gets a `Call` and returns a `Reply` or raises `Refusal`.
"""

from __future__ import annotations

import base64
import binascii
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from .journal import Journal
from .knobs import Knobs
from .world import App, World

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
BURST_SECONDS = 10.0
# What the APIs call the shortcode and the customer's phone.
_SHORTCODES = ("BusinessShortCode", "ShortCode", "ReceiverParty", "PartyA")
_PHONES = ("PhoneNumber", "Msisdn", "PartyB")


class Refusal(Exception):
    """A "no" in the gateway's envelope. `why` is for the person at the simulator and travels in a header."""

    def __init__(self, status: int, code: str, message: str, why: str = "") -> None:
        super().__init__(f"{code} {message}")
        self.status, self.code, self.message, self.why = status, code, message, why


class Raw(Exception):
    """An answer outside the envelope: HTML, an empty body, an Apigee fault."""

    def __init__(self, status: int, body: str = "", content_type: str = "application/json") -> None:
        super().__init__(status)
        self.status, self.body, self.content_type = status, body, content_type


@dataclass(frozen=True)
class Call:
    """A request that passed the gateway."""

    app: App
    body: Mapping[str, Any]
    knobs: Knobs


@dataclass(frozen=True)
class Reply:
    body: Mapping[str, object]
    # Runs before the answer leaves, without the lock: the callback that beats the response.
    first: Callable[[], None] | None = None


Handler = Callable[[Call], Reply]


def bad_request(what: str, why: str = "") -> Refusal:
    """Portal page MpesaExpressSimulate, errors: `400.002.02 Bad Request - Invalid XXXX`."""
    return Refusal(400, "400.002.02", f"Bad Request - Invalid {what}", why)


@dataclass
class Gateway:
    web: Flask
    world: World
    journal: Journal
    released: threading.Event = field(default_factory=threading.Event)
    _recent: dict[str, list[float]] = field(default_factory=dict)
    _banned_until: float = 0.0
    _buckets: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.web.register_error_handler(HTTPException, self._no_such_page)
        self.web.add_url_rule("/oauth/v1/generate", "oauth", self._oauth, methods=VERBS)

    def mount(self, path: str, exchange: str, product: str, handler: Handler) -> None:
        """Serve a bearer-token POST API. `exchange` names its knob groups (knobs.GROUPS)."""

        def view() -> Response:
            return self._exchange(exchange, lambda knobs: self._admit(exchange, product, knobs, handler))

        self.web.add_url_rule(path, path, view, methods=VERBS)

    def release(self) -> None:
        """End every hang and slow answer that is under way."""
        waiting, self.released = self.released, threading.Event()
        waiting.set()

    def calm(self) -> None:
        """Forget bursts and buckets."""
        self._recent.clear()
        self._buckets.clear()
        self._banned_until = 0.0

    # -- one exchange with its faults

    def _exchange(self, exchange: str, serve: Callable[[Knobs], Reply]) -> Response:
        with self.world.lock:
            knobs = self.world.effective(exchange, self._about())
            fault = knobs.gateway_fault if self.world.chance(knobs.gateway_chance) else "none"
            pause = self.world.draw(knobs.gateway_slow)
        if pause:
            self.released.wait(pause)
        if fault == "hang_before_exec":
            return self._cut(exchange, knobs)
        try:
            with self.world.lock:
                self._weather(knobs, fault)
                reply = serve(knobs)
            if reply.first is not None:
                reply.first()
            response = _json(200, reply.body)
        except Refusal as refusal:
            response = self._envelope(refusal)
        except Raw as raw:
            response = Response(raw.body, raw.status, content_type=raw.content_type)
        if fault == "hang_after_exec":
            return self._cut(exchange, knobs)
        if fault == "error_after_exec":
            response = self._envelope(Refusal(500, "500.001.1001", "Internal Server Error"))
        self.journal.exchange(exchange, request, response)
        return response

    def _cut(self, exchange: str, knobs: Knobs) -> Response:
        """Keep the client waiting, then close the connection without an answer."""
        self.journal.exchange(exchange, request, None)
        if knobs.gateway_hang:
            self.released.wait(knobs.gateway_hang)
        connection: socket.socket | None = request.environ.get("werkzeug.socket")
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
        return Response(status=503)

    def _weather(self, knobs: Knobs, fault: str) -> None:
        """What stands in front of the gateway: firewall bans, outages, maintenance (build sheet 2.2)."""
        self._firewall(knobs)
        if fault in _WEATHER:
            raise _WEATHER[fault]()
        if fault.startswith("spike"):
            raise self._too_fast("429" if fault == "spike_429" else "500.003.02", 5, 60)

    def _firewall(self, knobs: Knobs) -> None:
        """A burst from one address earns HTML 403 on every endpoint for a while (build sheet 2.2, 19)."""
        now = self.world.clock.now()
        if now < self._banned_until:
            raise _html(403)
        if not knobs.gateway_burst:
            return
        recent = self._recent.setdefault(request.remote_addr or "", [])
        recent[:] = [at for at in recent if at > now - BURST_SECONDS] + [now]
        if len(recent) > knobs.gateway_burst:
            self._banned_until = now + knobs.gateway_ban
            raise _html(403)

    def _envelope(self, refusal: Refusal) -> Response:
        with self.world.lock:
            request_id = self.world.ids.request()
        body = {"requestId": request_id, "errorCode": refusal.code, "errorMessage": refusal.message}
        response = _json(refusal.status, body)
        if refusal.why:
            response.headers["X-Simulator-Reason"] = refusal.why
        return response

    def _no_such_page(self, error: HTTPException) -> Response:
        if request.path.startswith(("/control", "/phone")) or error.code != 404:
            return Response(f"{error.name}\n", error.code or 500, content_type="text/plain")
        response = self._envelope(Refusal(404, "404.001.01", "Resource not found"))
        self.journal.exchange("unknown", request, response)
        return response

    def _about(self) -> dict[str, str]:
        """Whom this request concerns, read without judging it, so that rules can match."""
        peeked = request.get_json(silent=True, force=True)
        body: dict[str, Any] = peeked if isinstance(peeked, dict) else {}
        shortcode, msisdn = (_first(body, names) for names in (_SHORTCODES, _PHONES))
        known = self.world.attempts.get(str(body.get("CheckoutRequestID") or ""))
        about = {"shortcode": shortcode, "msisdn": known.msisdn if known else msisdn}
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            about["consumer_key"] = (_basic(secret) or ("", ""))[0]
        elif token := self.world.tokens.get(secret):
            about["consumer_key"] = token.consumer_key
        return about

    # -- the checks of a bearer API

    def _admit(self, exchange: str, product: str, knobs: Knobs, handler: Handler) -> Reply:
        if request.method != "POST":
            if knobs.gateway_wrong_verb == "404.001.04":
                raise Refusal(404, "404.001.04", "Invalid Authentication Header", "this API is POST only")
            raise Refusal(405, "405.001", f"{request.method} Method Not Allowed")
        app = self._app_of_bearer(product, knobs)
        self._rate(exchange, app, knobs)
        return handler(Call(app, self._body(), knobs))

    def _app_of_bearer(self, product: str, knobs: Knobs) -> App:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise Refusal(404, "404.001.04", "Invalid Authentication Header")
        token = self.world.live_token(value.strip())
        app = self.world.apps.get(token.consumer_key) if token else None
        if token is None or app is None:
            code = knobs.gateway_invalid_token
            known = "expired" if value.strip() in self.world.tokens else "unknown or invalidated by a newer one"
            raise Refusal(int(code[:3]), code, "Invalid Access Token", f"the token is {known}")
        if product not in token.products:
            text = "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found"
            raise Refusal(401, "401.002.01", text, f"{product} was not on the app when this token was issued")
        return app

    def _rate(self, exchange: str, app: App, knobs: Knobs) -> None:
        """Spike arrest spreads the allowance evenly, with a burst of one (build sheet 4.2, STKREC)."""
        rates = {"query": (knobs.query_per_minute, 60), "stk": (knobs.stk_per_second, 1)}
        allowed, period = rates.get(exchange, (0, 1))
        if not allowed:
            return
        now, bucket = self.world.clock.now(), f"{exchange} {app.consumer_key}"
        if now < self._buckets.get(bucket, 0.0):
            raise self._too_fast(knobs.query_rate_form, allowed, period)
        self._buckets[bucket] = now + period / allowed

    @staticmethod
    def _too_fast(form: str, allowed: float, period: int) -> Refusal | Raw:
        if form == "500.003.02":
            return Refusal(500, "500.003.02", "Error Occurred: Spike Arrest Violation")
        rate = f"messagesPerPeriod={allowed:g}, periodInMicroseconds={period * 1_000_000}, maxBurstMessageCount=1.0"
        text = f"Spike arrest violation. Allowed rate : MessageRate{{{rate}}}"
        return _fault(429, text, "policies.ratelimit.SpikeArrestViolation")

    @staticmethod
    def _body() -> Mapping[str, Any]:
        """Build sheet 2.1: a wrong content type reads as "field missing"."""
        if request.mimetype != "application/json":
            raise bad_request("BusinessShortCode", "Content-Type must be application/json")
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise Refusal(400, "400.002.05", "Invalid Request Payload")
        return body

    # -- OAuth (portal page Authorization, build sheet 3)

    def _oauth(self) -> Response:
        return self._exchange("oauth", self._token)

    def _token(self, knobs: Knobs) -> Reply:
        if request.method != "GET":
            raise Refusal(405, "405.001", f"{request.method} Method Not Allowed")
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            raise Refusal(404, "404.001.04", "Invalid Authentication Header")
        if scheme.lower() != "basic":
            raise Refusal(400, "400.008.01", "Invalid Authentication passed")
        if request.args.get("grant_type") != "client_credentials":
            raise Refusal(400, "400.008.02", "Invalid grant type passed")
        key, password = _basic(secret) or ("", "")
        app = self.world.apps.get(key)
        if app is None or app.consumer_secret != password or knobs.oauth_empty_400:
            raise Raw(400)
        token = self.world.issue_token(app, knobs.oauth_ttl, strict=knobs.oauth_strict_invalidation)
        expires: int | str = knobs.oauth_ttl if knobs.oauth_expires_in_type == "number" else str(knobs.oauth_ttl)
        return Reply({"access_token": token.value, "expires_in": expires})


def _first(body: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(body[name]) for name in names if body.get(name)), "")


def _json(status: int, body: Mapping[str, object]) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


def _basic(secret: str) -> tuple[str, str] | None:
    try:
        key, colon, password = base64.b64decode(secret.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (key, password) if colon else None


def _html(status: int) -> Raw:
    title = "403 Forbidden" if status == 403 else "503 Service Unavailable"
    marker = "" if status == 403 else '<META NAME="robots" CONTENT="noindex,nofollow"><p>Incapsula incident</p>'
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1>{marker}</body></html>"
    return Raw(status, page, "text/html; charset=utf-8")


def _fault(status: int, text: str, code: str) -> Raw:
    """The Apigee fault form (build sheet 2.2)."""
    return Raw(status, f'{{"fault":{{"faultstring":"{text}","detail":{{"errorcode":"{code}"}}}}}}')


def _soap() -> Raw:
    fault = "<soapenv:Fault><faultstring>Internal error</faultstring></soapenv:Fault>"
    envelope = f'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">{fault}</soapenv:Envelope>'
    return Raw(500, envelope, "text/xml")


_MAINTENANCE = "Service is currently under maintenance. Please try again later"
_BUSY = "System is busy. Please try again in few minutes."
_WEATHER: dict[str, Callable[[], Exception]] = {
    "html_403": lambda: _html(403),
    "html_503": lambda: _html(503),
    "unreachable": lambda: Refusal(500, "500.003.1001", "Service is currently unreachable"),
    "maintenance": lambda: Refusal(500, "00.002.1001", _MAINTENANCE),
    "internal_error": lambda: Refusal(500, "500.001.1001", "Internal Server Error"),
    "soap_fault": _soap,
    "fault_envelope": lambda: _fault(500, "Execution of ServiceCallout failed", "steps.servicecallout.ExecutionFailed"),
    "empty_400": lambda: Raw(400),
    "busy": lambda: Refusal(500, "500.003.02", _BUSY),
    "quota": lambda: Refusal(500, "500.003.03", "Quota Violation"),
}
