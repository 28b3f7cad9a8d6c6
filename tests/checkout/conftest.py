"""Two ISPs that sell packages for lines and for phones, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from tenants import catalog, checkout, ledger, subscribers
from tenants.access import Entitlement
from tenants.catalog import Package
from tenants.checkout import Purchase, Renewal
from tenants.checkout.models import PromoGrant
from tenants.ledger import Leg
from tests.world import Isp, World
from wavu import clock, ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import settlement

NOON = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MAC = "AABBCCDDEEFF"
DAY = timedelta(days=1)


class Office(NamedTuple):
    """One ISP: a line that is paid for a month, a phone that has bought a day, and what they can be sold."""

    app: Flask
    isp: Isp
    line_id: UUID
    phone_id: UUID
    month_id: UUID
    day_id: UUID
    line_day_id: UUID

    @contextmanager
    def at(self, instant: datetime = NOON) -> Iterator[None]:
        with clock.fixed(instant), self.app.app_context(), tenant_scope(self.isp.id), transaction():
            yield

    def pays_in(self, subscriber_id: UUID, cents: int) -> None:
        """Inside."""
        legs = [Leg(ledger.mpesa("600100"), -cents), Leg(ledger.wallet(subscriber_id), cents)]
        ledger.post("mpesa_in", f"receipt:{ids.new_id()}", legs, facts={"receipt": "TKN0000001"})

    def grants(self, subscriber_id: UUID, cents: int, days: int = 30, nonce: str | None = None) -> UUID:
        """Inside."""
        return checkout.promo.grant(
            nonce=nonce or ids.new_token(), subscriber_id=subscriber_id, amount_cents=cents, reason="sorry",
            expires_at=clock.now() + timedelta(days=days), by_id=self.isp.owner.id, by="Owner",
        ).id  # fmt: skip

    def buys(self, subscriber_id: UUID, package_id: UUID, mac: str | None = None) -> Purchase:
        """Inside: from the wallet."""
        package = db.session.scalars(select(Package).where(Package.id == package_id)).one()
        made = Purchase(
            id=ids.new_id(), nonce=ids.new_token()[:32], channel="hotspot" if mac else "pppoe", package_id=package.id,
            subscriber_id=subscriber_id, price_cents=package.price_cents, mac=mac,
            terms=catalog.terms_of(package), created_at=clock.now(),
        )  # fmt: skip
        db.session.add(made)
        db.session.flush()
        checkout.fulfilment.buy(made, promo_pays=True)
        return made

    def works(self, instant: datetime) -> None:
        """What the clock and its jobs do at an instant, and all that follows from it."""
        with clock.fixed(instant), self.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            settlement.look_after_wallets({})
        self.jobs(instant)

    def jobs(self, instant: datetime) -> None:
        with self.at(instant):
            rows = db.session.execute(
                text("UPDATE outbox SET state = 'done' WHERE state = 'ready'"
                     " AND job IN ('renew_package', 'expire_promo') RETURNING job, payload")
            ).all()  # fmt: skip
        for job, payload in rows:
            with self.at(instant):
                getattr(settlement, job)(payload)

    def wallet(self, subscriber_id: UUID) -> tuple[int, int]:
        """(money, promotional credit), and the book is sound."""
        with self.at():
            assert ledger.audit() == []
            for owner, left in db.session.execute(
                select(PromoGrant.subscriber_id, func.sum(PromoGrant.left_cents)).group_by(PromoGrant.subscriber_id)
            ):
                assert ledger.balance(ledger.promo(owner)) == left, "the grants are what the ledger holds"
            return ledger.balance(ledger.wallet(subscriber_id)), ledger.balance(ledger.promo(subscriber_id))

    def rights(self, subscriber_id: UUID) -> list[tuple[datetime, datetime]]:
        with self.at():
            query = (
                select(Entitlement).where(Entitlement.subscriber_id == subscriber_id).order_by(Entitlement.starts_at)
            )
            return [(right.starts_at, right.ends_at) for right in db.session.scalars(query)]

    def renewal(self) -> Renewal:
        with self.at():
            found = db.session.scalars(select(Renewal).order_by(Renewal.id.desc())).first()
            assert found is not None
            db.session.expunge(found)
            return found

    def package(self, package_id: UUID, **changes: Any) -> None:
        with self.at():
            found = db.session.scalars(select(Package).where(Package.id == package_id)).one()
            for name, value in changes.items():
                setattr(found, name, value)


def open_office(app: Flask, isp: Isp) -> Office:
    with clock.fixed(NOON), app.app_context(), tenant_scope(isp.id), transaction():
        speeds = {"speed_down_bps": 5_000_000, "speed_up_bps": 2_000_000}
        month = Package(
            id=ids.new_id(), name="Home 10", price_cents=150_000, validity="months", sold_on_hotspot=False,
            sold_on_pppoe=True, **speeds,
        )  # fmt: skip
        day = Package(id=ids.new_id(), name="1 day", price_cents=5_000, validity="days", **speeds)
        home_day = Package(
            id=ids.new_id(), name="Home day", price_cents=3_000, validity="days", sold_on_hotspot=False,
            sold_on_pppoe=True, **speeds,
        )  # fmt: skip
        db.session.add_all([month, day, home_day])
        line = subscribers.add_line(username="kamau", password="siri", name="Kamau")
        phone = subscribers.by_phone(Phone.parse("0712345678"))
        db.session.flush()
        return Office(app, isp, line.id, phone.id, month.id, day.id, home_day.id)


@pytest.fixture
def other(app: Flask, world: World) -> Office:
    """B, with the same customers, who have money and a renewal that is due when A's are."""
    made = open_office(app, world.b)
    with made.at():
        made.pays_in(made.line_id, 450_000)
        made.buys(made.line_id, made.month_id)
        checkout.renewals.switch_on(made.line_id, made.month_id, by="Owner of B")
        made.grants(made.line_id, 7_777)
    return made


@pytest.fixture
def office(app: Flask, world: World, other: Office) -> Office:
    return open_office(app, world.a)
