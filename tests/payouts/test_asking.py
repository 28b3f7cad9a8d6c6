"""Balances, receipts, pictures and names, asked of the simulator; who may end what; a password that grows old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenants import ledger, mpesa, payments, payouts
from tenants.mpesa import services
from tests.payments.test_by_hand import _register
from tests.payouts.conftest import FUNDS, MSISDN, Desk
from wavu import clock
from wavu.db import transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import settlement


def test_the_nightly_balance(desk: Desk) -> None:
    for _ in range(2):
        with desk.shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            settlement.ask_balances({})
    assert desk.shop.rows("SELECT count(*) FROM outbox WHERE job = 'ask_balance'") == [(1,)], "once a day, and A alone"
    desk.go()
    with desk.inside():
        held = mpesa.latest_balance(desk.account_id)
        assert held is not None
        as_of, accounts = held
        assert {each.name: each.available_cents for each in accounts}["Utility Account"] == FUNDS * 100
        assert abs((as_of - desk.sim.clock.eat()).total_seconds()) < 5
    with desk.shop.app.app_context(), tenant_scope(desk.shop.world.b.id), transaction():
        assert mpesa.latest_balance(desk.account_id) is None


def test_a_receipt_is_proven_by_transaction_status(desk: Desk) -> None:
    line = desk.sim.pay(MSISDN, "600100", 300, "nobody")
    known, nobodys = uuid4(), uuid4()
    with desk.inside():
        for _ in range(3):
            mpesa.ask_status(desk.account_id, receipt=line.receipt, subject_id=known)
        mpesa.ask_status(desk.account_id, receipt="UKP1234567", subject_id=nobodys)
        with pytest.raises(ValueError, match="no receipt"):
            mpesa.ask_status(desk.account_id, receipt="UKP0000000", subject_id=known)
    assert desk.shop.rows("SELECT count(*) FROM outbox WHERE job = 'ask_status'")[0][0] in {2, 3}, "once a minute"
    desk.go()
    with desk.inside():
        (found,), (unknown,) = mpesa.answers_about(known), mpesa.answers_about(nobodys)
    told = found.transaction
    assert told is not None
    assert (told.status, told.receipt, told.amount_cents) == ("Completed", line.receipt, 30_000)
    assert (told.payer or "").startswith(MSISDN)
    assert (found.account_id, found.denies) == (desk.account_id, False)
    assert (unknown.transaction, unknown.denies) == (None, True)
    with desk.shop.app.app_context(), tenant_scope(desk.shop.world.b.id), transaction():
        assert mpesa.answers_about(known) == []


def test_pictures_and_names_come_at_once(desk: Desk) -> None:
    with desk.inside():
        app = mpesa.open_app(mpesa.find_account(desk.account_id))

    def ask(request: Callable[[str], Any]) -> Any:
        with desk.shop.app.app_context(), tenant_scope(desk.tenant_id):
            return mpesa.call(desk.account_id, app, request)

    picture = ask(lambda t: services.dynamic_qr(app, t, merchant="PENDO", reference="10000007", amount_cents=5000))
    assert isinstance(picture, bytes)
    assert ask(lambda token: services.organisation_name(app, token)).number == "600100"
    desk.sim.set_products("key-a", ["M-PESA EXPRESS"])
    desk.sim.revoke_tokens("key-a")
    assert ask(lambda token: services.organisation_name(app, token)) == services.NotAvailable()


def test_standing_orders_are_behind_a_switch(desk: Desk) -> None:
    with desk.inside(), pytest.raises(mpesa.NotReady):
        mpesa.ratiba.open_for(mpesa.find_account(desk.account_id))
    desk.shop.admin.execute(b"UPDATE mpesa_account SET standing_orders = true")
    with desk.inside():
        assert mpesa.ratiba.open_for(mpesa.find_account(desk.account_id)).party_b == "600100"


def test_money_in_suspense_goes_back_whole(desk: Desk) -> None:
    _register(desk.shop)
    line = desk.sim.pay(MSISDN, "600100", 300, "typo")
    assert desk.sim.wait_idle()
    desk.shop.work("settle_report")
    ((receipt_id, held),) = desk.shop.rows("SELECT receipt_id, left_cents FROM suspense_item")
    assert held == 30_000
    with desk.inside():
        known = payouts.refundable(line.receipt.lower())
        assert (known.source_code, known.wallet_cents, known.purchase) == (ledger.SUSPENSE, 30_000, None)
    payout = desk.refund(receipt_id, method="reversal", amount_cents=30_000, end_package=False)
    assert (desk.balance(ledger.SUSPENSE), desk.shop.rows("SELECT left_cents FROM suspense_item")) == (0, [(0,)])
    with desk.inside(), pytest.raises(payments.MoreThanLeft):
        payments.set_aside(receipt_id, 1)
    desk.sim.rule({"result.code": "R000002"}, exchange="reversal_result", times=1)
    desk.go()
    assert (desk.state(payout), desk.balance(ledger.SUSPENSE)) == ("failed", 30_000)
    assert desk.shop.rows("SELECT left_cents FROM suspense_item") == [(30_000,)]
    payout = desk.refund(receipt_id, method="reversal", amount_cents=30_000, end_package=False)
    desk.go()
    assert (desk.state(payout), desk.balance(ledger.SUSPENSE)) == ("paid", 0)
    desk.sound()


@pytest.mark.parametrize("found", [True, False])
def test_a_person_decides_what_mpesa_does_not(desk: Desk, found: bool) -> None:
    with desk.inside():
        payouts.set_limit(100, by="Asha")
    payout = desk.refund(desk.paid())
    with desk.inside():
        payouts.approve(payout, by=desk.brian)
    desk.sim.rule({"result.code": "4711"}, exchange="b2c_result")
    desk.go()
    assert desk.state(payout) == "review"
    with desk.inside(), pytest.raises(payouts.SamePerson):
        payouts.decide(payout, receipt=None, by=desk.asha)
    with desk.inside(), pytest.raises(ValueError, match="receipt"):
        payouts.decide(payout, receipt="paid", by=desk.brian)
    with desk.inside():
        payouts.decide(payout, receipt="UKP1234567" if found else None, by=desk.brian)
    assert (desk.state(payout), desk.wallet()) == (("paid", 0) if found else ("failed", 1000))
    with desk.inside(), pytest.raises(payouts.NotOpen):
        payouts.decide(payout, receipt=None, by=desk.brian)


def test_owners_hear_of_an_old_password_twice(desk: Desk) -> None:
    def told() -> list[object]:
        with desk.inside():
            mpesa.watch_passwords(clock.now())
        return [days for (days,) in desk.shop.rows(
            "SELECT (payload->>'days')::int FROM outbox WHERE job = 'tell_owners_initiator_ages' ORDER BY id"
        )]  # fmt: skip

    seen = {}
    for days in (74, 75, 76, 84, 85, 89, 95):
        set_on = clock.local_date(clock.now(), "Africa/Nairobi") - timedelta(days=days)
        desk.shop.admin.execute(b"UPDATE mpesa_initiator SET password_set_on = %s", (set_on,))
        desk.shop.admin.execute(b"DELETE FROM outbox")
        with desk.inside():
            found = mpesa.initiator_of(desk.account_id)
            assert found is not None
            age = mpesa.age(found, clock.local_date(clock.now(), "Africa/Nairobi"))
        seen[days] = (told(), age.days_left, age.tone)
    assert seen == {
        74: ([], 16, "ok"), 75: ([75], 15, "warn"), 76: ([75], 14, "warn"), 84: ([75], 6, "warn"),
        85: ([85], 5, "bad"), 89: ([85], 1, "bad"), 95: ([85], 0, "bad"),
    }  # fmt: skip
    desk.shop.work("tell_owners_initiator_ages")
    assert desk.shop.rows("SELECT count(*) FROM outbox WHERE job = 'tell_owner'") == [(1,)]


def test_a_strangers_token_is_not_found(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    desk.shop.work("send_payout")
    client = desk.shop.app.test_client()
    host = f"http://hooks.{desk.shop.settings.platform_domain}"
    for kind in ("r", "q"):
        answer = client.post(f"/h/{kind}/{desk.tenant_id}/{'0' * 64}", base_url=host, data=b"{}")
        assert answer.status_code == 404
    assert desk.shop.rows("SELECT count(*) FROM mpesa_result") == [(0,)]
    assert desk.state(payout) == "accepted"
