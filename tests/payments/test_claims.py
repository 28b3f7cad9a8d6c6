"""A customer claims a payment that was nobody's."""

from __future__ import annotations

from uuid import UUID

import pytest

from tenants import payments, subscribers
from tenants.payments import claims
from tests.payments.test_by_hand import _balances, _due, _everything_arrived, _register
from tests.shop import PHONE, Shop
from wavu.db import transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope

PAYER = "254712345678"
MESSAGE = "{} Confirmed. Ksh50.00 sent to PENDO WIFI for account WRONG on 24/11/26 at 9:00 AM."


def _unmatched(shop: Shop) -> str:
    _register(shop)
    receipt: str = shop.sim.pay(PAYER, "600100", 50, "WRONG").receipt
    shop.sim.wait_idle()
    shop.work("settle_report")
    return receipt


def _claim(shop: Shop, tenant_id: UUID, text: str, phone: str = PHONE) -> payments.Claim:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        number = Phone.parse(phone)
        return payments.claim(text, number, subscribers.by_phone(number).id)


@pytest.mark.parametrize("form", [MESSAGE, "{}", " code: {} thanks"])
def test_whoever_paid_gets_it_with_the_message_or_the_code(shop: Shop, form: str) -> None:
    receipt, isp = _unmatched(shop), shop.world.a
    assert _claim(shop, isp.id, form.format(receipt).lower()) is payments.Claim.MATCHED
    assert _balances(shop, isp.id) == (5000, 0)
    assert _claim(shop, isp.id, receipt) is payments.Claim.UNKNOWN, "once"
    _everything_arrived(shop)


@pytest.mark.parametrize("phone", ["0733000222", "0712345679", "0111345678"])
def test_the_code_alone_is_not_enough(shop: Shop, phone: str) -> None:
    receipt, isp = _unmatched(shop), shop.world.a
    assert _claim(shop, isp.id, receipt, phone) is payments.Claim.UNKNOWN
    assert _claim(shop, shop.world.b.id, receipt) is payments.Claim.UNKNOWN, "nor at another ISP"
    assert _balances(shop, isp.id) == (0, 5000)


def test_what_m_pesa_has_not_told_us_of_is_asked_for(shop: Shop) -> None:
    shop.sim.set_knobs({"callback.drop": 1})
    receipt, isp = _unmatched(shop), shop.world.a
    for _ in range(5):
        assert _claim(shop, isp.id, receipt) is payments.Claim.UNKNOWN
    assert shop.rows("SELECT count(*) FROM outbox WHERE job = 'pull_payments' AND state = 'ready'")[0][0] in {1, 2}
    _due(shop)
    shop.work("pull_payments")
    shop.work("settle_report")
    assert _claim(shop, isp.id, receipt) is payments.Claim.MATCHED
    _everything_arrived(shop)


@pytest.mark.parametrize("text", ["", "0712345678", "INTERNETWA", "UKO7RT61S", "UKO7RT61SVX", "\x00" * 10, "é" * 10])
def test_what_is_no_code(shop: Shop, text: str) -> None:
    assert _claim(shop, shop.world.a.id, text) is payments.Claim.NO_CODE


@pytest.mark.parametrize(
    ("payer", "fits"),
    [
        ("2547 ***** 678", True), ("25471****678", True), ("254712345678", True), ("2547 ***** 679", False),
        ("2541 ***** 678", False), ("", False), (None, False), ("***", False), ("* 678", False),
        ("bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4", False),
    ],
)  # fmt: skip
def test_what_fits_a_payer(payer: str | None, fits: bool) -> None:
    assert claims.fits(payer, Phone.parse(PHONE)) is fits


def test_a_hashed_payer_fits_its_own_phone() -> None:
    """Build sheet 6.4 gives the vector."""
    known = "bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4"
    assert claims.fits(known, Phone.parse("254708374149"))
