"""A purchase from the pay button to the entitlement, and everything that may go wrong on the way."""

from __future__ import annotations

import pytest

from tenants import checkout, ledger
from tenants.payments import stk
from tenants.payments.refusals import TooManyPromptsToday
from tests.shop import PHONE, Shop
from wavu.db import transaction
from wavu.errors import NotFound
from wavu.tenancy import tenant_scope

MSISDN = "254712345678"


def _balance(shop: Shop, tenant_id: object, code: str) -> int:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():  # type: ignore[arg-type]
        return ledger.balance(code)


@pytest.mark.parametrize("which", ["a", "b"])
def test_paid_and_entitled_on_a_paybill_and_on_a_till(shop: Shop, which: str) -> None:
    tenant = getattr(shop.world, which)
    nonce = shop.buy(tenant.id)
    assert shop.progress(tenant.id, nonce).state == "requested"
    shop.work("send_stk")
    progress = shop.progress(tenant.id, nonce)
    assert (progress.state, progress.phone_masked) == ("prompted", "0712 ••• 678")
    assert progress.pay_to == f"{tenant.name} · {'600100' if which == 'a' else '5123456'}"
    shop.sim.answer(MSISDN, "pin")
    assert shop.sim.wait_idle()
    shop.work()
    progress = shop.progress(tenant.id, nonce)
    (line,) = shop.sim.book()
    assert (progress.state, progress.receipt) == ("paid", line.receipt)
    assert shop.intents() == ["succeeded"]
    assert _balance(shop, tenant.id, ledger.INCOME_ACCESS) == 1000
    other = shop.world.b if which == "a" else shop.world.a
    assert _balance(shop, other.id, ledger.INCOME_ACCESS) == 0
    with shop.app.app_context(), tenant_scope(other.id), transaction(), pytest.raises(NotFound):
        checkout.find_purchase(nonce)
    shop.check_books()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("cancel", "1032"), ("wrong_pin", "2001"), ("1", "1"), ("unreachable", "1037"), ("8006", "8006")],
)
def test_a_no_is_shown_and_the_next_try_succeeds(shop: Shop, outcome: str, code: str) -> None:
    shop.sim.script(MSISDN, outcome, "pay")
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    shop.sim.advance(90)
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    progress = shop.progress(shop.world.a.id, nonce)
    assert (progress.state, progress.code) == ("failed", code)
    assert 100 < progress.retry_in_seconds <= 120, "the same amount again within two minutes would be refused"
    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction(), pytest.raises(checkout.PromptOpen):
        checkout.try_again(checkout.find_purchase(nonce))
    shop.later(121)
    assert shop.progress(shop.world.a.id, nonce).retry_in_seconds == 0
    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction():
        checkout.try_again(checkout.find_purchase(nonce))
    shop.work("send_stk")
    shop.sim.advance(30)
    assert shop.sim.wait_idle()
    shop.work("settle_callback")
    assert shop.progress(shop.world.a.id, nonce).state == "paid"
    shop.check_books()


def test_a_double_tap_is_one_purchase_and_one_prompt(shop: Shop) -> None:
    nonce = shop.buy(shop.world.a.id)
    assert shop.buy(shop.world.a.id, nonce=nonce) == nonce
    shop.work("send_stk")
    assert len(shop.sim.attempts()) == 1
    with pytest.raises(checkout.PromptOpen):
        shop.buy(shop.world.a.id)
    assert shop.rows("SELECT count(*) FROM purchase") == [(1,)], "a refused press leaves nothing behind"


def test_a_prompt_that_could_not_be_sent_in_time_is_not_sent_late(shop: Shop) -> None:
    """Whoever waited has been offered another try: two prompts would ring."""
    nonce = shop.buy(shop.world.a.id)
    shop.later(61)
    shop.work("send_stk")
    assert shop.sim.prompts() == []
    assert shop.intents() == ["failed"]
    assert shop.progress(shop.world.a.id, nonce).retry_in_seconds == 0


def test_isps_together_do_not_flood_a_phone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stk, "_EVERYWHERE_PER_10_MINUTES", 2)
    shop.buy(shop.world.a.id)
    shop.buy(shop.world.b.id)
    shop.later(125)
    with pytest.raises(checkout.TooManyPrompts):
        shop.buy(shop.world.a.id)
    shop.buy(shop.world.a.id, phone="0712000001")
    monkeypatch.setattr(stk, "_EVERYWHERE_PER_DAY", 2)
    shop.later(3600)
    with pytest.raises(TooManyPromptsToday):
        shop.buy(shop.world.b.id)
    shop.later(86_400)
    shop.buy(shop.world.b.id)


def test_three_prompts_in_ten_minutes_are_enough(shop: Shop) -> None:
    shop.sim.script(MSISDN, "cancel", "cancel", "cancel")
    for _ in range(3):
        shop.buy(shop.world.a.id)
        shop.work("send_stk")
        shop.sim.advance(20)
        shop.sim.wait_idle()
        shop.work("settle_callback")
        shop.later(121)
    with pytest.raises(checkout.TooManyPrompts):
        shop.buy(shop.world.a.id)
    shop.buy(shop.world.a.id, phone="0110000001")


def test_a_silent_callback_is_chased_and_its_receipt_still_counts(shop: Shop) -> None:
    shop.sim.set_knobs({"callback.drop": 1})
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    shop.sim.answer(MSISDN, "pin")
    shop.sim.wait_idle()
    assert shop.work("query_stk") == 0
    shop.later(21)
    shop.work("query_stk")
    assert shop.intents() == ["paid_no_receipt"]
    progress = shop.progress(shop.world.a.id, nonce)
    assert (progress.state, progress.receipt) == ("paid", None)
    assert _balance(shop, shop.world.a.id, ledger.INCOME_ACCESS) == 0, "nothing is posted without a receipt"
    shop.sim.reset_knobs()
    (attempt,) = shop.sim.attempts()
    shop.sim.resend(attempt.checkout_request_id)
    shop.sim.wait_idle()
    shop.work()
    assert shop.intents() == ["succeeded"]
    assert shop.rows("SELECT provisional FROM entitlement") == [(False,)]
    shop.check_books()


def test_late_success_wins_over_an_earlier_no(shop: Shop) -> None:
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    shop.admin.execute("UPDATE payment_intent SET state = 'failed', code = '1037'")
    shop.sim.answer(MSISDN, "pin")
    shop.sim.wait_idle()
    shop.work()
    assert shop.intents() == ["succeeded"]
    assert shop.progress(shop.world.a.id, nonce).state == "paid"
    shop.check_books()


def test_five_copies_at_once_credit_once(shop: Shop) -> None:
    shop.sim.set_knobs({"callback.duplicate": 5})
    shop.buy(shop.world.a.id)
    shop.work("send_stk")
    shop.sim.answer(MSISDN, "pin")
    shop.sim.wait_idle()
    shop.work()
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(1,)]
    assert _balance(shop, shop.world.a.id, ledger.INCOME_ACCESS) == 1000
    shop.check_books()


def test_the_callback_may_come_before_the_answer_to_our_request(shop: Shop) -> None:
    shop.sim.set_knobs({"callback.before_response": True})
    shop.sim.script(MSISDN, "pay")
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    shop.sim.advance(10)
    shop.sim.wait_idle()
    shop.work()
    assert shop.intents() == ["succeeded"]
    assert shop.progress(shop.world.a.id, nonce).state == "paid"
    shop.check_books()


@pytest.mark.parametrize("fault", ["hang_before_exec", "hang_after_exec", "error_after_exec", "html_403", "html_503"])
def test_no_answer_is_unknown_and_never_sent_again(shop: Shop, fault: str) -> None:
    shop.sim.rule({"gateway.fault": fault, "gateway.hang": 0}, times=50, skip=1)
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    assert shop.intents() == ["unknown"], "silence is no failure"
    sent = len(shop.sim.attempts())
    shop.work("send_stk")
    assert len(shop.sim.attempts()) == sent
    assert shop.progress(shop.world.a.id, nonce).state == "checking"
    shop.later(76)
    assert shop.progress(shop.world.a.id, nonce).state == "no_reply"


def test_a_crash_while_sending_is_unknown_and_the_callback_still_finds_it(shop: Shop) -> None:
    shop.buy(shop.world.a.id)
    shop.admin.execute("UPDATE payment_intent SET state = 'submitting', submitted_at = now()")
    shop.work("send_stk")
    assert shop.intents() == ["unknown"]
    assert shop.sim.attempts() == []


def test_an_intent_that_nobody_answers_expires_after_a_day_and_a_late_success_still_counts(shop: Shop) -> None:
    shop.sim.set_knobs({"query.stuck": True})
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    for seconds in (21, 20, 40, 50, 200, 700, 3000, 19_000, 66_000):
        shop.later(seconds)
        shop.work("query_stk")
    assert shop.intents() == ["expired"]
    token = shop.rows("SELECT token_fingerprint FROM payment_intent")
    assert token
    assert shop.progress(shop.world.a.id, nonce).state == "review"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        ("UPDATE mpesa_account SET business_short_code = '999999' WHERE kind = 'paybill'", "shortcode"),
    ],
)
def test_wrong_numbers_say_what_to_mend(shop: Shop, break_it: str, words: str) -> None:
    shop.admin.execute(break_it.encode())
    nonce = shop.buy(shop.world.a.id)
    shop.work("send_stk")
    progress = shop.progress(shop.world.a.id, nonce)
    assert (progress.state, progress.code) == ("failed", "config")
    ((fault,),) = shop.rows("SELECT fault FROM mpesa_account WHERE kind = 'paybill'")
    assert words in fault


@pytest.mark.parametrize(("secret", "words"), [("consumer_secret", "consumer key"), ("passkey", "passkey")])
def test_wrong_credentials_say_which(shop: Shop, secret: str, words: str) -> None:
    from tenants import mpesa

    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction():
        setattr(mpesa.active_account(), secret, "wrong")
    shop.buy(shop.world.a.id)
    for _ in range(3):
        shop.work("send_stk")
        shop.later(61)
    ((fault,),) = shop.rows("SELECT fault FROM mpesa_account WHERE kind = 'paybill'")
    assert words in fault


def test_a_stale_token_is_replaced_once_and_the_push_goes_out(shop: Shop) -> None:
    shop.sim.script(MSISDN, "cancel", "pay")
    shop.buy(shop.world.a.id)
    shop.work("send_stk")
    shop.sim.advance(20)
    shop.sim.wait_idle()
    shop.work("settle_callback")
    shop.later(121)
    shop.sim.revoke_tokens("key-a")
    shop.buy(shop.world.a.id)
    shop.work("send_stk")
    assert shop.intents() == ["failed", "pending"]
    assert len(shop.sim.attempts()) == 2


def test_credentials_are_sealed(shop: Shop) -> None:
    sealed = b"".join(
        shop.rows("SELECT consumer_key_sealed || consumer_secret_sealed || passkey_sealed FROM mpesa_account")[0]
    )
    assert b"key-a" not in sealed
    assert b"secret-a" not in sealed
    assert PHONE not in repr(shop.rows("SELECT * FROM outbox"))


def test_many_purchases_each_post_for_themselves(shop: Shop) -> None:
    """Of both tenants, one after the other: nothing of one stands in the way of the next."""
    for number in range(3):
        for tenant_id in shop.packages:
            shop.buy(tenant_id, phone=f"07220000{number}{1 if tenant_id == shop.world.a.id else 2}")
    shop.work("send_stk")
    for prompt in shop.sim.prompts():
        shop.sim.answer(prompt.checkout_request_id, "pin")
    shop.sim.wait_idle()
    shop.work("settle_callback")
    assert shop.intents() == ["succeeded"] * 6
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(6,)]
    for tenant_id in shop.packages:
        assert _balance(shop, tenant_id, ledger.INCOME_ACCESS) == 3000
    assert sum(line.amount for line in shop.sim.book()) == 60
    shop.check_books()
