"""Two ISPs that sell, and what becomes of their customers' payments. No M-Pesa: tests/payments has the simulator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask
from sqlalchemy import select

from tenants import access, catalog, checkout, mpesa, network, payments, subscribers
from tenants.catalog import Package
from tenants.checkout import Purchase
from tenants.payments import PaymentIntent
from tests.world import Isp, World
from wavu import clock, ids
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope

PHONE, MAC = "0712 345 678", "02:AB:CD:00:00:01"
HOTSPOT: dict[str, dict[str, Any]] = {
    "hour": {"name": "1 hour", "name_sw": "Saa 1", "price_cents": 1_000, "validity": "hours", "mbps": 5},
    "day": {
        "name": "1 day", "name_sw": "Siku 1", "price_cents": 5_000, "validity": "days", "mbps": 5, "popular": True,
    },
    "week": {
        "name": "Student week", "name_sw": "Wiki ya mwanafunzi", "price_cents": 25_000, "validity": "days",
        "validity_count": 7, "mbps": 8, "devices": 2, "data_cap_bytes": 20 * 1024**3,
    },
    "night": {
        "name": "Night owl", "name_sw": "Usiku", "price_cents": 3_000, "validity": "until_midnight", "mbps": 10,
        "time_cap_seconds": 7_200,
    },
    "month": {
        "name": "1 month", "name_sw": "Mwezi 1", "price_cents": 150_000, "validity": "months", "mbps": 10,
        "devices": 3,
    },
}  # fmt: skip


def login_url(isp: Isp) -> str:
    return f"http://{isp.nas_address}:8180/login"


class Counter(NamedTuple):
    """`packages` are each ISP's ids by the keys of HOTSPOT."""

    app: Flask
    world: World
    packages: dict[UUID, dict[str, UUID]]

    def arrive(self, isp: Isp, **changes: str) -> dict[str, str]:
        """What the ISP's router sends along with a phone."""
        return {
            "mac": MAC, "ip": "10.5.50.10", "srv": "hs-1", "lo": login_url(isp), "dst": "http://example.com/news",
            "err": "", **changes,
        }  # fmt: skip

    def purchases(self, isp: Isp) -> list[Purchase]:
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            return list(db.session.scalars(select(Purchase).order_by(Purchase.id)))

    def intents(self, isp: Isp) -> list[PaymentIntent]:
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            return list(db.session.scalars(select(PaymentIntent).order_by(PaymentIntent.id)))

    def answer(self, isp: Isp, nonce: str, state: str, code: str | None = None, *, ago: float = 0) -> None:
        """What became of the last prompt of a purchase, which went out so many seconds ago."""
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            intent = payments.latest_intent(checkout.find_purchase(nonce).id)
            assert intent is not None
            intent.state, intent.code = state, code
            intent.created_at = intent.submitted_at = clock.now() - timedelta(seconds=ago)
            if state == "succeeded":
                intent.receipt = "TKN4H7XQ2M"

    def paid(self, isp: Isp, nonce: str) -> None:
        self.answer(isp, nonce, "succeeded")
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            purchase, now = checkout.find_purchase(nonce), clock.now()
            ends_at = catalog.ends_at(purchase.terms, now, "Africa/Nairobi")
            access.grant(purchase.id, purchase.subscriber_id, purchase.terms, ends_at, starts_at=now)
            purchase.state, purchase.bought_at = "bought", now
            if purchase.mac is not None:
                subscribers.bind_device(purchase.mac, purchase.subscriber_id)

    def online(self, isp: Isp, nonce: str) -> None:
        """The router has reported the first session."""
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            granted = access.entitlement_of(checkout.find_purchase(nonce).id)
            assert granted is not None
            granted.activated_at = clock.now()

    def end(self, isp: Isp, nonce: str) -> None:
        """Makes the service of a purchase a thing of yesterday."""
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            granted = access.entitlement_of(checkout.find_purchase(nonce).id)
            assert granted is not None
            granted.starts_at, granted.ends_at = clock.now() - timedelta(days=2), clock.now() - timedelta(days=1)


def open_counter(app: Flask, world: World) -> Counter:
    """Gives both ISPs packages, a PayBill or a Till, and a router that takes log-ins."""
    packages = {
        isp.id: set_up_shop(app, isp, kind, number)
        for isp, kind, number in ((world.a, "paybill", "600100"), (world.b, "till", "5123456"))
    }
    return Counter(app, world, packages)


def set_up_shop(app: Flask, isp: Isp, kind: str, number: str) -> dict[str, UUID]:
    """Gives an ISP all that it needs to sell; returns its packages by the keys of HOTSPOT."""
    with app.app_context(), tenant_scope(isp.id), transaction():
        mpesa.add_account(
            environment="rehearsal", kind=kind, business_short_code="600200" if kind == "till" else number,
            party_b=number, consumer_key="k", consumer_secret="s", passkey="p",
        )  # fmt: skip
        router = network.find_nas(isp.nas_address)
        if router is None:
            router = network.add_router(
                name=isp.name, identifier=isp.name, address=isp.nas_address, secret="nas secret"
            )
        router.login_url = login_url(isp)
        return {key: _package(position, values) for position, (key, values) in enumerate(HOTSPOT.items())}


def _package(position: int, values: dict[str, Any]) -> UUID:
    speed = values["mbps"] * 1_000_000
    kept = {key: value for key, value in values.items() if key != "mbps"}
    package = Package(id=ids.new_id(), position=position, speed_down_bps=speed, speed_up_bps=speed // 2, **kept)
    db.session.add(package)
    db.session.flush()
    return package.id
