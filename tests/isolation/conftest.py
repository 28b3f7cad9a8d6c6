from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from tenants import mpesa, payments, subscribers
from tenants.mpesa import MpesaAccount
from tenants.payments.receipts import Report, credit
from tests.world import Isp, World, build_world
from wavu.db import TenantRow, db, transaction
from wavu.tenancy import tenant_scope


def _money(isp: Isp, letter: str) -> None:
    """A payment that nobody is known to own, at a PayBill of the ISP's; and one that was taken at the desk."""
    secrets = {name: f"{name} of canary-{letter}" for name in ("consumer_key", "consumer_secret", "passkey")}
    with tenant_scope(isp.id), transaction():
        account: MpesaAccount = mpesa.add_account(
            environment="sandbox", kind="paybill", business_short_code="600300", party_b="600300", **secrets
        )
        said = Report(
            f"UKO7RT61{letter.upper()}V", 5_000, "c2b", f"CANARY-{letter.upper()}", "2547 ***** 126",
            f"Payer canary-{letter}", datetime(2026, 11, 24, 9, tzinfo=UTC), "600300",
        )  # fmt: skip
        credit(account, said)
        customer = subscribers.add_line(username=f"line-{letter}", password="x", name=f"Line canary-{letter}")
        payments.take(
            nonce=letter * 32, subscriber_id=customer.id, method="cash", amount_cents=700,
            reference=f"slip canary-{letter}", by_id=isp.cashier.id, by=f"Cashier canary-{letter}",
        )  # fmt: skip


@pytest.fixture
def world(app: Flask) -> World:
    """Two ISPs that have a row of everything that a page of theirs may name."""
    made = build_world(app)
    for isp, letter in ((made.a, "a"), (made.b, "b")):
        _money(isp, letter)
    return made


def row_of(isp: Isp, table: type[TenantRow]) -> UUID:
    """The id of an ISP's only row."""
    with tenant_scope(isp.id), transaction():
        return db.session.scalars(select(table.id)).one()
