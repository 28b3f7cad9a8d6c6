"""The whole simulator in one object: serve it in-process, script people, turn knobs, read the book."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import random
import secrets
import string
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from werkzeug.routing import Map

from rehearsal.daraja.clock import Clock
from rehearsal.simulation import (
    NotPossible,
    Server,
    Unknown,
    application,
    loopback_address,
    loopback_names_only,
)

from . import control, gateway, phone
from .knobs import Knobs

_ADDRESSES = Map()
OUTCOMES = ("pay", "wrong_pin", "refuse", "ignore")
WRONG_PIN, TOO_POOR, REFUSED, UNANSWERED = ("DP00800001002", "DP00800001007", "DP00800001008", "DP00800001024")


@dataclass
class AirtelApp:
    """An application in the developer portal. `callback_url` and `hash_key` are what its owner has entered there."""

    client_id: str
    client_secret: str
    merchant_number: str
    name: str
    callback_url: str = ""
    hash_key: str = ""
    tokens: dict[str, float] = field(default_factory=dict)


@dataclass
class Payment:
    """A push and what became of it. `status` is Airtel's: TIP while it is open; money moved if it is TS."""

    id: str
    app: AirtelApp
    msisdn: str
    amount: int
    reference: str
    began_at: float
    status: str = "TIP"
    code: str = "DP00800001006"
    money_id: str = ""
    ignored: bool = False


@dataclass
class Owner:
    """Somebody with an Airtel line; the number has nine digits."""

    msisdn: str
    balance: int = 10_000
    script: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@dataclass
class Sent:
    """A callback that went out, and how it was answered."""

    payment_id: str
    body: bytes
    status: int | None = None
    error: str = ""


class AirtelSimulator:
    """An Airtel of one's own on loopback. All methods are safe from any thread. `start` and `frozen` fix the clock, so
    that a test moves it with `advance`."""

    def __init__(self, seed: int = 0, *, start: datetime | None = None, frozen: bool = False) -> None:
        self.clock = Clock(start, frozen=frozen)
        self.knobs = Knobs()
        self.apps: dict[str, AirtelApp] = {}
        self.payments: dict[str, Payment] = {}
        self.owners: dict[str, Owner] = {}
        self.sent: list[Sent] = []
        self.requests: list[str] = []
        self.released = threading.Event()
        self._random = random.Random(seed)  # noqa: S311 - reproducible, and nobody's secret
        self._couriers = ThreadPoolExecutor(16, thread_name_prefix="airtel-callback")
        self._in_flight = 0
        self.web = application(__package__, _ADDRESSES)
        self.web.before_request(loopback_names_only)
        self.web.register_blueprint(gateway.blueprint(self))
        self.web.register_blueprint(control.blueprint(self))
        self.web.register_blueprint(phone.blueprint(self))
        self.base_url = ""
        self._server: Server | None = None

    @property
    def lock(self) -> threading.Condition:
        return self.clock.lock

    # -- life

    def serve(self, port: int = 0, bind: str = "127.0.0.1") -> AirtelSimulator:
        """Start answering on loopback; port 0 takes a free one. Raises ValueError for any other address."""
        address = loopback_address(bind)
        if address is None:
            raise ValueError(f"the Airtel simulator binds loopback only, not {bind!r}")
        self._server = Server(self.web, address, port)
        self.base_url = self._server.url
        self.clock.start()
        return self

    def close(self) -> None:
        self.released.set()
        if self._server is not None:
            self._server.close()
        self.clock.close()
        self._couriers.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> AirtelSimulator:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # -- what stands in the developer portal

    def add_app(
        self, client_id: str, client_secret: str, merchant_number: str, *, name: str = "", callback_url: str = "",
        hash_key: str = "",
    ) -> AirtelApp:  # fmt: skip
        with self.lock:
            app = AirtelApp(client_id, client_secret, merchant_number, name or merchant_number, callback_url, hash_key)
            self.apps[client_id] = app
            return app

    def app(self, client_id: str) -> AirtelApp:
        with self.lock:
            if client_id not in self.apps:
                raise Unknown(f"there is no application {client_id!r}")
            return self.apps[client_id]

    def set_callback(self, client_id: str, url: str, hash_key: str | None = None) -> None:
        """What the owner of the application enters under its settings; a hash key turns callback authentication on."""
        app = self.app(client_id)
        app.callback_url = url
        if hash_key is not None:
            app.hash_key = hash_key

    def make_token(self, app: AirtelApp) -> str:
        with self.lock:
            token = secrets.token_urlsafe(24)
            app.tokens[token] = self.clock.now() + self.knobs.token_ttl
            return token

    def app_of(self, token: str) -> AirtelApp | None:
        with self.lock:
            now = self.clock.now()
            return next((app for app in self.apps.values() if app.tokens.get(token, 0) > now), None)

    # -- people

    def owner(self, msisdn: str, balance: int | None = None) -> Owner:
        with self.lock:
            owner = self.owners.setdefault(msisdn, Owner(msisdn))
            if balance is not None:
                owner.balance = balance
            return owner

    def script(self, msisdn: str, *outcomes: str) -> None:
        """How somebody answers their next prompts: pay, wrong_pin, refuse or ignore. Without, a person must."""
        if unknown := set(outcomes) - set(OUTCOMES):
            raise Unknown(f"an outcome is one of {', '.join(OUTCOMES)}, not {', '.join(sorted(unknown))}")
        self.owner(msisdn).script.extend(outcomes)

    def set_knobs(self, settings: dict[str, object]) -> None:
        with self.lock:
            self.knobs = self.knobs.changed(settings)
            if self.knobs.gateway_fault == "none":
                self.released.set()
                self.released = threading.Event()

    # -- a push

    def begin(self, app: AirtelApp, name: str, msisdn: str, amount: int, reference: str) -> Payment:
        """The push goes to the phone."""
        with self.lock:
            payment = Payment(name, app, msisdn, amount, reference, self.clock.now())
            self.payments[name] = payment
            owner = self.owner(msisdn)
            self.clock.after(self.knobs.push_seconds, lambda: self._run_out(payment))
            if owner.script:
                outcome = owner.script.pop(0)
                self.clock.after(0, lambda: self._act(payment, outcome))
            return payment

    def payment(self, name: str) -> Payment:
        with self.lock:
            if name not in self.payments:
                raise Unknown(f"there is no payment {name!r}")
            return self.payments[name]

    def answer(self, name: str, outcome: str) -> None:
        """A person answers. Raises NotPossible once the prompt is over."""
        with self.lock:
            payment = self.payment(name)
            if payment.status != "TIP":
                raise NotPossible("this request is over")
            self._act(payment, outcome)

    def open_prompts(self, msisdn: str) -> list[Payment]:
        with self.lock:
            return [each for each in self.payments.values() if each.msisdn == msisdn and each.status == "TIP"]

    def _act(self, payment: Payment, outcome: str) -> None:
        if payment.status != "TIP":
            return
        if outcome == "ignore":
            payment.ignored = True
        elif outcome == "pay":
            self._move_money(payment)
        else:
            self._end(payment, "TF", WRONG_PIN if outcome == "wrong_pin" else REFUSED)

    def _move_money(self, payment: Payment) -> None:
        owner = self.owner(payment.msisdn)
        if owner.balance < payment.amount:
            self._end(payment, "TF", TOO_POOR)
            return
        owner.balance -= payment.amount
        letters = "".join(self._random.choice(string.digits) for _ in range(5))
        payment.money_id = f"MP{self.clock.eat():%y%m%d.%H%M}.L{letters}"
        owner.messages.append(f"Paid KES {payment.amount:,} to {payment.app.name}. Trans ID {payment.money_id}.")
        self._end(payment, "TS", "DP00800001001")

    def _run_out(self, payment: Payment) -> None:
        if payment.status == "TIP":
            self._end(payment, self.knobs.push_timeout, UNANSWERED)

    def _end(self, payment: Payment, status: str, code: str) -> None:
        payment.status, payment.code = status, code
        if status in {"TF", "TE"} and self.knobs.push_late_success:
            self.clock.after(self.knobs.push_late_success, lambda: self._move_money(payment))
        if status != "TA":
            self.call_back(payment)
        self.lock.notify_all()

    # -- callbacks

    def call_back(self, payment: Payment) -> None:
        """As the knobs say: now, later, more than once, or not at all. Holds the lock; returns at once."""
        knobs = self.knobs
        if knobs.callback_lost or not payment.app.callback_url:
            return
        body = self.body_of(payment)
        for _ in range(knobs.callback_copies):
            if knobs.callback_delay:
                self.clock.after(knobs.callback_delay, lambda: self._submit(payment, body))
            else:
                self._submit(payment, body)

    def body_of(self, payment: Payment) -> bytes:
        """The callback about a payment, signed if its application has that turned on."""
        charge = f"Charge KES 0, Trans ID {payment.money_id}."
        said = f"Paid KES {payment.amount:,} to {payment.app.name} {charge}" if payment.status == "TS" else "FAILED"
        told = {"id": payment.id, "message": said, "status_code": payment.status, "airtel_money_id": payment.money_id}
        separators = (", ", ": ") if self.knobs.callback_spaces else (",", ":")
        inner = json.dumps(told, separators=separators)
        if not payment.app.hash_key:
            return f'{{"transaction":{inner}}}'.encode()
        digest = hmac.new(payment.app.hash_key.encode(), inner.encode(), hashlib.sha256).digest()
        return f'{{"transaction":{inner},"hash":"{base64.b64encode(digest).decode()}"}}'.encode()

    def resend(self, name: str) -> None:
        """The genuine callback once more, whatever the knobs dropped; returns when it was answered."""
        payment = self.payment(name)
        self._post(payment, self.body_of(payment))

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """True once no callback is on the wire."""
        with self.lock:
            return self.lock.wait_for(lambda: self._in_flight == 0, timeout)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; then wait until the callbacks it caused are off the wire."""
        self.clock.advance(seconds)
        self.wait_idle()

    def total(self, client_id: str) -> int:
        """What customers have paid to an application."""
        with self.lock:
            return sum(p.amount for p in self.payments.values() if p.app.client_id == client_id and p.status == "TS")

    def _submit(self, payment: Payment, body: bytes) -> None:
        with self.lock:
            self._in_flight += 1

        def run() -> None:
            try:
                self._post(payment, body)
            finally:
                with self.lock:
                    self._in_flight -= 1
                    self.lock.notify_all()

        self._couriers.submit(run)

    def _post(self, payment: Payment, body: bytes) -> None:
        sent = Sent(payment.id, body)
        parts = urlsplit(payment.app.callback_url)
        address = loopback_address(parts.hostname)
        if address is None or parts.scheme != "http":
            sent.error = "refused: the simulator calls plain http on loopback only"
        else:
            connection = http.client.HTTPConnection(address, parts.port or 80, timeout=8)
            try:
                headers = {"Host": parts.netloc, "Content-Type": "application/json"}
                connection.request("POST", parts.path, body, headers)
                sent.status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                sent.error = f"{type(error).__name__}: {error}"
            finally:
                connection.close()
        with self.lock:
            self.sent.append(sent)

    def state(self) -> dict[str, Any]:
        """Everything, for the control API; secrets apart."""
        with self.lock:
            return {
                "apps": [
                    {
                        "client_id": app.client_id, "name": app.name, "merchant_number": app.merchant_number,
                        "callback_url": app.callback_url, "callback_authentication": bool(app.hash_key),
                    }
                    for app in self.apps.values()
                ],
                "payments": [
                    {
                        "id": each.id, "amount": each.amount, "status": each.status, "code": each.code,
                        "airtel_money_id": each.money_id, "merchant_number": each.app.merchant_number,
                        "msisdn": f"******{each.msisdn[-3:]}",
                    }
                    for each in self.payments.values()
                ],
                "callbacks": [
                    {"payment": each.payment_id, "status": each.status, "error": each.error} for each in self.sent
                ],
            }  # fmt: skip
