"""What is answered at once and moves no money: Dynamic QR and Query Organization Info."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import Shop

QR = {"MerchantName": "PENDO WIFI", "RefNo": "INV1", "Amount": 1, "TrxCode": "PB", "CPI": "174379", "Size": "300"}


def test_a_qr_code(sim: Simulator, paybill: Shop) -> None:
    answer = paybill.post("/mpesa/qrcode/v1/generate", QR).json
    assert base64.b64decode(answer.pop("QRCode")).startswith(b"\x89PNG")
    assert answer.pop("RequestID")
    assert answer == {"ResponseCode": "00", "ResponseDescription": "QR Code Successfully Generated."}
    sim.set_knobs({"qr.code": "sample"})
    assert paybill.post("/mpesa/qrcode/v1/generate", QR).json["ResponseCode"].startswith("AG_")


@pytest.mark.parametrize(
    ("field", "value"), [("TrxCode", "XX"), ("CPI", ""), ("RefNo", ""), ("MerchantName", None), ("Size", "big")]
)
def test_each_field_of_a_qr_code_is_checked(paybill: Shop, field: str, value: object) -> None:
    refused = paybill.post("/mpesa/qrcode/v1/generate", QR | {field: value})
    assert refused.error == (400, "400.002.02", f"Bad Request - Invalid {field}")


def test_whose_number_is_it(sim: Simulator, paybill: Shop, till: Shop) -> None:
    def look_up(kind: object, number: object) -> Any:
        return paybill.post("/sfcverify/v1/query/info", {"IdentifierType": kind, "Identifier": number})

    answer = look_up("4", "174379").json
    assert answer.pop("ConversationID")
    assert answer == {
        "ResponseCode": "4000", "ResponseMessage": "Success", "DetailedMessage": "Request received successfully",
        "OrganizationShortCode": "174379", "OrganizationName": "PENDO WIFI", "ChargeProfileID": "20013",
    }  # fmt: skip
    sim.set_knobs({"lookup.code": "table"})
    assert look_up(2, 600200).json["ResponseCode"] == "0"
    for kind, number in (("2", "174379"), ("4", "600200"), ("4", "999999")):
        assert look_up(kind, number).error == (400, "400.002.02", "Bad Request - Invalid Identifier")
