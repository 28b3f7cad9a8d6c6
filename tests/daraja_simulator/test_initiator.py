"""APIs that act for an organisation: Transaction Status, Account Balance, Reversal and B2C."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography import x509

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import ASHA, Answer, Receiver, Shop, ask, credential

STATUS = "/mpesa/transactionstatus/v1/query"
BALANCE = "/mpesa/accountbalance/v1/query"
REVERSAL = "/mpesa/reversal/v1/request"
B2C = "/mpesa/b2c/v3/paymentrequest"
CONVERSATION = r"AG_20261121_[0-9a-f]{20}"


def order(shop: Shop, path: str, **changes: object) -> Answer:
    own: dict[str, dict[str, object]] = {
        STATUS: {"CommandID": "TransactionStatusQuery", "PartyA": shop.shortcode, "IdentifierType": "4"},
        BALANCE: {"CommandID": "AccountBalance", "PartyA": shop.shortcode, "IdentifierType": "4"},
        REVERSAL: {
            "CommandID": "TransactionReversal", "ReceiverParty": shop.shortcode, "RecieverIdentifierType": "11",
        },
        B2C: {
            "OriginatorConversationID": "wavu-1", "InitiatorName": "wavuapi", "CommandID": "BusinessPayment",
            "Amount": "10", "PartyA": shop.shortcode, "PartyB": ASHA,
        },
    }  # fmt: skip
    body = {
        "Initiator": "wavuapi", "SecurityCredential": credential(shop.sim, "Secret#2026"), "Remarks": "refund",
        "ResultURL": shop.callback_url.replace("/h/s/", "/h/r/"),
        "QueueTimeOutURL": shop.callback_url.replace("/h/s/", "/h/q/"),
    }  # fmt: skip
    return shop.post(path, body | own.get(path, own[B2C]) | changes)


def result(shop: Shop, receiver: Receiver, path: str, **changes: object) -> Any:
    """What is told after the delay."""
    receiver.raw.clear()
    receiver.paths.clear()
    answer = order(shop, path, **changes)
    assert answer.status == 200, answer.text
    shop.sim.advance(1)
    (body,) = receiver.bodies
    assert receiver.paths[0].startswith("/h/r/")
    assert body["Result"]["ConversationID"] == answer.json["ConversationID"]
    assert body["Result"]["OriginatorConversationID"] == answer.json["OriginatorConversationID"]
    return body["Result"]


def parameters(told: Any) -> dict[str, Any]:
    return {item["Key"]: item.get("Value") for item in told["ResultParameters"]["ResultParameter"]}


# -- what they share


@pytest.mark.parametrize("path", [STATUS, BALANCE, REVERSAL, B2C])
def test_the_acknowledgement(acting: Shop, path: str) -> None:
    answer = order(acting, path, TransactionID="NEF61H8J60", Amount="10").json
    assert re.fullmatch(CONVERSATION, answer.pop("ConversationID"))
    assert answer.pop("OriginatorConversationID")
    assert answer == {"ResponseCode": "0", "ResponseDescription": "Accept the service request successfully."}


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (STATUS, "SecurityCredential", ""), (STATUS, "Initiator", None), (STATUS, "TransactionID", ""),
        (STATUS, "IdentifierType", "9"), (STATUS, "CommandID", "Status"), (STATUS, "PartyA", "999999"),
        (STATUS, "ResultURL", "https://pay.example.net/h/r/1"), (BALANCE, "CommandID", ""),
        (BALANCE, "Remarks", ""), (BALANCE, "QueueTimeOutURL", ""), (REVERSAL, "RecieverIdentifierType", "4"),
        (REVERSAL, "Amount", "1.5"), (REVERSAL, "TransactionID", ""), (B2C, "InitiatorName", ""),
        (B2C, "OriginatorConversationID", ""), (B2C, "CommandID", "BusinessPayToPochi"), (B2C, "PartyB", "0712345678"),
        (B2C, "Occassion", "x" * 101),
    ],
)  # fmt: skip
def test_each_field_is_checked(acting: Shop, path: str, field: str, value: object) -> None:
    wanted: dict[str, object] = {"TransactionID": "NEF61H8J60", "Amount": "10"} | {field: value}
    assert order(acting, path, **wanted).error == (400, "400.002.02", f"Bad Request - Invalid {field}")


def test_the_certificate_is_the_same_at_every_start(sim: Simulator) -> None:
    served = ask(sim.base_url, "GET", "/control/certificate")
    assert served.text == Simulator().certificate()
    assert x509.load_pem_x509_certificate(served.text.encode()).serial_number == 1


def test_a_wrong_password_is_told_later_and_locks(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    wrong: list[object] = [credential(sim, "Secret#2025"), "no base64", credential(sim, "Secret#2026") + "AAAA"]
    codes = [result(acting, receiver, BALANCE, SecurityCredential=given)["ResultCode"] for given in wrong]
    assert codes == ["2001", "2001", "2001"]
    assert result(acting, receiver, BALANCE)["ResultCode"] == "8006"
    assert result(acting, receiver, BALANCE, Initiator="nobody")["ResultCode"] == "2001"


def test_a_role_is_needed(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    clerk = {"name": "clerk", "password": "p", "roles": ["Balance Query ORG API"]}
    sim.add_app("k2", "s2", acting.shortcode, passkey=acting.passkey, initiators=[clerk])
    given: dict[str, object] = {"SecurityCredential": credential(sim, "p")}
    assert result(acting, receiver, BALANCE, Initiator="clerk", **given)["ResultCode"] == "0"
    told = result(acting, receiver, B2C, InitiatorName="clerk", **given)
    assert (told["ResultCode"], told["TransactionID"]) == (21, "UKL0000000")
    assert "ResultParameters" not in told
    with pytest.raises(ValueError, match="no role King"):
        sim.add_app("k3", "s3", "600999", passkey="p", initiators=[clerk | {"roles": ["King"]}])


def test_products_are_needed(sim: Simulator, acting: Shop) -> None:
    sim.set_products(acting.key, ["M-PESA EXPRESS"])
    acting.bearer = ""
    assert {order(acting, path).error[1] for path in (STATUS, BALANCE, REVERSAL, B2C)} == {"401.002.01"}


def test_shapes_and_faults_of_results(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"result.reference": "array", "result.failure_parameter": True, "result.code": "R000002"})
    told = result(acting, receiver, REVERSAL, TransactionID="NEF61H8J60", Amount=1)
    assert told["ResultParameters"]["ResultParameter"] == {
        "Key": "BOCompletedTime", "Value": int(f"{sim.clock.eat():%Y%m%d%H%M%S}"),
    }  # fmt: skip
    assert told["ReferenceData"]["ReferenceItem"][0]["Key"] == "QueueTimeoutURL"
    assert (told["ResultCode"], told["TransactionID"]) == ("R000002", "UKL0000000")
    sim.reset_knobs()
    sim.rule({"callback.drop": 1}, exchange="b2c_result")
    receiver.raw.clear()
    order(acting, B2C)
    order(acting, BALANCE)
    sim.advance(1)
    assert [body["Result"]["ResultCode"] for body in receiver.bodies] == ["0"]
    assert sim.total() == -10


# -- Transaction Status


def test_status_of_a_payment(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    line = sim.pay(ASHA, acting.shortcode, 300, "A1")
    at = f"{sim.clock.eat():%Y%m%d%H%M%S}"
    told = result(acting, receiver, STATUS, TransactionID=line.receipt, Occasion="OK")
    assert {key: told[key] for key in ("ResultType", "ResultCode", "TransactionID")} == {
        "ResultType": 0, "ResultCode": 0, "TransactionID": "UKL0000000",
    }  # fmt: skip
    assert told["ReferenceData"] == {"ReferenceItem": {"Key": "Occasion", "Value": "OK"}}
    assert parameters(told) == {
        "DebitPartyName": "254712345678 - ASHA", "CreditPartyName": "174379 - PENDO WIFI",
        "OriginatorConversationID": None, "InitiatedTime": at, "DebitAccountType": "MMF Account For Customer",
        "DebitPartyCharges": None, "TransactionReason": None, "ReasonType": "Pay Bill Online",
        "TransactionStatus": "Completed", "FinalisedTime": at, "Amount": "300", "ConversationID": None,
        "ReceiptNo": line.receipt,
    }  # fmt: skip
    sim.set_knobs({"status.party_names": "sample"})
    told = result(acting, receiver, STATUS, TransactionID=line.receipt)
    keys = [item["Key"] for item in told["ResultParameters"]["ResultParameter"]]
    assert keys[:2] == ["DebitPartyName", "DebitPartyName"]
    assert told["ReferenceData"] == {"ReferenceItem": {"Key": "Occasion"}}
    assert {"Key": "TransactionReason"} in told["ResultParameters"]["ResultParameter"]


def test_status_knows_the_shortcodes_own_transactions_only(
    sim: Simulator, acting: Shop, till: Shop, receiver: Receiver
) -> None:
    foreign = sim.pay(ASHA, "600200", 300)
    for receipt in (foreign.receipt, "NEF61H8J60"):
        assert result(acting, receiver, STATUS, TransactionID=receipt)["ResultCode"] == 2033
    assert result(acting, receiver, STATUS, OriginalConversationID="wavu-9")["ResultCode"] == 2033


def test_an_empty_receipt_beside_the_other_id_is_acknowledged_with_nothing(acting: Shop) -> None:
    answer = order(acting, STATUS, TransactionID="", OriginalConversationID="wavu-1")
    assert set(answer.json.values()) == {""}


# -- Account Balance


def test_balance(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    sim.pay(ASHA, acting.shortcode, 300, "A1")
    told = result(acting, receiver, BALANCE)
    assert (told["ResultType"], told["ResultCode"]) == ("0", "0")
    assert parameters(told) == {
        "AccountBalance": "Working Account|KES|0.00|0.00|0.00|0.00&Float Account|KES|0.00|0.00|0.00|0.00"
        "&Utility Account|KES|800.00|800.00|0.00|0.00&Charges Paid Account|KES|0.00|0.00|0.00|0.00"
        "&Organization Settlement Account|KES|0.00|0.00|0.00|0.00",
        "BOCompletedTime": f"{sim.clock.eat():%Y%m%d%H%M%S}",
    }


# -- Reversal


def test_reversal(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    line = sim.pay(ASHA, acting.shortcode, 300, "A1")
    told = result(acting, receiver, REVERSAL, TransactionID=line.receipt, Amount="300")
    back = sim.book()[-1]
    assert (told["ResultCode"], told["TransactionID"]) == (0, back.receipt)
    assert parameters(told) == {
        "DebitAccountBalance": "Utility Account|KES|500.00|500.00|0.00|0.00", "Amount": "300.00",
        "TransCompletedTime": f"{sim.clock.eat():%Y%m%d%H%M%S}", "OriginalTransactionID": line.receipt,
        "Charge": "0.00", "CreditPartyPublicName": "254712345678 - ASHA",
        "DebitPartyPublicName": "174379 - PENDO WIFI",
    }  # fmt: skip
    assert (back.kind, back.amount, back.linked, sim.total()) == ("reversal", -300, line.receipt, 0)
    assert sim.subscriber(ASHA).balance == 10_000
    assert result(acting, receiver, REVERSAL, TransactionID=line.receipt, Amount="300")["ResultCode"] == "R000001"
    assert [row.split(",")[11] for row in sim.statement(acting.shortcode).splitlines()[-2:]] == [line.receipt, ""]


def test_reversals_that_cannot_be(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    line = sim.pay(ASHA, acting.shortcode, 300, "A1")
    for receipt, amount in (("NEF61H8J60", 300), (line.receipt, 301), (line.receipt, 299)):
        told = result(acting, receiver, REVERSAL, TransactionID=receipt, Amount=amount)
        assert told["ResultCode"] == "R000002"
    sim.merchant(acting.shortcode, balance=299)
    assert result(acting, receiver, REVERSAL, TransactionID=line.receipt, Amount=300)["ResultCode"] == 1
    sim.set_knobs({"reversal.partial": "allow"})
    assert result(acting, receiver, REVERSAL, TransactionID=line.receipt, Amount=299)["ResultCode"] == 0


def test_safaricoms_care_reverses_and_calls_nobody(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    line = sim.pay(ASHA, acting.shortcode, 300, "A1")
    path = f"/control/transactions/{line.receipt}/reverse"
    assert ask(sim.base_url, "POST", path).json["linked"] == line.receipt
    assert ask(sim.base_url, "POST", path).status == 409
    assert (receiver.raw, sim.total()) == ([], 0)


# -- B2C


def test_a_payout(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    told = result(acting, receiver, B2C)
    (line,) = sim.book()
    assert told["OriginatorConversationID"] == line.originator_conversation_id == "wavu-1"
    assert (told["ResultType"], told["ResultCode"], told["TransactionID"]) == (0, 0, line.receipt)
    assert parameters(told) == {
        "TransactionAmount": 10, "TransactionReceipt": line.receipt, "ReceiverPartyPublicName": "254712345678 - ASHA",
        "TransactionCompletedDateTime": f"{sim.clock.eat():%d.%m.%Y %H:%M:%S}",
        "B2CUtilityAccountAvailableFunds": 490.0, "B2CWorkingAccountAvailableFunds": 0.0,
        "B2CRecipientIsRegisteredCustomer": "Y", "B2CChargesPaidAccountAvailableFunds": 0.0,
    }  # fmt: skip
    assert told["ReferenceData"]["ReferenceItem"]["Key"] == "QueueTimeoutURL"
    assert (line.kind, line.amount, sim.subscriber(ASHA).balance) == ("b2c", -10, 10_010)
    assert "Ksh10.00 received from PENDO WIFI" in sim.subscriber(ASHA).messages[0].text
    status = parameters(result(acting, receiver, STATUS, OriginalConversationID="wavu-1"))
    assert (status["TransactionStatus"], status["ReceiptNo"], status["Amount"]) == ("Completed", line.receipt, "10")
    assert status["OriginatorConversationID"] == "wavu-1"


def test_an_id_is_used_once(acting: Shop) -> None:
    assert order(acting, B2C).status == 200
    assert order(acting, B2C).error == (500, "500.002.1001", "Duplicate OriginatorConversationID.")
    first = order(acting, "/mpesa/b2c/v1/paymentrequest").json["OriginatorConversationID"]
    assert first not in ("wavu-1", order(acting, "/mpesa/b2c/v1/paymentrequest").json["OriginatorConversationID"])
    assert order(acting, "/mpesa/b2c/v2/paymentrequest").error[1] == "404.001.01"
    pochi = order(
        acting, "/mpesa/b2pochi/v1/paymentrequest", CommandID="BusinessPayToPochi", OriginatorConversationID="p"
    )
    assert pochi.status == 200


@pytest.mark.parametrize(
    ("amount", "customer", "code"), [(9, {}, 2), (501, {}, 1), (250_001, {}, 3), (10, {"balance": 499_991}, 8)]
)
def test_payouts_that_cannot_be(
    sim: Simulator, acting: Shop, receiver: Receiver, amount: int, customer: dict[str, Any], code: int
) -> None:
    sim.subscriber(ASHA, **customer)
    assert result(acting, receiver, B2C, Amount=amount)["ResultCode"] == code
    assert sim.book() == []
    status = parameters(result(acting, receiver, STATUS, OriginalConversationID="wavu-1"))
    assert status["TransactionStatus"] == "Declined"


@pytest.mark.parametrize(("knob", "status", "moved"), [("executed", "Completed", -10), ("expired", "Expired", 0)])
def test_a_queue_timeout_tells_nothing(
    sim: Simulator, acting: Shop, receiver: Receiver, knob: str, status: str, moved: int
) -> None:
    sim.rule({"result.queue_timeout": knob, "result.late": 600}, times=1)
    order(acting, B2C)
    sim.advance(1)
    assert receiver.paths[0].startswith("/h/q/")
    assert sim.total() == moved
    assert ask(sim.base_url, "GET", "/control/payouts").json[0]["status"] == status
    sim.advance(600)
    assert [path[:5] for path in receiver.paths] == (["/h/q/", "/h/r/"] if knob == "executed" else ["/h/q/"])
    found = parameters(result(acting, receiver, STATUS, OriginalConversationID="wavu-1"))
    assert found["TransactionStatus"] == status


def test_an_answer_that_is_lost_after_the_payout(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    acting.bearer = acting.oauth().json["access_token"]
    sim.rule({"gateway.fault": "error_after_exec"}, exchange="b2c", times=1)
    assert order(acting, B2C).status == 500
    assert order(acting, B2C).error[1] == "500.002.1001"
    sim.advance(1)
    assert sim.total() == -10
