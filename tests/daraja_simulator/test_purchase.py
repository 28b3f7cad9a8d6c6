"""A purchase from push to callback and query: each way it can end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rehearsal.daraja import PRODUCTS, Simulator
from rehearsal.simulation import NotPossible
from tests.daraja_simulator.shop import ASHA, BARAKA, Receiver, Shop, ask, items


def test_the_password_of_the_portal_sample_is_accepted(paybill: Shop) -> None:
    """Build sheet section 4, test vector: shortcode 174379, the public sandbox passkey, 20210628092408."""
    sample = (
        "MTc0Mzc5YmZiMjc5ZjlhYTliZGJjZjE1OGU5N2RkNzFhNDY3Y2QyZTBjODkzMDU5YjEwZjc4"
        "ZTZiNzJhZGExZWQyYzkxOTIwMjEwNjI4MDkyNDA4"
    )
    assert paybill.push(Password=sample, Timestamp="20210628092408").status == 200
    assert paybill.push(BARAKA, Password=sample, Timestamp="20210628092409").json["errorMessage"] == "Wrong credentials"


def test_a_right_pin_pays(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    answer = paybill.push()
    assert answer.json["ResponseCode"] == "0"
    assert (
        answer.json["CustomerMessage"]
        == answer.json["ResponseDescription"]
        == "Success. Request accepted for processing"
    )
    assert re.fullmatch(r"[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{16,18}", answer.json["MerchantRequestID"])
    now = sim.clock.eat()
    checkout = answer.json["CheckoutRequestID"]
    assert re.fullmatch(rf"ws_CO_{now:%d%m%Y%H%M%S}\d{{1,3}}{ASHA[-9:]}", checkout)
    assert [prompt.prompt_text for prompt in sim.prompts(ASHA)] == [
        "Do you want to pay Ksh50.00 to PENDO WIFI Account no. P7K3M9Q2XA?"
    ]
    sim.advance(9)
    sim.answer(ASHA, "pin", "1234")
    assert sim.wait_idle()
    (callback,) = receiver.callbacks
    line = sim.book()[0]
    assert callback["ResultCode"] == 0
    assert callback["CheckoutRequestID"] == checkout
    assert items(callback) == {
        "Amount": 50, "MpesaReceiptNumber": line.receipt, "Balance": None,
        "TransactionDate": int(f"{sim.clock.eat():%Y%m%d%H%M%S}"), "PhoneNumber": 254712345678,
    }  # fmt: skip
    assert {"Name": "Balance"} in callback["CallbackMetadata"]["Item"]
    assert b'"Value": 50.00}' in receiver.raw[0]
    assert re.fullmatch(r"[A-Z0-9]{10}", line.receipt)
    assert (receiver.hosts[0], receiver.sources[0]) == (paybill.callback_url.split("/")[2], "196.201.214.200")
    told = paybill.query(checkout).json
    assert told["ResultCode"] == told["ResponseCode"] == "0"
    assert told["ResponseDescription"] == "The service request has been accepted successsfully"
    assert set(told) == {
        "ResponseCode", "ResponseDescription", "MerchantRequestID", "CheckoutRequestID", "ResultCode", "ResultDesc",
    }  # fmt: skip


def test_a_till_is_paid_through_its_store_number(sim: Simulator, till: Shop, receiver: Receiver) -> None:
    till.checkout()
    assert sim.prompts()[0].prompt_text == "Do you want to pay Ksh50.00 to PENDO WIFI?"
    sim.answer(ASHA, "pin")
    assert sim.wait_idle()
    assert (sim.book()[0].shortcode, sim.book()[0].till, receiver.codes) == ("600100", "600200", [0])


@pytest.mark.parametrize(
    ("action", "pin", "code"), [("cancel", "", 1032), ("pin", "0000", 2001), ("ignore", "", 1037)]
)  # fmt: skip
def test_a_person_declines(sim: Simulator, paybill: Shop, receiver: Receiver, action: str, pin: str, code: int) -> None:
    checkout = paybill.checkout()
    sim.answer(checkout, action, pin)
    if action == "ignore":
        sim.advance(59)
        assert receiver.codes == []
        sim.advance(1)
    assert sim.wait_idle()
    assert receiver.codes == [code]
    assert set(receiver.callbacks[0]) == {"MerchantRequestID", "CheckoutRequestID", "ResultCode", "ResultDesc"}
    assert paybill.query(checkout).json["ResultCode"] == str(code)
    assert sim.book() == []


def test_a_closed_prompt_takes_no_answer(sim: Simulator, paybill: Shop) -> None:
    checkout = paybill.checkout()
    with pytest.raises(NotPossible, match="four digits"):
        sim.answer(checkout, "pin", "12x4")
    sim.answer(checkout, "cancel")
    with pytest.raises(NotPossible, match="no longer open"):
        sim.answer(checkout, "pin")


def test_three_wrong_pins_lock_the_phone(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    for amount in range(1, 5):
        paybill.checkout(amount=amount)
        sim.answer(ASHA, "pin", "0000" if amount < 4 else "1234")
        # Callbacks that are under way together may arrive in any order.
        assert sim.wait_idle()
    assert receiver.codes == [2001, 2001, 2001, 8006]


@pytest.mark.parametrize(
    ("phone", "merchant", "amount", "code"),
    [
        ({"balance": 49}, {}, 50, 1),
        ({"balance": 300_000}, {}, 250_001, 3),
        ({"balance": 600_000}, {}, 250_000, 4),
        ({}, {"max_balance": 40}, 50, 8),
        ({"reachable": False}, {}, 50, 1037),
    ],
)
def test_limits_of_the_account(
    sim: Simulator,
    paybill: Shop,
    receiver: Receiver,
    phone: dict[str, Any],
    merchant: dict[str, Any],
    amount: int,
    code: int,
) -> None:
    sim.subscriber(ASHA, **phone)
    if merchant:
        sim.add_app("k2", "s2", paybill.shortcode, passkey=paybill.passkey, **merchant)
    for spent in (249_999, 249_998) if code == 4 else ():
        paybill.checkout(amount=spent)
        sim.answer(ASHA, "pin")
    assert sim.wait_idle()
    receiver.raw.clear()
    paybill.checkout(amount=amount)
    sim.advance(2)
    if sim.prompts(ASHA):
        sim.answer(ASHA, "pin")
    sim.advance(60)
    assert receiver.codes == [code]


def test_the_same_amount_within_two_minutes_is_rule_limited(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    paybill.checkout()
    sim.answer(ASHA, "cancel")
    sim.advance(119)
    paybill.checkout()
    sim.advance(1)
    assert receiver.codes == [1032, 17]
    paybill.checkout()
    assert len(sim.prompts(ASHA)) == 1


def test_a_second_prompt_cannot_lock_the_subscriber(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    paybill.checkout()
    answer = paybill.push(amount=60)
    text = "Unable to lock subscriber, a transaction is already in process for the current subscriber"
    assert answer.error == (500, "500.001.1001", text)
    sim.set_knobs({"stk.lock": "async_1001"})
    paybill.checkout(amount=60)
    sim.advance(1)
    assert receiver.codes == [1001]


@pytest.mark.parametrize("code", [26, 1019, 1025, 1036, 2006, 2029, 9999, "SFC_IC0003"])
def test_any_result_code_can_be_scripted(sim: Simulator, paybill: Shop, receiver: Receiver, code: int | str) -> None:
    """KEPAS only ever saw four codes in production, "so the rest must be reproduced by the simulator"."""
    sim.script(ASHA, {"outcome": str(code), "after": 3})
    checkout = paybill.checkout()
    sim.advance(3)
    assert receiver.codes == [code]
    assert paybill.query(checkout).json["ResultCode"] == str(code)


def test_scripts_play_in_order_and_each_brings_its_own_knobs(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.script(ASHA, "cancel", {"outcome": "pay", "after": 5, "knobs": {"callback.drop": 1}})
    for amount in (1, 2):
        paybill.checkout(amount=amount)
        sim.advance(5)
    assert receiver.codes == [1032]
    assert sim.total() == 2
    assert [letter.error for letter in sim.letters()] == [None, "dropped by callback.drop"]


def test_money_may_move_after_a_failure_was_told(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"stk.late_success": 1800})
    checkout = paybill.checkout()
    sim.advance(60)
    assert paybill.query(checkout).json["ResultCode"] == "1037"
    sim.advance(1800)
    assert receiver.codes == [1037, 0]
    assert items(receiver.callbacks[1])["MpesaReceiptNumber"] == sim.book()[0].receipt
    assert paybill.query(checkout).json["ResultCode"] == "0"


def test_a_seed_repeats_a_run(sim: Simulator, paybill: Shop) -> None:
    def run() -> list[str | None]:
        sim.set_knobs({"stk.auto": {"pay": 5, "cancel": 3, "ignore": 2}, "stk.auto_after": [1, 20]})
        for n in range(12):
            paybill.checkout(f"2547000000{n:02d}")
        sim.advance(60)
        return [attempt.result_code for attempt in sim.attempts()]

    first = run()
    sim.reset(seed=1)
    paybill.register().bearer = ""
    assert run() == first
    assert len(set(first)) == 3


def test_the_control_api_does_the_same(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    def control(verb: str, path: str, body: object = None) -> Any:
        answer = ask(sim.base_url, verb, f"/control{path}", body)
        assert answer.status == 200, answer.text
        return answer.json

    app = {
        "consumer_key": "api-key",
        "consumer_secret": "api-secret",
        "shortcode": "555000",
        "passkey": "pk",
        "name": "NURU",
    }
    assert control("POST", "/apps", app) == {
        "consumer_key": "api-key", "shortcode": "555000", "products": sorted(PRODUCTS),
    }  # fmt: skip
    shop = Shop(sim, receiver.url, "555000", "pk", "api-key", "api-secret")
    checkout = shop.checkout()
    (prompt,) = control("GET", f"/prompts?msisdn={ASHA}")
    assert (prompt["checkout_request_id"], prompt["merchant"]) == (checkout, "NURU")
    control("POST", f"/prompts/{checkout}/answer", {"action": "pin", "pin": "4321"})
    control("POST", "/callbacks/wait")
    book = control("GET", "/book?shortcode=555000")
    assert (book["total"], book["receipts"][0]["checkout_request_id"]) == (50, checkout)
    assert control("GET", f"/attempts/{checkout}")["callbacks"][0]["status"] == 200
    control("POST", "/script", {"msisdn": BARAKA, "outcomes": ["cancel"]})
    shop.checkout(BARAKA)
    before = control("GET", "/clock")["epoch"]
    assert control("POST", "/clock", {"advance": 60})["epoch"] == before + 60
    assert receiver.codes == [0, 1032]
    assert control("GET", "/state")["receipts"] == 1
    assert "callback.drop" in control("GET", "/")["knobs"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/knobs", {"callback.lose": 1}, 400),
        ("/knobs", {"callback.drop": "often"}, 400),
        ("/rules", {"knobs": {"stk.lock": "off"}, "tenant": "x"}, 400),
        ("/rules", {"knobs": {"callback.drop": 1}, "exchange": "nowhere"}, 400),
        ("/c2b", {"msisdn": ASHA}, 400),
        ("/c2b", {"msisdn": ASHA, "shortcode": "555555", "amount": 5}, 409),
        ("/transactions/UKL0000000/reverse", {}, 404),
        ("/merchants/555555", {"validation": True}, 404),
        ("/script", {"msisdn": "0712345678", "outcomes": ["pay"]}, 400),
        ("/script", {"msisdn": ASHA, "outcomes": ["dance"]}, 400),
        ("/apps", {"consumer_key": "k"}, 400),
        ("/clock", {"advance": -1}, 400),
        ("/prompts/ws_CO_1/answer", {"action": "cancel"}, 409),
        ("/attempts/ws_CO_1/resend", {}, 404),
    ],
)
def test_the_control_api_says_what_is_wrong(sim: Simulator, path: str, body: object, status: int) -> None:
    answer = ask(sim.base_url, "POST", f"/control{path}", body)
    assert answer.status == status
    assert answer.json["error"]
