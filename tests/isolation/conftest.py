from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from flask import Flask
from sqlalchemy import select

from tenants import mpesa, reconciliation
from tenants.mpesa import MpesaAccount
from tenants.payments.models import SuspenseItem
from tenants.payments.receipts import Report, credit
from tests.world import Isp, World, build_world
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope


def _money(isp: Isp, letter: str) -> None:
    """A payment that nobody is known to own, at a PayBill of the ISP's."""
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
        reconciliation.open_case(date(2026, 11, 24), "unmatched", said.receipt, f"Who is canary-{letter}?")


@pytest.fixture
def world(app: Flask) -> World:
    """Two ISPs that have a row of everything that a page of theirs may name."""
    made = build_world(app)
    for isp, letter in ((made.a, "a"), (made.b, "b")):
        _money(isp, letter)
    return made


def case_of(isp: Isp) -> object:
    """A difference that the ISP follows up."""
    with tenant_scope(isp.id), transaction():
        return reconciliation.open_cases()[0].id


def unmatched_of(isp: Isp) -> object:
    with tenant_scope(isp.id), transaction():
        return db.session.scalars(select(SuspenseItem.id)).one()
