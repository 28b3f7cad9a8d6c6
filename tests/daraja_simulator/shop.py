"""A plain Daraja client and a callback receiver, written for these tests from the portal's samples."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from rehearsal.daraja import Simulator

ASHA = "254712345678"
BARAKA = "254110000001"


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> tuple[int, str, str]:
        return self.status, self.json["errorCode"], self.json["errorMessage"]


def ask(
    base: str, verb: str, path: str, body: object = None, headers: dict[str, str] | None = None, timeout: float = 5
) -> Answer:
    """One request. `body` bytes go as they are, anything else as JSON."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    kind = {} if content is None else {"Content-Type": "application/json"}
    try:
        connection.request(verb, path, content, kind | (headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(), dict(answer.getheaders()))
    finally:
        connection.close()


@dataclass
class Receiver:
    """Takes callbacks. `status` is what it answers; the lists are what it got."""

    status: int = 200
    raw: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    location: str = ""
    reply: object = None
    on_callback: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # five, the default, makes the sixth callback of a batch wait a second

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://pendo.localhost:{self.server.server_port}/h/s/" + "3f" * 32

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.raw.append(body)
        self.paths.append(request.path)
        self.hosts.append(request.headers["Host"])
        self.sources.append(request.headers["X-Forwarded-For"])
        if self.on_callback:
            self.on_callback()
        request.send_response(self.status)
        if self.location:
            request.send_header("Location", self.location)
        answer = b"" if self.reply is None else json.dumps(self.reply).encode()
        request.send_header("Content-Length", f"{len(answer)}")
        request.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the simulator did not wait
            request.wfile.write(answer)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for body in self.raw]

    @property
    def callbacks(self) -> list[Any]:
        return [body["Body"]["stkCallback"] for body in self.bodies]

    @property
    def codes(self) -> list[Any]:
        return [callback["ResultCode"] for callback in self.callbacks]

    def callbacks_of(self, path: str) -> list[Any]:
        return [body for body, at in zip(self.bodies, self.paths, strict=True) if at.startswith(path)]

    @staticmethod
    def pause(seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def items(callback: Any) -> dict[str, Any]:
    return {item["Name"]: item.get("Value") for item in callback["CallbackMetadata"]["Item"]}


def credential(sim: Simulator, password: str) -> str:
    """As a client makes it: PKCS #1 v1.5 with the certificate, Base64."""
    key = x509.load_pem_x509_certificate(sim.certificate().encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    made = base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()
    assert len(made) == 344
    return made


@dataclass
class Shop:
    """One merchant's side. `token` is fetched once and kept, as a good client does."""

    sim: Simulator
    callback_url: str
    shortcode: str = "174379"
    passkey: str = "bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"
    key: str = "pendo-key"
    secret: str = "pendo-secret"
    till: str | None = None
    bearer: str = ""

    def register(self) -> Shop:
        self.sim.add_app(self.key, self.secret, self.shortcode, passkey=self.passkey, till=self.till, name="PENDO WIFI")
        return self

    def oauth(self, **changes: Any) -> Answer:
        basic = base64.b64encode(
            f"{changes.get('key', self.key)}:{changes.get('secret', self.secret)}".encode()
        ).decode()
        headers = {"Authorization": changes.get("authorization", f"Basic {basic}")}
        path = changes.get("path", "/oauth/v1/generate?grant_type=client_credentials")
        return ask(self.sim.base_url, changes.get("verb", "GET"), path, headers=headers)

    def signed(self) -> dict[str, str]:
        now = f"{self.sim.clock.eat():%Y%m%d%H%M%S}"
        password = base64.b64encode(f"{self.shortcode}{self.passkey}{now}".encode()).decode()
        return {"BusinessShortCode": self.shortcode, "Password": password, "Timestamp": now}

    def order(self, phone: str = ASHA, amount: object = "50", **changes: object) -> dict[str, object]:
        return {
            **self.signed(),
            "TransactionType": "CustomerBuyGoodsOnline" if self.till else "CustomerPayBillOnline",
            "Amount": amount, "PartyA": phone, "PartyB": self.till or self.shortcode, "PhoneNumber": phone,
            "CallBackURL": self.callback_url, "AccountReference": "P7K3M9Q2XA", "TransactionDesc": "Internet",
        } | changes  # fmt: skip

    def post(self, path: str, body: object, timeout: float = 5, **headers: str) -> Answer:
        if not self.bearer:
            self.bearer = self.oauth().json["access_token"]
        all_headers = {"Authorization": f"Bearer {self.bearer}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return ask(self.sim.base_url, "POST", path, body, all_headers, timeout)

    def push(self, phone: str = ASHA, amount: object = "50", **changes: object) -> Answer:
        return self.post("/mpesa/stkpush/v1/processrequest", self.order(phone, amount, **changes))

    def checkout(self, phone: str = ASHA, amount: object = "50") -> str:
        answer = self.push(phone, amount)
        assert answer.status == 200, answer.text
        return str(answer.json["CheckoutRequestID"])

    def query(self, checkout: str, **changes: object) -> Answer:
        return self.post("/mpesa/stkpushquery/v1/query", {**self.signed(), "CheckoutRequestID": checkout} | changes)
