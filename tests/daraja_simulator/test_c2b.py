"""Customers who pay by hand: Register URL, validation, confirmation, and the second witness of an STK payment."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rehearsal.daraja import Simulator
from rehearsal.simulation import NotPossible
from tests.daraja_simulator.shop import ASHA, BARAKA, Receiver, Shop, ask

REGISTER = "/mpesa/c2b/v2/registerurl"


def registered(shop: Shop, version: str = "v2", response_type: str = "Completed") -> Shop:
    assert register(shop, version, ResponseType=response_type).status == 200
    return shop


def register(shop: Shop, version: str = "v2", **changes: object) -> Any:
    urls = {
        "ShortCode": shop.till or shop.shortcode, "ResponseType": "Completed",
        "ConfirmationURL": shop.callback_url.replace("/h/s/", "/h/c/"),
        "ValidationURL": shop.callback_url.replace("/h/s/", "/h/v/"),
    }  # fmt: skip
    return shop.post(f"/mpesa/c2b/{version}/registerurl", urls | changes)


# -- Register URL


@pytest.mark.parametrize(("version", "text"), [("v1", "success"), ("v2", "Success")])
def test_registration(sim: Simulator, paybill: Shop, version: str, text: str) -> None:
    answer = register(paybill, version).json
    assert re.fullmatch(r"[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{16,18}", answer.pop("OriginatorCoversationID"))
    assert answer == {"ResponseCode": "0", "ResponseDescription": text}


def test_other_answers_of_success(sim: Simulator, paybill: Shop, till: Shop) -> None:
    sim.set_knobs({"c2b.register_reply": "no_code"})
    assert set(register(paybill).json) == {"OriginatorCoversationID", "ResponseDescription"}
    sim.set_knobs({"c2b.register_reply": "00000000"})
    assert register(till).json["ResponseCode"] == "00000000"
    assert register(till, ShortCode=till.shortcode).status == 500


def test_production_registers_once(sim: Simulator, paybill: Shop) -> None:
    again = (500, "500.003.1001", "Urls are already registered.")
    registered(paybill)
    assert register(paybill, "v1").error == again
    assert ask(sim.base_url, "DELETE", f"/control/merchants/{paybill.shortcode}/urls").status == 200
    registered(paybill)
    sim.set_knobs({"c2b.register_again": "overwrite"})
    registered(paybill, "v1")
    sim.set_knobs({"c2b.register_reply": "duplicate_notification"})
    assert register(paybill).error[2].startswith("Duplicate notification info, SP ID is")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ShortCode", "999999"), ("ShortCode", ""), ("ResponseType", "completed"), ("ResponseType", None),
        ("ConfirmationURL", "https://pay.example.net/h/c/ab"), ("ValidationURL", ""),
    ],
)  # fmt: skip
def test_each_field_of_a_registration_is_checked(paybill: Shop, field: str, value: object) -> None:
    changes: dict[str, Any] = {field: value}
    assert register(paybill, **changes).error == (400, "400.002.02", f"Bad Request - Invalid {field}")


def test_words_in_the_urls(sim: Simulator, paybill: Shop) -> None:
    assert register(paybill, ValidationURL="http://127.0.0.1:9/mpesa/v").error == (400, "400.003.02", "Bad Request")
    sim.set_products(paybill.key, ["M-PESA EXPRESS"])
    paybill.bearer = ""
    assert register(paybill).error[1] == "401.002.01"


# -- confirmation


def test_a_paybill_payment_is_confirmed(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    registered(paybill)
    sim.subscriber(ASHA, name="NICHOLAS JOHN SONGOK")
    line = sim.pay(ASHA, paybill.shortcode, 50, "70012 34")
    assert sim.wait_idle()
    assert receiver.bodies == [
        {
            "TransactionType": "Pay Bill", "TransID": line.receipt, "TransTime": f"{sim.clock.eat():%Y%m%d%H%M%S}",
            "TransAmount": "50.00", "BusinessShortCode": paybill.shortcode, "BillRefNumber": "70012 34",
            "InvoiceNumber": "", "OrgAccountBalance": "50.00", "ThirdPartyTransID": "", "MSISDN": "2547 ***** 678",
            "FirstName": "NICHOLAS", "MiddleName": "", "LastName": "",
        }
    ]  # fmt: skip
    assert receiver.paths[0].startswith("/h/c/")
    assert receiver.sources == ["196.201.214.200"]
    assert (line.kind, sim.total(), sim.subscriber(ASHA).balance) == ("c2b", 50, 9_950)


def test_v1_hashes_the_number(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    """Build sheet 6.4: sha256("254708374149") is bbff37ce...."""
    registered(paybill, "v1")
    sim.pay("254708374149", paybill.shortcode, 50, "A1")
    assert sim.wait_idle()
    assert receiver.bodies[0]["MSISDN"] == "bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4"
    assert receiver.bodies[0]["MSISDN"] == hashlib.sha256(b"254708374149").hexdigest()


def test_a_till_payment_has_no_reference(sim: Simulator, till: Shop, receiver: Receiver) -> None:
    registered(till)
    sim.pay(ASHA, "600200", 50, "ignored")
    sim.set_knobs({"c2b.till_shortcode": "store", "c2b.transaction_type": "live"})
    assert sim.wait_idle()
    sim.pay(ASHA, "600200", 60)
    assert sim.wait_idle()
    told = [(b["TransactionType"], b["BusinessShortCode"], b["BillRefNumber"]) for b in receiver.bodies]
    assert told == [("Buy Goods", "600200", ""), ("Customer Merchant Payment", "600100", "")]
    with pytest.raises(NotPossible, match="no PayBill or till 600100"):
        sim.pay(ASHA, "600100", 50)


def test_shapes_of_the_confirmation(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    registered(paybill)
    sim.subscriber(ASHA, name="NICHOLAS JOHN SONGOK")
    sim.set_knobs({"c2b.mask": "stars", "c2b.amount_form": "whole", "c2b.names": "full"})
    sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert sim.wait_idle()
    sim.set_knobs({"c2b.names": "absent", "callback.amount": 7})
    sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert sim.wait_idle()
    first, second = receiver.bodies
    assert (first["MSISDN"], first["TransAmount"]) == ("25471****678", "50")
    assert [first[name] for name in ("FirstName", "MiddleName", "LastName")] == ["NICHOLAS", "JOHN", "SONGOK"]
    assert "FirstName" not in second
    assert second["TransAmount"] == "7"


@pytest.mark.parametrize(
    ("payment", "why"),
    [
        ({"amount": 0}, "whole number"), ({"amount": 10_001}, "not have enough money"), ({"account": ""}, "account"),
        ({"amount": 250_001}, "maximum transaction"), ({"pin": "0000"}, "wrong PIN"),
        ({"account": "x" * 21}, "account number has"), ({"shortcode": "555555"}, "no PayBill or till"),
    ],
)  # fmt: skip
def test_payments_that_cannot_be(sim: Simulator, paybill: Shop, payment: dict[str, Any], why: str) -> None:
    registered(paybill)
    wanted = {"msisdn": ASHA, "shortcode": paybill.shortcode, "amount": 50, "account": "A1"} | payment
    answer = ask(sim.base_url, "POST", "/control/c2b", wanted)
    assert answer.status == 409
    assert why in answer.json["error"]
    assert (sim.book(), sim.letters()) == ([], [])


def test_the_faults_of_callbacks_are_those_of_confirmations(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    registered(paybill)
    sim.rule({"callback.drop": 1}, exchange="confirmation", times=1)
    lost = sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert sim.wait_idle()
    assert receiver.raw == []
    sim.reset_knobs()
    sim.set_knobs({"callback.duplicate": 3, "callback.delay": 90})
    sim.pay(ASHA, paybill.shortcode, 60, "A1")
    sim.advance(89)
    assert receiver.raw == []
    sim.advance(1)
    assert len(receiver.raw) == 3
    sim.resend(lost.receipt)
    assert sim.wait_idle()
    assert receiver.bodies[-1]["TransID"] == lost.receipt
    assert ask(sim.base_url, "GET", f"/control/transactions/{lost.receipt}").json["callbacks"][-1]["status"] == 200


@pytest.mark.parametrize("forgery", ["wrong_amount", "unknown_receipt", "other_checkout", "wrong_token", "off_list_ip"])
def test_forged_confirmations(sim: Simulator, paybill: Shop, till: Shop, receiver: Receiver, forgery: str) -> None:
    registered(paybill)
    line = sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert sim.wait_idle()
    answer = ask(sim.base_url, "POST", f"/control/transactions/{line.receipt}/forge", {"forgery": forgery})
    assert answer.status == 200
    assert sim.wait_idle()
    genuine, forged = receiver.bodies
    assert (forged["TransID"] == genuine["TransID"]) == (forgery == "off_list_ip")
    assert forged["TransAmount"] == ("51.00" if forgery == "wrong_amount" else "50.00")
    assert forged["BusinessShortCode"] == ("600200" if forgery == "other_checkout" else paybill.shortcode)
    assert (receiver.paths[0] == receiver.paths[1]) == (forgery != "wrong_token")
    assert (receiver.sources[1] == "196.201.214.200") == (forgery != "off_list_ip")
    assert len(sim.book()) == 1


# -- validation


def test_validation_comes_first_and_names_the_same_receipt(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    registered(paybill)
    sim.merchant(paybill.shortcode, validation=True)
    receiver.reply = {"ResultCode": "0", "ResultDesc": "Accepted", "ThirdPartyTransID": "1234567890"}
    line = sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert sim.wait_idle()
    asked, told = receiver.bodies
    assert receiver.paths[0].startswith("/h/v/")
    assert asked == told | {"OrgAccountBalance": "", "ThirdPartyTransID": ""}
    assert (told["TransID"], told["ThirdPartyTransID"]) == (line.receipt, "1234567890")


@pytest.mark.parametrize("code", ["C2B00011", "C2B00012", "C2B00013", "C2B00014", "C2B00015", "C2B00016"])
def test_a_rejected_payment_moves_nothing(sim: Simulator, paybill: Shop, receiver: Receiver, code: str) -> None:
    registered(paybill)
    sim.merchant(paybill.shortcode, validation=True)
    receiver.reply = {"ResultCode": code, "ResultDesc": "Rejected"}
    with pytest.raises(NotPossible, match="PENDO WIFI did not accept the payment: "):
        sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert (len(receiver.raw), sim.book(), sim.subscriber(ASHA).balance) == (1, [], 10_000)


@pytest.mark.parametrize("fault", ["lost", "slow", "status", "html"])
@pytest.mark.parametrize("response_type", ["Completed", "Cancelled"])
def test_without_an_answer_the_default_action_is_taken(
    sim: Simulator, paybill: Shop, receiver: Receiver, response_type: str, fault: str
) -> None:
    registered(paybill, response_type=response_type)
    sim.merchant(paybill.shortcode, validation=True)
    if fault == "lost":
        sim.set_knobs({"c2b.validation_lost": 1})
    elif fault == "slow":
        sim.set_knobs({"c2b.validation_timeout": 0.05})
        receiver.on_callback = lambda: receiver.pause(0.2)
    elif fault == "status":
        receiver.status = 503
    else:
        receiver.reply = "<html>"
    if response_type == "Completed":
        assert sim.pay(ASHA, paybill.shortcode, 50, "A1").amount == 50
    else:
        with pytest.raises(NotPossible, match="no answer"):
            sim.pay(ASHA, paybill.shortcode, 50, "A1")
    assert sim.total() == (50 if response_type == "Completed" else 0)


def test_validation_does_not_stop_the_rest(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    registered(paybill)
    sim.merchant(paybill.shortcode, validation=True)
    seen: list[int] = []
    receiver.reply = {"ResultCode": "0", "ResultDesc": "Accepted"}
    receiver.on_callback = lambda: seen.append(ask(sim.base_url, "GET", "/control/state", timeout=2).status)
    assert ask(sim.base_url, "POST", "/control/c2b", payment(paybill)).status == 200
    assert sim.wait_idle()
    assert seen == [200, 200]


def payment(shop: Shop, **changes: object) -> dict[str, object]:
    return {"msisdn": ASHA, "shortcode": shop.shortcode, "amount": 50, "account": "A1"} | changes


# -- an STK payment is told twice


def test_a_push_that_is_paid_is_also_confirmed(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    registered(paybill)
    sim.rule({"callback.delay": 5}, exchange="callback")
    paybill.checkout()
    sim.answer(ASHA, "pin")
    assert sim.wait_idle()
    (confirmed,) = receiver.bodies
    assert (confirmed["TransID"], confirmed["BillRefNumber"]) == (sim.book()[0].receipt, "P7K3M9Q2XA")
    sim.advance(5)
    assert confirmed["TransID"] in json.dumps(receiver.callbacks_of("/h/s/"))
    sim.set_knobs({"stk.also_c2b": False})
    paybill.checkout(BARAKA)
    sim.answer(BARAKA, "pin")
    sim.advance(5)
    assert len(receiver.callbacks_of("/h/c/")) == 1
    assert len(sim.book()) == 2


# -- simulate


def test_simulate(sim: Simulator, paybill: Shop, till: Shop, receiver: Receiver) -> None:
    registered(paybill)
    registered(till)
    body = {
        "ShortCode": int(paybill.shortcode), "CommandID": "CustomerPayBillOnline", "Amount": 1,
        "Msisdn": 254708374149, "BillRefNumber": "ACC1",
    }  # fmt: skip
    for version in ("v1", "v2"):
        answer = paybill.post(f"/mpesa/c2b/{version}/simulate", body).json
        assert set(answer) == {"OriginatorCoversationID", "ResponseCode", "ResponseDescription"}
        assert answer["ResponseDescription"] == "Accept the service request successfully."
    goods = body | {"ShortCode": till.till, "CommandID": "CustomerBuyGoodsOnline", "BillRefNumber": None}
    assert till.post("/mpesa/c2b/v2/simulate", goods).status == 200
    assert (
        till.post("/mpesa/c2b/v2/simulate", goods | {"CommandID": "CustomerPayBillOnline"})
        .error[2]
        .endswith("Invalid CommandID")
    )
    assert sim.wait_idle()
    assert sorted(told["BillRefNumber"] for told in receiver.bodies) == ["", "ACC1", "ACC1"]
    sim.set_knobs({"c2b.simulate_silent": True})
    assert paybill.post("/mpesa/c2b/v2/simulate", body).status == 200
    assert len(sim.book()) == 3


def test_a_registration_outlives_the_process(tmp_path: Path, receiver: Receiver) -> None:
    memory = tmp_path / "registered.json"
    with Simulator(memory=memory).serve() as first:
        registered(Shop(first, receiver.url).register())
    with Simulator(memory=memory).serve() as second:
        shop = Shop(second, receiver.url).register()
        till = Shop(second, receiver.url, "600100", "till-passkey", "till-key", "till-secret", "600200").register()
        known = {one["shortcode"]: one for one in ask(second.base_url, "GET", "/control/merchants").json}
        assert known[shop.shortcode]["urls"]["confirmation_url"].startswith(receiver.url.rpartition("/h/")[0])
        assert known[till.shortcode]["urls"] is None
        second.subscriber(ASHA, balance=100)
        second.pay(ASHA, shop.shortcode, 50, "HOME")
        assert second.wait_idle()
        assert [json.loads(body)["TransAmount"] for body in receiver.raw] == ["50.00"]
    memory.write_text("not json")
    with Simulator(memory=memory).serve() as third:
        registered(Shop(third, receiver.url).register())
