"""The knobs: what can go wrong between the product and Daraja, each on the wire."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import ASHA, BARAKA, Receiver, Shop, ask, items

PENDING = (500, "500.001.1001", "The transaction is being processed")


# -- the gateway


@pytest.mark.parametrize(
    ("fault", "status", "starts"),
    [
        ("html_403", 403, "<html>"),
        ("html_503", 503, "<html>"),
        ("soap_fault", 500, "<soapenv:Envelope"),
        ("empty_400", 400, ""),
        ("fault_envelope", 500, '{"fault":{"faultstring"'),
        ("spike_429", 429, '{"fault":{"faultstring":"Spike arrest violation'),
    ],
)
def test_answers_outside_the_envelope(sim: Simulator, paybill: Shop, fault: str, status: int, starts: str) -> None:
    checkout = paybill.checkout()
    sim.set_knobs({"gateway.fault": fault})
    for answer in (paybill.oauth(), paybill.push(BARAKA), paybill.query(checkout)):
        assert answer.status == status
        assert answer.text.startswith(starts)
    assert len(sim.attempts()) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("maintenance", "00.002.1001 Service is currently under maintenance. Please try again later"),
        ("unreachable", "500.003.1001 Service is currently unreachable"),
        ("internal_error", "500.001.1001 Internal Server Error"),
        ("busy", "500.003.02 System is busy. Please try again in few minutes."),
        ("spike_500", "500.003.02 Error Occurred: Spike Arrest Violation"),
        ("quota", "500.003.03 Quota Violation"),
    ],
)
def test_server_errors(sim: Simulator, paybill: Shop, fault: str, error: str) -> None:
    paybill.bearer = paybill.oauth().json["access_token"]
    sim.set_knobs({"gateway.fault": fault})
    answer = paybill.push()
    assert (answer.status, f"{answer.error[1]} {answer.error[2]}") == (500, error)
    assert set(answer.json) == {"requestId", "errorCode", "errorMessage"}


@pytest.mark.parametrize(("fault", "executed"), [("hang_before_exec", 0), ("hang_after_exec", 1)])
def test_a_hang_ends_without_an_answer(sim: Simulator, paybill: Shop, fault: str, executed: int) -> None:
    """Build sheet 23: hang after execution "is the one that finds double-charging"."""
    paybill.bearer = paybill.oauth().json["access_token"]
    sim.set_knobs({"gateway.fault": fault, "gateway.hang": 0})
    with pytest.raises(http.client.RemoteDisconnected):
        paybill.push()
    assert len(sim.prompts(ASHA)) == executed
    sim.set_knobs({"gateway.hang": 30})
    with pytest.raises(TimeoutError):
        paybill.post("/mpesa/stkpush/v1/processrequest", paybill.order(BARAKA), timeout=0.05)


def test_an_error_may_follow_the_execution(sim: Simulator, paybill: Shop) -> None:
    paybill.bearer = paybill.oauth().json["access_token"]
    sim.rule({"gateway.fault": "error_after_exec"}, times=1)
    assert paybill.push().status == 500
    assert len(sim.prompts(ASHA)) == 1


def test_every_api_stands_behind_the_gateway(sim: Simulator, paybill: Shop) -> None:
    paths = [
        rule.rule for rule in sim.web.url_map.iter_rules() if not rule.rule.startswith(("/control", "/phone", "/oauth"))
    ]
    assert len(paths) == 17
    for path in paths:
        assert ask(sim.base_url, "GET", path).error == (405, "405.001", "GET Method Not Allowed")
        assert ask(sim.base_url, "POST", path, {}).error[1] == "404.001.04"
        assert paybill.post(path, b"{").error == (400, "400.002.05", "Invalid Request Payload")
        sim.rule({"gateway.fault": "html_503"}, times=1)
        assert paybill.post(path, {}).status == 503
        assert paybill.post(path, {}).json["errorCode"].startswith("400.")


def test_a_slow_answer(sim: Simulator, paybill: Shop) -> None:
    paybill.bearer = paybill.oauth().json["access_token"]
    sim.rule({"gateway.slow": 0.2}, msisdn=ASHA)
    with pytest.raises(TimeoutError):
        paybill.post("/mpesa/stkpush/v1/processrequest", paybill.order(), timeout=0.05)
    assert paybill.push(BARAKA).status == 200


def test_rules_choose_tenant_phone_and_number_of_times(sim: Simulator, paybill: Shop, till: Shop) -> None:
    sim.rule({"gateway.fault": "html_503"}, shortcode=till.shortcode, skip=1, times=1)
    assert [till.push(f"25470000000{n}").status for n in range(3)] == [200, 503, 200]
    sim.rule({"gateway.fault": "busy"}, msisdn=ASHA)
    assert [paybill.push(phone).status for phone in (ASHA, BARAKA)] == [500, 200]


def test_a_burst_earns_a_ban_on_every_endpoint(sim: Simulator, paybill: Shop) -> None:
    sim.set_knobs({"gateway.burst": 3, "gateway.ban": 60})
    assert [paybill.oauth().status for _ in range(5)] == [200, 200, 200, 403, 403]
    sim.advance(61)
    assert paybill.oauth().status == 200


def test_query_spike_arrest_of_the_sandbox(sim: Simulator, paybill: Shop) -> None:
    checkout = paybill.checkout()
    sim.set_knobs({"query.per_minute": 5})
    assert paybill.query(checkout).error == PENDING
    refused = paybill.query(checkout)
    assert refused.status == 429
    assert "messagesPerPeriod=5, periodInMicroseconds=60000000, maxBurstMessageCount=1.0" in refused.text
    sim.set_knobs({"query.rate_form": "500.003.02"})
    assert paybill.query(checkout).error[1] == "500.003.02"
    sim.advance(12)
    assert paybill.query(checkout).error == PENDING
    sim.set_knobs({"stk.per_second": 1})
    assert [paybill.push(f"25470000000{n}").status for n in range(2)] == [200, 500]


# -- the query


def test_both_forms_of_pending(sim: Simulator, paybill: Shop) -> None:
    checkout = paybill.checkout()
    assert paybill.query(checkout).error == PENDING
    sim.set_knobs({"query.pending": "4999"})
    told = paybill.query(checkout)
    assert (told.status, told.json["ResultCode"]) == (200, "4999")
    assert told.json["ResultDesc"] == "The transaction is still under processing"
    sim.set_knobs({"query.pending": "both"})
    assert {paybill.query(checkout).status for _ in range(20)} == {200, 500}


def test_a_query_that_lies(sim: Simulator, paybill: Shop) -> None:
    checkout = paybill.checkout()
    sim.set_knobs({"query.early_1037": True})
    assert paybill.query(checkout).json["ResultCode"] == "1037"
    sim.answer(ASHA, "pin")
    assert paybill.query(checkout).json["ResultCode"] == "0"
    sim.set_knobs({"query.contradict": "1032", "query.spelling": "portal"})
    lie = paybill.query(checkout).json
    assert (lie["ResultCode"], lie["ResponseDescription"].split()[-1]) == ("1032", "successfully")
    sim.set_knobs({"query.stuck": True})
    assert paybill.query(checkout).error == PENDING
    assert sim.total() == 50


# -- callbacks


def paid(sim: Simulator, shop: Shop, phone: str = ASHA, amount: object = "50") -> str:
    checkout = shop.checkout(phone, amount)
    sim.answer(checkout, "pin")
    assert sim.wait_idle()
    return checkout


def test_duplicates_arrive_at_once(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    together = threading.Barrier(5, timeout=5)

    def wait_for_the_others() -> None:
        together.wait()

    receiver.on_callback = wait_for_the_others
    sim.set_knobs({"callback.duplicate": 5})
    paid(sim, paybill)
    assert len(receiver.raw) == 5
    assert len(set(receiver.raw)) == 1
    assert len(sim.book()) == 1


def test_dropped_then_resent(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"callback.drop": 1})
    checkout = paid(sim, paybill)
    assert (receiver.raw, sim.total()) == ([], 50)
    sim.resend(checkout)
    assert sim.wait_idle()
    assert receiver.codes == [0]


def test_delayed(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"callback.delay": [100, 180]})
    paid(sim, paybill)
    sim.advance(99)
    assert receiver.raw == []
    sim.advance(81)
    assert receiver.codes == [0]


def test_reordered(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"callback.reorder": 3})
    sent = [paid(sim, paybill, f"25470000000{n}") for n in range(4)]
    assert [callback["CheckoutRequestID"] for callback in receiver.callbacks] == sent[2::-1]
    sim.flush_callbacks()
    assert sim.wait_idle()
    assert receiver.callbacks[-1]["CheckoutRequestID"] == sent[3]


def test_the_callback_beats_the_answer(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    seen: list[int] = []
    receiver.on_callback = lambda: seen.append(len(sim.book()))
    sim.script(ASHA, {"outcome": "pay", "knobs": {"callback.before_response": True}})
    checkout = paybill.checkout()
    assert receiver.callbacks[0]["CheckoutRequestID"] == checkout
    assert seen == [1]


def test_no_retry_unless_asked(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    receiver.status = 503
    checkout = paid(sim, paybill)
    sim.advance(600)
    assert len(receiver.raw) == 1
    assert sim.letters(checkout)[0].status == 503
    sim.set_knobs({"callback.retries": 3})
    paid(sim, paybill)
    for _ in range(5):
        sim.advance(10)
    assert len(receiver.raw) == 5


def test_redirects_are_not_followed(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    receiver.status, receiver.location = 307, receiver.url.replace("/h/s/", "/login/")
    paid(sim, paybill)
    assert len(receiver.paths) == 1
    assert sim.letters()[0].status == 307


def test_a_receiver_that_is_down(sim: Simulator, paybill: Shop) -> None:
    paybill.callback_url = "http://127.0.0.1:9/h/s/ab"
    checkout = paid(sim, paybill)
    assert "ConnectionRefusedError" in str(sim.letters(checkout)[0].error)
    assert sim.total() == 50


def test_shapes_of_the_callback(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"callback.balance_item": "value", "callback.phone_masked": True, "callback.description": "prefixed"})
    paid(sim, paybill)
    told = items(receiver.callbacks[0])
    assert (told["Balance"], told["PhoneNumber"]) == (50.0, "2547 ***** 678")
    assert receiver.callbacks[0]["ResultDesc"].startswith("[STK_CB - ]")
    sim.reset_knobs()
    sim.set_knobs({"callback.balance_item": "absent", "callback.numbers_as_strings": True, "stk.id_form": "old"})
    paid(sim, paybill, BARAKA)
    told = items(receiver.callbacks[1])
    assert "Balance" not in told
    assert (told["Amount"], told["PhoneNumber"], receiver.callbacks[1]["ResultCode"]) == ("50.00", BARAKA, "0")
    assert len(receiver.callbacks[1]["CheckoutRequestID"]) == len("ws_CO_191220191020363925")
    sim.set_knobs({"callback.item_order": "shuffle"})
    for n in range(4):
        paid(sim, paybill, f"25470000000{n}")
    assert len({tuple(items(callback)) for callback in receiver.callbacks[1:]}) > 1


def test_a_callback_that_states_another_amount(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.rule({"callback.amount": 5}, shortcode=paybill.shortcode, times=1)
    paid(sim, paybill)
    paid(sim, paybill, BARAKA)
    assert [items(callback)["Amount"] for callback in receiver.callbacks] == [5, 50]
    assert sim.total(paybill.shortcode) == 100


@pytest.mark.parametrize("forgery", ["wrong_amount", "unknown_receipt", "other_checkout", "wrong_token", "off_list_ip"])
def test_forged_callbacks(sim: Simulator, paybill: Shop, till: Shop, receiver: Receiver, forgery: str) -> None:
    other = till.checkout(BARAKA)
    checkout = paybill.checkout()
    sim.answer(checkout, "cancel")
    assert sim.wait_idle()
    sim.forge(checkout, forgery)
    assert sim.wait_idle()
    _, forged = receiver.callbacks
    assert sim.letters()[-1].kind == f"forged:{forgery}"
    assert forged["ResultCode"] == 0
    assert items(forged)["MpesaReceiptNumber"] not in {line.receipt for line in sim.book()}
    assert items(forged)["Amount"] == (51 if forgery == "wrong_amount" else 50)
    assert forged["CheckoutRequestID"] == (other if forgery == "other_checkout" else checkout)
    assert (receiver.paths[0] == receiver.paths[1]) == (forgery != "wrong_token")
    assert (receiver.sources[1] == "196.201.214.200") == (forgery != "off_list_ip")
    assert sim.book() == []


def test_malformed_and_oversized_forgeries_accompany_the_genuine(
    sim: Simulator, paybill: Shop, receiver: Receiver
) -> None:
    sim.set_knobs({"callback.forge": ["malformed", "oversized", "unknown_receipt"]})
    paid(sim, paybill)
    bodies: list[Any] = sorted(receiver.raw, key=len)
    assert len(bodies) == 4
    with pytest.raises(ValueError, match="line 1"):
        json.loads(bodies[0])
    assert len(bodies[3]) > 65_536
    genuine = [letter for letter in sim.letters() if letter.kind == "genuine"]
    assert [sim.book()[0].receipt in letter.body.decode() for letter in genuine] == [True]
