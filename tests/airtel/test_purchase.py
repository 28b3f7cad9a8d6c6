"""A purchase with Airtel Money, from the button to the entitlement, and everything that may go wrong on the way."""

from __future__ import annotations

import pytest

from tenants import payments
from tests.airtel.conftest import MSISDN, PHONE, SAFARICOM, Counter
from wavu import ids
from wavu.db import transaction
from wavu.tenancy import tenant_scope


def test_paid_and_entitled(counter: Counter) -> None:
    nonce = counter.asks()
    assert counter.state(nonce) == ("prompted", None)
    assert counter.shop.progress(counter.a, nonce).pay_to.endswith("· Airtel Money")
    counter.airtel.answer(counter.name(), "pay")
    counter.settles()
    now = counter.shop.progress(counter.a, nonce)
    paid = counter.airtel.payment(counter.name())
    assert (now.state, now.receipt) == ("paid", paid.money_id)
    assert paid.msisdn == MSISDN, "without country code and without a zero"
    assert counter.shop.rows("SELECT provider, shortcode_group, source FROM provider_receipt") == [
        ("airtel", "airtel 70010a", "airtel query")
    ], "a callback without a signature is a claim; the enquiry proved it"
    assert counter.shop.rows("SELECT kind FROM ledger_transaction WHERE key LIKE 'receipt:%%'") == [("airtel_in",)]
    counter.check_books()


def test_each_isp_is_paid_at_its_own_account(counter: Counter) -> None:
    counter.airtel.script(MSISDN, "pay")
    counter.airtel.script("733999999", "pay")
    first, second = counter.asks(counter.a), counter.asks(counter.b, "0733999999")
    counter.settles()
    assert counter.state(first, counter.a)[0] == counter.state(second, counter.b)[0] == "paid"
    assert counter.airtel.total("client-a") == counter.airtel.total("client-b") == 10
    counter.check_books()


@pytest.mark.parametrize(
    ("outcome", "code"), [("wrong_pin", "DP00800001002"), ("refuse", "DP00800001008"), ("pay", "DP00800001007")]
)
def test_a_no_is_told_with_its_reason_and_the_next_try_succeeds(counter: Counter, outcome: str, code: str) -> None:
    if outcome == "pay":
        counter.airtel.owner(MSISDN, balance=3)
    counter.airtel.script(MSISDN, outcome, "pay")
    nonce = counter.asks()
    counter.settles()
    assert counter.state(nonce) == ("failed", code)
    counter.airtel.owner(MSISDN, balance=500)
    counter.later(130)
    with counter.shop.app.app_context(), tenant_scope(counter.a), transaction():
        from tenants import checkout

        checkout.try_again(checkout.find_purchase(nonce))
    counter.shop.work("send_stk")
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    counter.check_books()


def test_an_ignored_prompt_is_no_answer_and_then_a_no(counter: Counter) -> None:
    counter.airtel.script(MSISDN, "ignore")
    nonce = counter.asks()
    counter.later(80)
    counter.settles()
    assert counter.state(nonce)[0] in {"no_reply", "failed"}
    counter.later(200)
    counter.settles()
    assert counter.state(nonce) == ("failed", "DP00800001024")
    counter.check_books()


def test_a_lost_callback_is_found_by_asking(counter: Counter) -> None:
    counter.airtel.set_knobs({"callback.lost": True})
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.settles()
    assert counter.state(nonce)[0] == "prompted"
    counter.later(46)
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    counter.check_books()


@pytest.mark.parametrize("fault", ["hang_before_exec", "hang_after_exec", "error_after_exec", "ambiguous_500"])
def test_no_answer_is_unknown_and_never_failed(counter: Counter, fault: str) -> None:
    counter.airtel.set_knobs({"gateway.fault": fault, "gateway.hang": 0, "callback.lost": True})
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    assert counter.shop.intents() == ["unknown"]
    counter.airtel.set_knobs({"gateway.fault": "none"})
    counter.later(46)
    counter.settles()
    executed = fault in {"hang_after_exec", "error_after_exec"}
    assert counter.shop.intents() == ["succeeded" if executed else "unknown"]
    assert counter.state(nonce)[0] == ("paid" if executed else "checking")
    assert len([path for path in counter.airtel.requests if "merchant" in path]) == 1, "sent once, whatever happens"
    counter.check_books()


def test_a_worker_that_dies_in_between_can_still_ask(counter: Counter) -> None:
    """The name of the attempt is ours and known before anything is sent."""
    nonce = counter.shop.buy(counter.a, PHONE)
    counter.shop.admin.execute("UPDATE payment_intent SET state = 'submitting', submitted_at = now()")
    app = counter.airtel.app("client-a")
    counter.airtel.script(MSISDN, "pay")
    counter.airtel.set_knobs({"callback.lost": True})
    counter.airtel.begin(app, counter.name(), MSISDN, 10, "1 hour a")
    counter.shop.work("send_stk")
    assert counter.shop.intents() == ["unknown"]
    counter.later(46)
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    counter.check_books()


def test_a_gateway_that_cannot_be_reached_sends_nothing_and_says_so(counter: Counter) -> None:
    counter.airtel.set_knobs({"gateway.fault": "html_503"})
    nonce = counter.asks()
    for _ in range(30):
        counter.shop.later(4)
        counter.shop.work("send_stk")
    assert counter.state(nonce) == ("failed", "unreachable")
    assert not [path for path in counter.airtel.requests if "merchant" in path]


def test_wrong_keys_are_named_on_the_account(counter: Counter) -> None:
    counter.airtel.set_knobs({"token.refused": True})
    nonce = counter.asks()
    assert counter.state(nonce) == ("failed", "config")
    ((fault,),) = counter.shop.rows("SELECT fault FROM airtel_account WHERE tenant_id = %s", counter.a)
    assert "client id" in fault
    assert counter.shop.rows("SELECT fault FROM airtel_account WHERE tenant_id = %s", counter.b) == [(None,)]
    counter.airtel.set_knobs({"token.refused": False})
    counter.airtel.script("733777777", "pay")
    counter.asks(phone="0733777777")
    counter.settles()
    assert counter.shop.rows("SELECT fault FROM airtel_account WHERE tenant_id = %s", counter.a) == [(None,)]


def test_a_token_that_ended_is_fetched_anew(counter: Counter) -> None:
    counter.airtel.script(MSISDN, "pay", "pay")
    counter.asks()
    counter.settles()
    counter.airtel.advance(400)
    counter.later(130)
    counter.asks()
    counter.settles()
    assert counter.shop.intents() == ["succeeded", "succeeded"]
    counter.check_books()


def test_a_success_after_a_no_still_pays(counter: Counter) -> None:
    counter.airtel.set_knobs({"push.late_success": 30})
    counter.airtel.script(MSISDN, "wrong_pin")
    nonce = counter.asks()
    counter.settles()
    assert counter.state(nonce)[0] == "failed"
    counter.later(31)
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    counter.check_books()


def test_proven_without_a_receipt_gives_service_until_the_receipt_comes(counter: Counter) -> None:
    counter.airtel.set_knobs({"enquiry.no_id": True, "callback.lost": True})
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.later(46)
    counter.settles()
    assert counter.shop.intents() == ["paid_no_receipt"]
    assert counter.state(nonce)[0] == "paid"
    counter.airtel.set_knobs({"enquiry.no_id": False})
    counter.later(50)
    counter.settles()
    assert counter.shop.intents() == ["succeeded"]
    counter.check_books()


def test_a_safaricom_number_goes_to_m_pesa_unless_the_customer_says_otherwise(counter: Counter) -> None:
    counter.asks(phone=SAFARICOM)
    assert counter.shop.rows("SELECT provider FROM payment_intent") == [("mpesa",)]
    from tenants import checkout
    from wavu.phone import Phone

    with counter.shop.app.app_context(), tenant_scope(counter.a), transaction():
        checkout.begin(
            nonce=ids.new_token()[:32], package_id=counter.shop.packages[counter.a], phone=Phone.parse(SAFARICOM),
            mac=None, router_id=None, login_url=None, original_url=None, provider="airtel",
        )  # fmt: skip
    assert counter.shop.rows("SELECT provider FROM payment_intent ORDER BY id")[-1] == ("airtel",)


def test_the_database_refuses_an_attempt_without_its_gateways_account(counter: Counter) -> None:
    counter.asks()
    with pytest.raises(Exception, match="what an intent asks for never changes"):
        counter.shop.admin.execute("UPDATE payment_intent SET provider = 'mpesa'")


def test_health_is_counted_for_each_gateway(counter: Counter) -> None:
    counter.airtel.script(MSISDN, "pay")
    counter.asks()
    counter.settles()
    with counter.shop.app.app_context(), tenant_scope(counter.a), transaction():
        from tenants import airtel as product

        assert payments.health(product.active_account())[:4] == (True, 1, 1, 0)
        from tenants import mpesa

        assert not payments.health(mpesa.active_account()).tried
