"""Payments that customers start themselves, at a PayBill and at a Till, and what M-Pesa itself tells of with Pull."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest
import requests

from tenants import checkout, ledger, mpesa, payments, subscribers
from tests.shop import PHONE, Shop
from wavu import clock, outbox
from wavu.db import transaction
from wavu.outbox import Queue
from wavu.phone import Phone
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import reactions

MSISDN, STRANGER = "254712345678", "254722000111"


def _register(shop: Shop) -> None:
    shop.admin.execute("UPDATE tenant SET help_phone = '+254700000001'")
    for isp in (shop.world.a, shop.world.b):
        with shop.app.app_context(), tenant_scope(isp.id), transaction():
            payload = {"account_id": str(mpesa.active_account().id)}
            outbox.put(Queue.DARAJA, "register_hooks", f"test {clock.now().isoformat()}", payload)
    shop.work("register_hooks")


def _due(shop: Shop) -> None:
    """What waits for its time has waited."""
    shop.admin.execute("UPDATE outbox SET run_at = now() WHERE state = 'ready'")


@pytest.fixture
def hand(shop: Shop) -> Shop:
    """A shop whose shortcodes are registered for C2B and for Pull."""
    _register(shop)
    return shop


_occasions = itertools.count(1)


def _pull(shop: Shop, window: timedelta | None = None) -> None:
    """What the clock does, which may not tick twice in the same second."""
    occasion = f"{next(_occasions)} of this test"
    for isp in (shop.world.a, shop.world.b):
        with shop.app.app_context(), tenant_scope(isp.id), transaction():
            payments.ask_for(window, occasion)
    _due(shop)
    shop.work("pull_payments")
    shop.work("settle_report")


def _two_minutes_later(shop: Shop, job: str = "settle_report") -> None:
    shop.admin.execute("UPDATE inbound_event SET created_at = created_at - interval '125 s'")
    _due(shop)
    shop.work(job)


def _number(shop: Shop, tenant_id: UUID, phone: str = PHONE) -> str:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        return subscribers.number_for(subscribers.by_phone(Phone.parse(phone)).id)


def _balances(shop: Shop, tenant_id: UUID, phone: str = PHONE) -> tuple[int, int]:
    """(wallet, suspense)."""
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        wallet = ledger.wallet(subscribers.by_phone(Phone.parse(phone)).id)
        return ledger.balance(wallet), ledger.balance(ledger.SUSPENSE)


def _outcomes(shop: Shop) -> list[str | None]:
    return [outcome for (outcome,) in shop.rows("SELECT outcome FROM inbound_event ORDER BY created_at, id")]


def _everything_arrived(shop: Shop) -> None:
    """No shilling lost or invented: the book of M-Pesa and ours hold the same receipts, for the same amounts."""
    paid = sorted((line.receipt, line.amount * 100) for line in shop.sim.book() if line.kind in {"stk", "c2b"})
    assert sorted(shop.rows("SELECT receipt, amount_cents FROM provider_receipt")) == paid
    shop.check_books()


# -- registering


def test_both_shortcodes_are_registered_once(hand: Shop) -> None:
    known = "SELECT urls_registered_at IS NOT NULL, pull_registered_at IS NOT NULL, hook_answer FROM mpesa_account"
    assert hand.rows(known) == [(True, True, None)] * 2
    hand.sim.set_knobs({"c2b.register_again": "refuse", "gateway.fault": "html_403"})
    _register(hand)
    assert hand.rows(known) == [(True, True, None)] * 2, "what is registered is not asked for again"


def test_addresses_that_another_system_holds_leave_pull(shop: Shop) -> None:
    shop.sim.set_knobs({"c2b.register_reply": "already_registered"})
    _register(shop)
    known = "SELECT urls_registered_at IS NULL, pull_registered_at IS NOT NULL, hook_answer FROM mpesa_account"
    assert shop.rows(known) == [(True, True, "500.003.1001")] * 2
    shop.sim.pay(STRANGER, "600100", 50, _number(shop, shop.world.a.id))
    _pull(shop)
    assert _balances(shop, shop.world.a.id) == (5000, 0)
    _everything_arrived(shop)


# -- a PayBill


@pytest.mark.parametrize("typed", ["{}", " {} ", "{:.4}-{}"])
def test_an_account_number_fills_its_owners_wallet(hand: Shop, typed: str) -> None:
    number = _number(hand, hand.world.a.id)
    typed = f"{number[:4]}-{number[4:]}" if "-" in typed else typed.format(number)
    hand.sim.pay(STRANGER, "600100", 50, typed)
    assert hand.sim.wait_idle()
    hand.work("settle_report")
    assert _balances(hand, hand.world.a.id) == (5000, 0)
    assert _balances(hand, hand.world.b.id) == (0, 0)
    _everything_arrived(hand)


@pytest.mark.parametrize("slip", ["digit", "phone", "words"])
def test_a_number_that_is_nobodys_goes_into_suspense(hand: Shop, slip: str) -> None:
    number = _number(hand, hand.world.a.id)
    wrong = str((int(number[0]) % 9) + 1) + number[1:]
    hand.sim.pay(MSISDN, "600100", 50, {"digit": wrong, "phone": "0712345678", "words": "Internet ya John"}[slip])
    hand.sim.wait_idle()
    hand.work("settle_report")
    assert _balances(hand, hand.world.a.id) == (0, 5000)
    assert _outcomes(hand) == ["suspense"]
    _everything_arrived(hand)


def test_the_number_of_a_purchase_buys_it(hand: Shop) -> None:
    nonce = hand.buy(hand.world.a.id)
    with hand.app.app_context(), tenant_scope(hand.world.a.id), transaction():
        bought = checkout.find_purchase(nonce)
        number = subscribers.number_for(bought.subscriber_id, bought.id)
    hand.sim.pay(STRANGER, "600100", 10, number)
    hand.sim.wait_idle()
    hand.work("settle_report")
    assert hand.progress(hand.world.a.id, nonce).state == "paid"
    assert _balances(hand, hand.world.a.id) == (0, 0)
    _everything_arrived(hand)


def test_number_of_another_isp_is_nobodys(hand: Shop) -> None:
    hand.sim.pay(STRANGER, "600100", 50, _number(hand, hand.world.b.id))
    hand.sim.wait_idle()
    hand.work("settle_report")
    assert _balances(hand, hand.world.a.id) == (0, 5000)
    assert _balances(hand, hand.world.b.id) == (0, 0)


# -- one payment, several tellers

_TELLERS = ["stk", "c2b", "pull"]


@pytest.mark.parametrize("order", list(itertools.permutations(_TELLERS)), ids=" ".join)
@pytest.mark.parametrize("which", ["a", "b"])
def test_one_prompt_told_of_by_three_is_credited_once(hand: Shop, which: str, order: tuple[str, ...]) -> None:
    tenant = getattr(hand.world, which)
    nonce = hand.buy(tenant.id)
    hand.work("send_stk")
    hand.sim.answer(MSISDN, "pin")
    hand.sim.wait_idle()
    for teller in order:
        if teller == "pull":
            _pull(hand)
        else:
            job = "settle_callback" if teller == "stk" else "settle_report"
            hand.work(job)
            _two_minutes_later(hand, job)
    hand.work()
    assert hand.progress(tenant.id, nonce).state == "paid"
    assert hand.intents() == ["succeeded"]
    assert _balances(hand, tenant.id) == (0, 0)
    _everything_arrived(hand)


def test_a_lost_callback_comes_by_pull_and_is_counted(hand: Shop) -> None:
    hand.sim.set_knobs({"callback.drop": 1})
    nonce = hand.buy(hand.world.a.id)
    hand.work("send_stk")
    hand.sim.answer(MSISDN, "pin")
    _pull(hand)
    assert hand.progress(hand.world.a.id, nonce).state == "paid"
    assert hand.rows("SELECT source FROM provider_receipt") == [("pull",)]
    _everything_arrived(hand)


def test_pull_pages_overlaps_and_witnesses(hand: Shop) -> None:
    hand.sim.set_knobs({"pull.page": 3})
    number = _number(hand, hand.world.a.id)
    for amount in range(10, 18):
        hand.sim.pay(STRANGER, "600100", amount, number)
    hand.sim.wait_idle()
    hand.work("settle_report")
    _pull(hand)
    _pull(hand)
    _pull(hand, payments.LONGEST)
    assert hand.rows("SELECT source, count(*) FROM provider_receipt GROUP BY source") == [("c2b", 8)]
    assert hand.rows("SELECT source, count(*) FROM receipt_witness GROUP BY source") == [("pull", 8)]
    assert hand.rows("SELECT count(*) FROM mpesa_account WHERE pulled_until IS NOT NULL") == [(2,)]
    _everything_arrived(hand)


@pytest.mark.parametrize("knobs", [
    {"pull.empty": "http500"}, {"pull.keys": "spaced"}, {"pull.amount": "number"}, {"pull.msisdn": "masked"},
    {"pull.zone": "utc"},
])  # fmt: skip
def test_every_shape_of_pull_is_read(hand: Shop, knobs: dict[str, object]) -> None:
    hand.sim.set_knobs(knobs | {"callback.drop": 1})
    _pull(hand)
    hand.sim.pay(STRANGER, "600100", 70, _number(hand, hand.world.a.id))
    _pull(hand)
    assert _balances(hand, hand.world.a.id) == (7000, 0)
    _everything_arrived(hand)


@pytest.mark.parametrize("tick", ["pull_since_last", "pull_two_days"])
def test_the_clock_asks_for_every_shortcode_that_is_registered(hand: Shop, tick: str) -> None:
    hand.sim.set_knobs({"callback.drop": 1})
    for isp, number, account in ((hand.world.a, "600100", True), (hand.world.b, "5123456", False)):
        hand.sim.pay(STRANGER, number, 30, _number(hand, isp.id) if account else "")
    hand.admin.execute("UPDATE mpesa_account SET pull_registered_at = NULL WHERE kind = 'till'")
    with hand.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        reactions.JOBS[tick]({})
    _due(hand)
    hand.work("pull_payments")
    hand.work("settle_report")
    assert hand.rows("SELECT source, amount_cents FROM provider_receipt") == [("pull", 3000)]


def test_pull_waits_while_m_pesa_does_not_answer(hand: Shop) -> None:
    hand.sim.set_knobs({"callback.drop": 1})
    hand.sim.pay(STRANGER, "600100", 70, _number(hand, hand.world.a.id))
    hand.sim.set_knobs({"gateway.fault": "html_503"})
    _pull(hand)
    assert hand.rows("SELECT count(*) FROM mpesa_account WHERE pulled_until IS NOT NULL") == [(0,)]
    hand.sim.reset_knobs()
    _due(hand)
    hand.work("pull_payments")
    hand.work("settle_report")
    assert _balances(hand, hand.world.a.id) == (7000, 0)


# -- a Till


def _till_payment(hand: Shop, amount: int = 10) -> None:
    hand.sim.pay(STRANGER, "5123456", amount)
    hand.sim.wait_idle()
    hand.work("settle_report")


def test_a_payment_at_a_till_waits_and_then_lies_in_suspense(hand: Shop) -> None:
    _till_payment(hand)
    assert hand.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    _two_minutes_later(hand)
    assert _balances(hand, hand.world.b.id) == (0, 1000)
    _everything_arrived(hand)


def test_at_a_till_the_only_open_attempt_of_that_amount_is_paid(hand: Shop) -> None:
    nonce = hand.buy(hand.world.b.id)
    hand.work("send_stk")
    _till_payment(hand)
    _two_minutes_later(hand)
    assert hand.progress(hand.world.b.id, nonce).state == "paid"
    assert _balances(hand, hand.world.b.id) == (0, 0)
    _everything_arrived(hand)


def test_of_two_open_attempts_none_is_guessed(hand: Shop) -> None:
    for phone in (PHONE, "0733000222"):
        hand.buy(hand.world.b.id, phone)
    hand.work("send_stk")
    _till_payment(hand)
    _two_minutes_later(hand)
    assert _balances(hand, hand.world.b.id) == (0, 1000)
    assert sorted(hand.intents()) == ["pending", "pending"]


@pytest.mark.parametrize("first", ["proof", "pull"])
def test_two_that_are_proven_paid_at_once_both_get_what_they_paid_for(hand: Shop, first: str) -> None:
    """For the same amount, at the same time, with every callback lost: nobody can tell which receipt is whose."""
    hand.sim.set_knobs({"callback.drop": 1})
    nonces = [hand.buy(hand.world.b.id, phone) for phone in (PHONE, "0733000222")]
    hand.work("send_stk")
    for attempt in hand.sim.attempts():
        hand.sim.answer(attempt.checkout_request_id, "pin")
    hand.sim.wait_idle()
    for step in ("proof", "pull") if first == "proof" else ("pull", "proof"):
        if step == "pull":
            _pull(hand)
            _two_minutes_later(hand)
        else:
            _due(hand)
            hand.work("query_stk")
    assert hand.intents() == ["succeeded", "succeeded"]
    assert {hand.progress(hand.world.b.id, nonce).state for nonce in nonces} == {"paid", "waits"}, "on one device"
    assert _balances(hand, hand.world.b.id) == (0, 0)
    _everything_arrived(hand)


def test_a_wrong_guess_is_taken_back_when_the_attempts_own_callback_comes(hand: Shop) -> None:
    nonce = hand.buy(hand.world.b.id)
    hand.work("send_stk")
    _till_payment(hand)
    _two_minutes_later(hand)
    (guessed,) = hand.rows("SELECT receipt FROM payment_intent")
    hand.sim.answer(MSISDN, "pin")
    hand.sim.wait_idle()
    hand.work("settle_callback")
    own = next(line.receipt for line in hand.sim.book() if line.msisdn == MSISDN)
    assert hand.rows("SELECT receipt FROM payment_intent") == [(own,)] != [guessed]
    assert hand.progress(hand.world.b.id, nonce).state == "paid"
    assert _balances(hand, hand.world.b.id) == (0, 1000), "the stranger's payment is nobody's again"
    hand.work()
    _everything_arrived(hand)


# -- what is not believed


def test_large_or_unlisted_reports_wait_for_m_pesas_own_word(hand: Shop) -> None:
    number = _number(hand, hand.world.a.id)
    hand.sim.subscriber(STRANGER, balance=100_000)
    hand.sim.pay(STRANGER, "600100", 20_000, number)
    hand.sim.pay(STRANGER, "600100", 30, number)
    hand.sim.wait_idle()
    hand.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9' WHERE body LIKE '%30.00%'")
    hand.work("settle_report")
    assert _outcomes(hand) == ["held", "held"]
    assert _balances(hand, hand.world.a.id) == (0, 0)
    _pull(hand)
    assert _balances(hand, hand.world.a.id) == (2_003_000, 0)
    _everything_arrived(hand)


@pytest.mark.parametrize("forgery", ["wrong_amount", "unknown_receipt", "other_checkout", "wrong_token", "off_list_ip"])
def test_forged_confirmations_move_nothing_that_was_not_paid(hand: Shop, forgery: str) -> None:
    number = _number(hand, hand.world.a.id)
    paid = hand.sim.pay(STRANGER, "600100", 40, number)
    hand.sim.wait_idle()
    hand.admin.execute("DELETE FROM inbound_event")
    hand.admin.execute("DELETE FROM outbox")
    hand.sim.forge(paid.receipt, forgery)
    hand.sim.wait_idle()
    hand.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9'")
    hand.work("settle_report")
    assert hand.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    _pull(hand)
    _everything_arrived(hand)


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b"null", b'{"TransID": 7}', b'{"TransID": "UKO7RT61SV"}', b'{"TransID": "OAK0000000"}',
    b'{"TransID": "UKO7RT61SV", "TransAmount": "-5", "BusinessShortCode": "600100"}',
    b'{"TransID": "UKO7RT61SV", "TransAmount": "1e3", "BusinessShortCode": "600100"}',
    b'{"TransID": "UKO7RT61SV", "TransAmount": "5.00", "BusinessShortCode": "999999"}',
    b'{"TransID": ["UKO7RT61SV"], "TransAmount": {"a": 1}}',
])  # fmt: skip
def test_a_bad_report_is_stored_and_credits_nothing(hand: Shop, body: bytes) -> None:
    assert _send(_hook(hand, "c"), body).status_code == 200
    hand.work("settle_report")
    assert len(_outcomes(hand)) == 1
    assert _outcomes(hand)[0] in {"malformed", "refused: another shortcode"}
    assert hand.rows("SELECT count(*) FROM ledger_transaction") == [(0,)]


def _send(url: str, body: bytes | dict[str, str]) -> requests.Response:
    """As Daraja would; the name of the host is not for this machine's resolver."""
    there = urlsplit(url)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    here = there._replace(netloc=f"127.0.0.1:{there.port}")
    return requests.post(urlunsplit(here), data=data, headers={"Host": there.netloc}, timeout=10)


def _hook(shop: Shop, kind: str, isp: str = "a") -> str:
    with shop.app.app_context(), tenant_scope(getattr(shop.world, isp).id), transaction():
        account = mpesa.active_account()
        return mpesa.hook_url(kind, account.tenant_id, account.hook_token or "")


def test_a_token_of_another_isp_or_none_is_unknown(hand: Shop) -> None:
    of_a, of_b = _hook(hand, "c"), _hook(hand, "c", "b")
    mixed = of_a.rpartition("/")[0] + "/" + of_b.rpartition("/")[2]
    for url in (mixed, of_a.rpartition("/")[0] + "/" + "0" * 64, mixed.replace("/h/c/", "/h/v/")):
        assert _send(url, b"{}").status_code == 404
    assert _outcomes(hand) == []


# -- validation


def _refuse_unknown(shop: Shop) -> None:
    shop.admin.execute("UPDATE mpesa_account SET refuses_unknown_references = true")


def _asks(shop: Shop, reference: str) -> dict[str, str]:
    body = {"TransID": "UKO7RT61SV", "TransAmount": "50.00", "BusinessShortCode": "600100", "BillRefNumber": reference}
    answer = _send(_hook(shop, "v"), body)
    assert answer.status_code == 200
    said: dict[str, str] = answer.json()
    return said


def test_validation_takes_what_it_knows_and_refuses_the_rest_where_the_isp_wants_that(hand: Shop) -> None:
    hand.buy(hand.world.a.id)
    (reference,) = hand.intents("reference")
    number = _number(hand, hand.world.a.id)
    assert _asks(hand, "12345678")["ResultCode"] == "0", "by default all is taken"
    _refuse_unknown(hand)
    assert _asks(hand, "12345678")["ResultCode"] == "C2B00012"
    assert _asks(hand, _number(hand, hand.world.b.id))["ResultCode"] == "C2B00012"
    assert [_asks(hand, known)["ResultCode"] for known in (number, f" {number[:4]}-{number[4:]}", reference)] == [
        "0"
    ] * 3
    assert _send(_hook(hand, "v"), b"{").json()["ResultCode"] == "0"


def test_validation_during_an_outage_takes_the_payment(hand: Shop) -> None:
    _refuse_unknown(hand)
    url = _hook(hand, "v")
    with hand.without_database():
        assert _send(url, {}).json()["ResultCode"] == "0"


def test_a_confirmation_during_an_outage_is_kept(hand: Shop) -> None:
    hand.spool.watch(hand.app)
    hand.spool.stop()
    url, number = _hook(hand, "c"), _number(hand, hand.world.a.id)
    body = {
        "TransID": "UKO7RT61SV", "TransAmount": "50.00", "BusinessShortCode": "600100", "BillRefNumber": number,
        "TransTime": "20261124120000", "MSISDN": "2547 ***** 126",
    }  # fmt: skip
    with hand.without_database():
        assert _send(url, body).status_code == 200
    assert hand.spool.hand_in(hand.app) == 1
    hand.work("settle_report")
    assert _balances(hand, hand.world.a.id) == (5000, 0)
