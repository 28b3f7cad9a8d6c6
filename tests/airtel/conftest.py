"""The shop of tests/payments with an Airtel Money account for each ISP, beside M-Pesa."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple
from uuid import UUID

import pytest

from rehearsal.airtel import AirtelSimulator
from tenants import airtel as product
from tests.shop import Shop, Workshop
from wavu.db import transaction
from wavu.tenancy import tenant_scope

PHONE, MSISDN = "0733123456", "733123456"
SAFARICOM = "0712345678"


class Counter(NamedTuple):
    """A's and B's customers with Airtel lines, and the Airtel that they pay through."""

    shop: Shop
    airtel: AirtelSimulator

    @property
    def a(self) -> UUID:
        return self.shop.world.a.id

    @property
    def b(self) -> UUID:
        return self.shop.world.b.id

    def asks(self, tenant_id: UUID | None = None, phone: str = PHONE) -> str:
        """Presses the button and has the prompt sent; returns the purchase's nonce."""
        nonce = self.shop.buy(tenant_id or self.a, phone)
        self.shop.work("send_stk")
        return nonce

    def settles(self) -> None:
        assert self.airtel.wait_idle()
        self.shop.work()

    def state(self, nonce: str, tenant_id: UUID | None = None) -> tuple[str, str | None]:
        now = self.shop.progress(tenant_id or self.a, nonce)
        return now.state, now.code

    def name(self) -> str:
        """Of the newest attempt, as Airtel knows it."""
        return str(self.shop.intents("checkout_request_id")[-1])

    def later(self, seconds: int) -> None:
        """Time passes for us and for Airtel."""
        self.shop.later(seconds)
        self.airtel.advance(seconds)

    def callback_url(self, tenant_id: UUID) -> str:
        with self.shop.app.app_context(), tenant_scope(tenant_id), transaction():
            return product.callback_url(product.active_account())

    def signs(self, key: str) -> None:
        """A turns callback authentication on, there and here."""
        self.airtel.set_callback("client-a", self.callback_url(self.a), key)
        with self.shop.app.app_context(), tenant_scope(self.a), transaction():
            product.active_account().hash_key = key

    def post(self, url: str, body: bytes) -> int:
        host, _, path = url.removeprefix("http://").partition("/")
        with closing(http.client.HTTPConnection("127.0.0.1", self.shop.settings.public_port, timeout=30)) as wire:
            wire.request("POST", f"/{path}", body, {"Host": host, "Content-Type": "application/json"})
            return wire.getresponse().status

    def check_books(self) -> None:
        """What Airtel took is in the book, to the shilling, once."""
        self.shop.check_books()
        for tenant_id, client in ((self.a, "client-a"), (self.b, "client-b")):
            ((cents,),) = self.shop.rows(
                "SELECT coalesce(sum(amount_cents), 0) FROM provider_receipt"
                " WHERE provider = 'airtel' AND tenant_id = %s", tenant_id,
            )  # fmt: skip
            assert cents == self.airtel.total(client) * 100
            ((held,),) = self.shop.rows(
                "SELECT coalesce(-sum(balance_cents), 0) FROM ledger_account"
                " WHERE code LIKE 'asset:airtel:%%' AND tenant_id = %s", tenant_id,
            )  # fmt: skip
            assert held == cents


@pytest.fixture
def airtel(workshop: Workshop) -> Iterator[AirtelSimulator]:
    with AirtelSimulator(seed=1).serve(workshop.airtel_port) as simulator:
        yield simulator


def open_account(counter: Counter, tenant_id: UUID, letter: str) -> None:
    counter.airtel.add_app(f"client-{letter}", f"airtel-secret-{letter}", f"70010{letter}", name=f"ISP {letter}")
    with counter.shop.app.app_context(), tenant_scope(tenant_id), transaction():
        product.add_account(
            environment="rehearsal", merchant_number=f"70010{letter}", client_id=f"client-{letter}",
            client_secret=f"airtel-secret-{letter}",
        )  # fmt: skip
    counter.airtel.set_callback(f"client-{letter}", counter.callback_url(tenant_id))


@pytest.fixture
def counter(shop: Shop, airtel: AirtelSimulator) -> Counter:
    made = Counter(shop, airtel)
    open_account(made, made.a, "a")
    open_account(made, made.b, "b")
    return made
