"""A refund from the request to the customer's phone, and everything that may go wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rehearsal.daraja.world import Payout as Taken
from tenants import access, ledger, mpesa, payments, payouts
from tenants.mpesa import exchange
from tenants.payouts import AlreadyUnderWay, MoreThanCameIn, NotBought, NotOpen, OnlyWhole, SamePerson, outcomes
from tests.payouts.conftest import FUNDS, MSISDN, Desk, give_initiator
from wavu import clock
from wavu.db import transaction
from wavu.errors import NotFound
from wavu.phone import Phone
from wavu.tenancy import tenant_scope
from workers import runtime

BALANCE = 10_000  # of every customer of the simulator, in shillings


def _customer(desk: Desk) -> int:
    return desk.sim.world.subscriber(MSISDN).balance


def test_b2c_pays_back_what_was_bought(desk: Desk) -> None:
    receipt = desk.paid()
    assert _customer(desk) == BALANCE - 10
    payout = desk.refund(receipt)
    assert (desk.state(payout), desk.wallet(), desk.balance(ledger.REFUND_PENDING)) == ("approved", 0, 1000)
    assert desk.balance(ledger.INCOME_ACCESS) == 0
    desk.shop.work("send_payout")
    assert desk.state(payout) == "accepted"
    desk.go()
    done = desk.payout(payout)
    (line,) = [line for line in desk.sim.book() if line.kind == "b2c"]
    assert (done.state, done.receipt, line.amount) == ("paid", line.receipt, -10)
    assert line.originator_conversation_id == done.original_id
    assert _customer(desk) == BALANCE
    assert (desk.balance(ledger.REFUND_PENDING), desk.balance(ledger.MPESA_PAYOUTS)) == (0, 1000)
    desk.sound()


def test_the_package_ends_with_the_refund(desk: Desk) -> None:
    receipt = desk.paid()
    desk.refund(receipt)
    with desk.inside():
        (ends_at,) = desk.shop.rows("SELECT ends_at FROM entitlement")[0]
        assert ends_at <= clock.now()
    with desk.inside(), pytest.raises(NotBought):
        payouts.refund_to_wallet(receipt, reason="again", by=desk.asha)


def test_a_reversal_takes_back_the_whole_payment(desk: Desk) -> None:
    receipt = desk.paid()
    before = desk.balance(ledger.mpesa("600100"))
    payout = desk.refund(receipt, method="reversal")
    with pytest.raises(AlreadyUnderWay):
        desk.refund(receipt, method="reversal", end_package=False)
    desk.go()
    done = desk.payout(payout)
    (line,) = [line for line in desk.sim.book() if line.kind == "reversal"]
    assert (done.state, done.receipt, done.phone) == ("paid", line.receipt, None)
    assert desk.balance(ledger.mpesa("600100")) == before + 1000
    assert (_customer(desk), desk.wallet()) == (BALANCE, 0)
    desk.sound()


def test_reversed_before_is_done(desk: Desk) -> None:
    receipt = desk.paid()
    (line,) = desk.sim.book()
    payout = desk.refund(receipt, method="reversal")
    desk.sim.reverse(line.receipt)
    desk.go()
    assert (desk.state(payout), desk.payout(payout).code, desk.payout(payout).receipt) == ("paid", "R000001", None)
    desk.sound()


def test_to_the_wallet(desk: Desk) -> None:
    receipt = desk.paid()
    with desk.inside():
        purchase = payouts.refund_to_wallet(receipt, reason="slow", by=desk.asha)
        right = access.entitlement_of(purchase.id)
        assert right is not None
        assert right.ends_at <= clock.now()
    assert (desk.wallet(), desk.balance(ledger.INCOME_ACCESS)) == (1000, 0)
    with desk.inside(), pytest.raises(NotBought):
        payouts.refund_to_wallet(receipt, reason="slow", by=desk.asha)
    assert desk.shop.rows("SELECT count(*) FROM ledger_transaction WHERE reverses_id IS NOT NULL") == [(1,)]
    desk.sound()


# -- what cannot be asked for


def test_never_more_than_came_in_nor_than_there_is(desk: Desk) -> None:
    receipt = desk.paid()
    with pytest.raises(MoreThanCameIn):
        desk.refund(receipt, amount_cents=1100)
    with pytest.raises(ledger.NotEnoughMoney):
        desk.refund(receipt, end_package=False)
    desk.refund(receipt)
    with pytest.raises(MoreThanCameIn):
        desk.refund(receipt, end_package=False)
    with pytest.raises(OnlyWhole):
        desk.refund(receipt, method="reversal", end_package=False)
    desk.go()
    with pytest.raises(MoreThanCameIn):
        desk.refund(receipt, end_package=False)


def test_a_receipt_that_staff_typed_in_goes_back_once_it_is_proven(desk: Desk) -> None:
    subscriber_id = desk.shop.rows("SELECT subscriber_id FROM provider_receipt WHERE id = %s", desk.paid())[0][0]
    with desk.inside():
        account = mpesa.find_account(desk.account_id)
        payments.enter(account, receipt="UKP1234567", amount_cents=5000, subscriber_id=subscriber_id)
        receipt_id = payouts.refundable("UKP1234567").receipt.id
    with pytest.raises(payouts.NotProvenYet):
        desk.refund(receipt_id, amount_cents=5000, end_package=False, paid_by=Phone.parse(MSISDN))
    desk.shop.admin.execute(
        b"INSERT INTO receipt_witness (tenant_id, id, receipt_id, source) VALUES (%s, gen_random_uuid(), %s, 'pull')",
        (desk.tenant_id, receipt_id),
    )
    assert desk.state(desk.refund(receipt_id, method="reversal", amount_cents=5000, end_package=False)) == "approved"


def test_the_database_itself_bounds_a_receipt(desk: Desk) -> None:
    receipt = desk.paid()
    desk.refund(receipt)
    insert = (
        "INSERT INTO payout (tenant_id, id, method, mpesa_account_id, source_code, receipt_id, phone, amount_cents,"
        " reason, needs_second, requested_by, requested_name, original_id) SELECT tenant_id, gen_random_uuid(), method,"
        " mpesa_account_id, source_code, receipt_id, phone, 100, reason, false, requested_by, requested_name, 'W2'"
        " FROM payout"
    )
    with pytest.raises(Exception, match="more goes back than came in"):
        desk.shop.admin.execute(insert.encode())
    with pytest.raises(Exception, match="never changes"):
        desk.shop.admin.execute(b"UPDATE payout SET phone = '+254700000009'")
    with pytest.raises(Exception, match="does not go from"):
        desk.shop.admin.execute(b"UPDATE payout SET state = 'draft'")


def test_another_tenants_receipt_and_payout_are_unknown(desk: Desk) -> None:
    receipt, other = desk.paid(), desk.shop.world.b.id
    payout = desk.refund(receipt)
    with desk.shop.app.app_context(), tenant_scope(other), transaction():
        with pytest.raises(NotFound):
            payouts.request_refund(receipt, method="b2c", amount_cents=1000, reason="-", by=desk.asha)
        with pytest.raises(NotFound):
            payouts.find_payout(payout)
        assert payouts.list_payouts() == []
        assert payouts.limit().alone_cents == 500_000


# -- two people


def test_above_the_limit_a_second_person_approves(desk: Desk) -> None:
    receipt = desk.paid()
    with desk.inside():
        payouts.set_limit(900, by="Asha")
    payout = desk.refund(receipt)
    assert (desk.state(payout), desk.wallet(), desk.balance(ledger.REFUND_PENDING)) == ("draft", 0, 0)
    assert desk.shop.work("send_payout") == 0
    with desk.inside(), pytest.raises(SamePerson):
        payouts.approve(payout, by=desk.asha)
    with desk.inside():
        payouts.approve(payout, by=desk.brian)
    with desk.inside(), pytest.raises(NotOpen):
        payouts.approve(payout, by=desk.brian)
    desk.go()
    assert (desk.state(payout), _customer(desk)) == ("paid", BALANCE)
    with pytest.raises(Exception, match="ck_payout_second"):
        desk.shop.admin.execute(
            b"INSERT INTO payout SELECT (jsonb_populate_record(payout, jsonb_build_object('id', gen_random_uuid(),"
            b" 'original_id', 'x', 'receipt_id', null, 'approved_by', requested_by))).* FROM payout"
        )


def test_small_refunds_of_one_day_add_up(desk: Desk) -> None:
    with desk.inside():
        payouts.set_limit(1500, by="Asha")
    first, second = desk.paid(), desk.paid()
    assert desk.state(desk.refund(first)) == "approved"
    again = desk.refund(second)
    assert desk.state(again) == "draft"
    with desk.inside():
        payouts.withdraw(again, by=desk.asha)
    assert desk.state(desk.refund(second, by=desk.brian)) == "approved"


def test_a_higher_limit_waits_a_day_and_a_lower_one_does_not(desk: Desk) -> None:
    with desk.inside():
        assert payouts.set_limit(10_000_00, by="Asha").alone_cents == 500_000
        assert payouts.limit().next_alone_cents == 10_000_00
    desk.shop.admin.execute(b"UPDATE payout_setting SET next_from = next_from - interval '24 hours'")
    with desk.inside():
        assert payouts.limit() == payouts.Limit(10_000_00, None, None)
        assert payouts.set_limit(100, by="Asha") == payouts.Limit(100, None, None)
    assert desk.shop.rows("SELECT job FROM outbox WHERE job LIKE 'tell_owners%%'") == [("tell_owners_payout_limit",)]


def test_withdrawn_before_it_is_sent(desk: Desk) -> None:
    receipt = desk.paid()
    payout = desk.refund(receipt)
    with desk.inside():
        payouts.withdraw(payout, by=desk.asha)
    desk.go()
    assert (desk.state(payout), desk.wallet(), _customer(desk)) == ("withdrawn", 1000, BALANCE - 10)
    desk.sound()


# -- crash points, lost and late


def _crash(desk: Desk, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """The worker dies before its call, or when M-Pesa has taken the request."""
    real: Callable[..., Any] = mpesa.Outgoing.send

    def dies(outgoing: mpesa.Outgoing, request: Any) -> Any:
        if after:
            real(outgoing, request)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mpesa.Outgoing, "send", dies)
        with pytest.raises(KeyboardInterrupt):
            desk.shop.work("send_payout")
    desk.shop.admin.execute(b"UPDATE outbox SET lease_until = NULL WHERE job = 'send_payout'")


@pytest.mark.parametrize("after", [True, False])
def test_a_worker_that_dies_sends_once(desk: Desk, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    payout = desk.refund(desk.paid())
    _crash(desk, monkeypatch, after=after)
    assert desk.state(payout) == "sending"
    desk.sim.set_knobs({"callback.drop": 1.0})
    desk.sim.advance(2)
    desk.sim.reset_knobs()
    desk.shop.work("send_payout")
    assert desk.state(payout) == "unknown"
    desk.go()
    assert len(desk.sim.world.payouts) == int(after)
    assert desk.state(payout) == ("paid" if after else "unknown")
    desk.sound()
    if not after:
        for _ in range(30):
            desk.later(3600)
            desk.go()
        assert (desk.state(payout), len(desk.sim.world.payouts)) == ("review", 0)
        desk.sound()


def test_run_twice_at_once_sends_once(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    (row,) = desk.shop.rows("UPDATE outbox SET attempts = 1 WHERE job = 'send_payout' RETURNING tenant_id, id")
    for _ in range(2):
        runtime.run(str(row[0]), str(row[1]), 1)
    desk.go()
    assert (desk.state(payout), len(desk.sim.world.payouts)) == ("paid", 1)


@pytest.mark.parametrize("fault", ["hang_after_exec", "error_after_exec", "html_503"])
def test_no_answer_is_unknown_and_never_sent_again(desk: Desk, fault: str) -> None:
    payout = desk.refund(desk.paid())
    desk.sim.rule({"gateway.fault": fault, "gateway.hang": 0}, exchange="b2c", times=1)
    desk.sim.rule({"callback.drop": 1.0}, exchange="b2c_result")
    desk.shop.work("send_payout")
    assert desk.state(payout) == "unknown"
    assert desk.balance(ledger.REFUND_PENDING) == 1000
    desk.sim.advance(1)
    desk.later(61)
    desk.go()
    taken = fault != "html_503"
    assert (desk.state(payout), len(desk.sim.world.payouts)) == (("paid" if taken else "unknown"), int(taken))
    desk.sound()


@pytest.mark.parametrize("number", [2, 5])
def test_a_result_counts_once(desk: Desk, number: int) -> None:
    payout = desk.refund(desk.paid())
    desk.sim.rule({"callback.duplicate": number}, exchange="b2c_result")
    desk.go()
    assert desk.state(payout) == "paid"
    assert desk.balance(ledger.MPESA_PAYOUTS) == 1000
    desk.sound()


def test_a_lost_result_is_asked_for(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    desk.sim.rule({"callback.drop": 1.0}, exchange="b2c_result")
    desk.go()
    assert desk.state(payout) == "accepted"
    desk.later(61)
    desk.go()
    done = desk.payout(payout)
    assert done.state == "paid"
    assert done.receipt == next(line.receipt for line in desk.sim.book() if line.kind == "b2c")
    desk.sound()


def test_queue_timeout_then_success(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    desk.sim.rule({"result.queue_timeout": "executed", "result.late": 30}, exchange="b2c_result")
    desk.sim.rule({"callback.drop": 1.0}, exchange="status_result")
    desk.go()
    assert (desk.state(payout), desk.wallet()) == ("unknown", 0)
    desk.go(30)
    assert desk.state(payout) == "paid"
    desk.sound()


def test_a_timeout_that_expired_in_the_queue_gives_the_money_back(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    desk.sim.rule({"result.queue_timeout": "expired"}, exchange="b2c_result")
    desk.go()
    assert desk.state(payout) == "unknown"
    desk.go()
    done = desk.payout(payout)
    assert (done.state, done.code, desk.wallet()) == ("failed", "expired", 1000)
    desk.sound()


@pytest.mark.parametrize(
    ("code", "state"), [("2040", "failed"), ("1", "failed"), ("4711", "review"), ("15", "unknown")]
)
def test_codes(desk: Desk, code: str, state: str) -> None:
    payout = desk.refund(desk.paid())
    desk.sim.rule({"result.code": code}, exchange="b2c_result")
    desk.sim.rule({"callback.drop": 1.0}, exchange="status_result")
    desk.go()
    assert (desk.state(payout), desk.wallet()) == (state, 1000 if state == "failed" else 0)
    desk.sound()


def test_a_duplicate_name_exists_already(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    original = desk.payout(payout).original_id
    merchant = desk.sim.world.merchant("600100")
    desk.sim.world.payouts[original] = Taken(original, "AG_1", merchant, MSISDN, 10, desk.sim.clock.now())
    desk.shop.work("send_payout")
    assert (desk.state(payout), desk.payout(payout).code) == ("unknown", "500.002.1001")
    desk.sim.world.payouts[original].refuse("8")
    desk.go()
    assert (desk.state(payout), len(desk.sim.world.payouts)) == ("failed", 1)


def test_success_after_failure_counts(desk: Desk) -> None:
    """M-Pesa contradicts itself: the money has left, and the book says so."""
    payout = desk.refund(desk.paid())
    desk.sim.rule({"callback.drop": 1.0}, exchange="b2c_result")
    desk.go()
    with desk.inside():
        outcomes.fail(payouts.locked(payout), "8")
        outcomes.pay(payouts.locked(payout), "UKP1234567", 2240, "0")
    assert (desk.state(payout), desk.wallet(), desk.balance(ledger.MPESA_FEES)) == ("paid", 0, -2240)
    desk.sound()


# -- who the initiator is


@pytest.mark.parametrize("code", ["2001", "18", "20", "8006"])
def test_the_first_refusal_freezes_all_calls(desk: Desk, code: str) -> None:
    first, second = desk.paid(), desk.paid()
    one = desk.refund(first)
    two = desk.refund(second)
    desk.sim.rule({"result.code": code}, exchange="b2c_result", times=1)
    desk.shop.admin.execute(
        b"UPDATE outbox SET run_at = now() + interval '1 hour' WHERE payload->>'payout_id' = %s", (str(two),)
    )
    desk.go()
    assert desk.state(one) == "failed"
    desk.shop.admin.execute(b"UPDATE outbox SET run_at = now()")
    calls = len(desk.sim.journal.lines)
    desk.go()
    with desk.inside():
        mpesa.ask_balance(desk.account_id, "now")
    desk.go()
    assert (desk.state(two), len(desk.sim.journal.lines)) == ("approved", calls)
    with pytest.raises(mpesa.InitiatorFrozen):
        desk.refund(first, end_package=False)
    with desk.inside():
        found = mpesa.initiator_of(desk.account_id)
        assert found is not None
        assert (found.fault_api, found.fault is not None) == ("b2c", True)
    told = desk.shop.rows("SELECT count(*) FROM outbox WHERE job = 'tell_owners_initiator_fault'")
    assert told == [(1,)]
    give_initiator(desk.shop, desk.sim)
    desk.shop.work("send_waiting")
    desk.go()
    assert desk.state(two) == "paid"
    assert desk.sim.merchant("600100").balance == FUNDS - 10
    desk.sound()


def test_a_wrong_password_is_not_tried_three_times(desk: Desk) -> None:
    receipts = [desk.paid() for _ in range(2)]
    give_initiator(desk.shop, desk.sim, password="Wrong#2026")
    desk.refund(receipts[0])
    desk.go()
    with desk.inside():
        for number in range(5):
            mpesa.ask_balance(desk.account_id, str(number))
    desk.go()
    assert desk.sim.world.merchant("600100").initiators["wavuapi"].wrong == 1


def test_a_result_from_elsewhere_is_not_believed_and_asked_about(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token alone moves nothing; the answer to our own question, under its acknowledged ids, does."""
    payout = desk.refund(desk.paid())
    monkeypatch.setattr(exchange, "comes_from_daraja", lambda account, peer: False)
    desk.sim.rule({"callback.drop": 1.0}, exchange="status_result", times=1)
    desk.go()
    assert desk.state(payout) == "accepted"
    assert desk.shop.rows("SELECT outcome FROM mpesa_result") == [("held: not from M-Pesa's addresses",)]
    desk.go()
    assert desk.state(payout) == "accepted"
    desk.later(61)
    desk.go()
    assert desk.state(payout) == "paid"
    desk.sound()


def test_a_result_under_strange_ids_is_refused(desk: Desk) -> None:
    payout = desk.refund(desk.paid())
    desk.shop.work("send_payout")
    desk.shop.admin.execute(b"UPDATE mpesa_request SET conversation_id = 'AG_20261124_of_another'")
    desk.sim.advance(1)
    assert desk.sim.wait_idle()
    desk.shop.work("settle_result")
    assert desk.shop.rows("SELECT outcome FROM mpesa_result") == [("refused: another conversation",)]
    assert desk.state(payout) == "accepted"
