"""Promotional credit never leaves: not by a refund to M-Pesa, not to the wallet, and not by anybody's hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tenants import checkout, ledger, payouts, subscribers
from tests.payouts.conftest import PHONE, Desk
from wavu import clock, ids
from wavu.phone import Phone


def _credit(desk: Desk, cents: int) -> str:
    """The customer has credit; the code of its account."""
    with desk.inside():
        customer = subscribers.by_phone(Phone.parse(PHONE))
        checkout.promo.grant(
            nonce=ids.new_token(), subscriber_id=customer.id, amount_cents=cents, reason="sorry",
            expires_at=clock.now() + timedelta(days=9), by_id=desk.asha.id, by="Asha",
        )  # fmt: skip
        return ledger.promo(customer.id)


def test_a_package_that_credit_paid_gives_the_money_back_and_the_credit_stays(desk: Desk) -> None:
    account = _credit(desk, 600)
    receipt_id = desk.paid()
    assert (desk.wallet(), desk.balance(account)) == (600, 0), "KES 6 of KES 10 were credit, and so much money is left"
    # What it brought may go back: KES 6 that are left, and KES 4 that the package had cost in money.
    payout = desk.refund(receipt_id)
    desk.go()
    assert desk.state(payout) == "paid"
    assert (desk.wallet(), desk.balance(account)) == (0, 600)
    desk.sound()


def test_no_more_goes_out_than_money_is_there(desk: Desk) -> None:
    account = _credit(desk, 1_000)
    receipt_id = desk.paid()
    with desk.inside():
        # The money that the credit has saved is spent on something else.
        wallet = ledger.wallet(subscribers.by_phone(Phone.parse(PHONE)).id)
        ledger.post("purchase", "buy:x", [ledger.Leg(wallet, -1_000), ledger.Leg(ledger.INCOME_ACCESS, 1_000)])
    with pytest.raises(ledger.NotEnoughMoney):
        desk.refund(receipt_id)
    with pytest.raises(ledger.NotEnoughMoney):
        desk.refund(receipt_id, end_package=False)
    assert desk.balance(account) == 0
    desk.sound()


def test_to_the_wallet_credit_comes_back_as_credit(desk: Desk) -> None:
    account = _credit(desk, 600)
    receipt_id = desk.paid()
    with desk.inside():
        payouts.refund_to_wallet(receipt_id, reason="test", by=desk.asha)
    assert (desk.wallet(), desk.balance(account)) == (1_000, 600)
    desk.sound()


def test_the_database_itself_lets_no_payout_draw_on_credit(desk: Desk) -> None:
    account = _credit(desk, 50_000)
    receipt_id = desk.paid()
    with pytest.raises(Exception, match="ck_payout_no_promo"):
        desk.refund(receipt_id, from_account_code=account, end_package=False)
    assert desk.shop.rows("SELECT id FROM payout") == []
