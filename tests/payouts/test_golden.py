"""Every JSON shape of build sheet 8 to 16: what we send has the portal's fields, and what it prints is read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tenants.gateway import Verdict
from tenants.mpesa import classify, credential, daraja, initiator, ratiba, services
from tenants.mpesa.daraja import App, NotAccepted, Reply
from tenants.mpesa.initiator import Acknowledged, Initiator

APP = App("https://daraja.test", "600992", "600992", "paybill", "key", "secret", "passkey")
TILL = App("https://daraja.test", "600993", "5123456", "till", "key", "secret", "passkey")
BY = Initiator("testapi", "S3cret==", "https://hooks.test/h/r/1/2", "https://hooks.test/h/q/1/2")
PARTIES = {"SecurityCredential": "S3cret==", "ResultURL": BY.result_url, "QueueTimeOutURL": BY.timeout_url}
ACK = {
    "OriginatorConversationID": "1236-7134259-1", "ConversationID": "AG_20210709_1234409f86436c583e3f",
    "ResponseCode": "0", "ResponseDescription": "Accept the service request successfully.",
}  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is posted; the gateway answers with an acknowledgement."""
    posted: list[tuple[str, dict[str, Any]]] = []

    def call(method: str, url: str, *, json: dict[str, Any], **_: Any) -> Reply:
        posted.append((url.removeprefix("https://daraja.test"), json))
        return Reply(200, ACK, False)

    monkeypatch.setattr(daraja, "_call", call)
    return posted


def _answers(monkeypatch: pytest.MonkeyPatch, *replies: Reply | None) -> list[str]:
    paths: list[str] = []
    waiting = list(replies)

    def call(method: str, url: str, **_: Any) -> Reply | None:
        paths.append(url.removeprefix("https://daraja.test"))
        return waiting.pop(0)

    monkeypatch.setattr(daraja, "_call", call)
    return paths


# -- requests


def test_transaction_status(sent: list[Any]) -> None:
    told = initiator.transaction_status(APP, "t", BY, receipt="NEF61H8J60")
    initiator.transaction_status(APP, "t", BY, original_id="W1")
    shared = {
        "Initiator": "testapi", "CommandID": "TransactionStatusQuery", "PartyA": "600992", "IdentifierType": "4",
        "Remarks": "Status", "Occasion": "Status", **PARTIES,
    }  # fmt: skip
    assert sent == [
        ("/mpesa/transactionstatus/v1/query", shared | {"TransactionID": "NEF61H8J60"}),
        ("/mpesa/transactionstatus/v1/query", shared | {"OriginalConversationID": "W1"}),
    ]
    assert told == Acknowledged("1236-7134259-1", "AG_20210709_1234409f86436c583e3f")


def test_b2c(sent: list[Any]) -> None:
    initiator.b2c(APP, "t", BY, original_id="W600997test32et3241", amount_cents=1000, phone="+254705912645")
    assert sent == [
        (
            "/mpesa/b2c/v3/paymentrequest",
            {
                "OriginatorConversationID": "W600997test32et3241", "InitiatorName": "testapi",
                "CommandID": "BusinessPayment", "Amount": "10", "PartyA": "600992", "PartyB": "254705912645",
                "Remarks": "Refund", "Occassion": "Refund", **PARTIES,
            },
        )
    ]  # fmt: skip


def test_reversal(sent: list[Any]) -> None:
    initiator.reversal(APP, "t", BY, receipt="PDU91HIVIT", amount_cents=20_000)
    assert sent == [
        (
            "/mpesa/reversal/v1/request",
            {
                "Initiator": "testapi", "CommandID": "TransactionReversal", "TransactionID": "PDU91HIVIT",
                "Amount": "200", "ReceiverParty": "600992", "RecieverIdentifierType": "11", "Remarks": "Refund",
                **PARTIES,
            },
        )
    ]  # fmt: skip


def test_account_balance(sent: list[Any]) -> None:
    initiator.account_balance(APP, "t", BY)
    assert sent == [
        (
            "/mpesa/accountbalance/v1/query",
            {
                "Initiator": "testapi", "CommandID": "AccountBalance", "PartyA": "600992", "IdentifierType": "4",
                "Remarks": "Balance", **PARTIES,
            },
        )
    ]  # fmt: skip


def test_qr_and_look_up(sent: list[Any]) -> None:
    services.dynamic_qr(APP, "t", merchant="PENDO WIFI", reference="10000007", amount_cents=100)
    services.dynamic_qr(TILL, "t", merchant="PENDO WIFI", reference="10000007", amount_cents=100)
    services.organisation_name(APP, "t")
    services.organisation_name(TILL, "t")
    picture = {"MerchantName": "PENDO WIFI", "RefNo": "10000007", "Amount": 1, "Size": "300"}
    assert sent == [
        ("/mpesa/qrcode/v1/generate", picture | {"TrxCode": "PB", "CPI": "600992"}),
        ("/mpesa/qrcode/v1/generate", picture | {"TrxCode": "BG", "CPI": "5123456"}),
        ("/sfcverify/v1/query/info", {"IdentifierType": "4", "Identifier": "600992"}),
        ("/sfcverify/v1/query/info", {"IdentifierType": "2", "Identifier": "5123456"}),
    ]


@pytest.mark.parametrize(("app", "kind", "of"), [(APP, "4", "Bill"), (TILL, "2", "Marchant")])
def test_standing_order(sent: list[Any], app: App, kind: str, of: str) -> None:
    ratiba.create_standing_order(
        app, "t", name="Internet ACC1", phone="+254708374149", amount_cents=450_000, frequency="monthly",
        starts_on=date(2026, 9, 5), ends_on=date(2027, 9, 5), reference="Test", description="Test",
        callback_url="https://hooks.test/h/o/1/2",
    )  # fmt: skip
    assert sent == [
        (
            "/standingorder/v1/createStandingOrderExternal",
            {
                "StandingOrderName": "Internet ACC1", "StartDate": "20260905", "EndDate": "20270905",
                "BusinessShortCode": app.party_b, "TransactionType": f"Standing Order Customer Pay {of}",
                "ReceiverPartyIdentifierType": kind, "Amount": "4500", "PartyA": "254708374149",
                "CallBackURL": "https://hooks.test/h/o/1/2", "AccountReference": "Test", "TransactionDesc": "Test",
                "Frequency": "4",
            },
        )
    ]  # fmt: skip


# -- answers at once


def test_no_v3_is_v1_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def pay(*replies: Reply | None) -> tuple[list[str], Any]:
        paths = _answers(monkeypatch, *replies)
        return paths, initiator.b2c(APP, "t", BY, original_id="W1", amount_cents=1000, phone="+254705912645")

    missing = Reply(404, {"errorCode": "404.001.01", "errorMessage": "Resource not found"}, False)
    paths, answer = pay(missing, Reply(200, ACK, False))
    assert paths == ["/mpesa/b2c/v3/paymentrequest", "/mpesa/b2c/v1/paymentrequest"]
    assert answer == Acknowledged("1236-7134259-1", "AG_20210709_1234409f86436c583e3f")
    for reply in (None, Reply(503, {}, False), Reply(200, dict.fromkeys(ACK, ""), False)):
        paths, answer = pay(reply)
        assert len(paths) == 1
        assert answer.meaning.verdict is Verdict.UNKNOWN
    duplicate = {"requestId": "1", "errorCode": "500.002.1001", "errorMessage": "Duplicate OriginatorConversationID."}
    _, answer = pay(Reply(500, duplicate, False))
    assert classify.is_duplicate(answer.code)
    assert answer.meaning.verdict is Verdict.UNKNOWN


def test_a_picture_decides_and_not_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
    for code in ("00", "AG_20191219_000043fdf61864fe9ff5"):
        body = {"ResponseCode": code, "RequestID": "16738-27456357-1", "ResponseDescription": "…", "QRCode": png}
        _answers(monkeypatch, Reply(200, body, False))
        assert services.dynamic_qr(APP, "t", merchant="M", reference="1", amount_cents=100) == base64.b64decode(png)
    for said in ("", "bm8gUE5H", "?"):
        _answers(monkeypatch, Reply(200, {"ResponseCode": "00", "QRCode": said}, False))
        assert isinstance(services.dynamic_qr(APP, "t", merchant="M", reference="1", amount_cents=100), NotAccepted)


def test_whose_number_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {
        "ConversationID": "410c-48e1-b4ab-57d897c8c7a0141968", "ResponseCode": "4000", "ResponseMessage": "Success",
        "DetailedMessage": "Request received successfully", "OrganizationShortCode": "666677",
        "OrganizationName": "Daraja", "ChargeProfileID": "20013",
    }  # fmt: skip
    for code in ("4000", "0"):
        _answers(monkeypatch, Reply(200, body | {"ResponseCode": code}, False))
        assert services.organisation_name(APP, "t") == services.Organisation("Daraja", "666677")
    _answers(monkeypatch, Reply(200, body | {"OrganizationName": ""}, False))
    assert isinstance(services.organisation_name(APP, "t"), NotAccepted)
    lacking = {"errorCode": "401.002.01", "errorMessage": "Invalid API call as no apiproduct match found"}
    _answers(monkeypatch, Reply(401, lacking, False))
    assert services.organisation_name(APP, "t") == services.NotAvailable()
    stale = {"errorCode": "401.003.01", "errorMessage": "Error Occurred - Invalid Access Token - XXX"}
    _answers(monkeypatch, Reply(401, stale, False))
    answer = services.organisation_name(APP, "t")
    assert isinstance(answer, NotAccepted)
    assert answer.meaning.verdict is Verdict.TOKEN


def test_a_standing_order_is_taken_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    header = {"responseRefID": "4dd9b5d9", "responseCode": "200", "responseDescription": "Request accepted"}
    taken = {"ResponseHeader": header, "ResponseBody": {"responseDescription": "…", "responseCode": "200"}}
    _answers(monkeypatch, Reply(200, taken, False))
    asked: dict[str, Any] = {
        "name": "n", "phone": "+254708374149", "amount_cents": 100, "frequency": "daily", "starts_on": date(2026, 9, 5),
        "ends_on": date(2027, 9, 5), "reference": "r", "description": "d", "callback_url": "u",
    }  # fmt: skip
    assert ratiba.create_standing_order(APP, "t", **asked) == ratiba.Requested("4dd9b5d9")
    _answers(monkeypatch, Reply(200, {"ResponseHeader": header | {"responseCode": "401"}}, False))
    assert isinstance(ratiba.create_standing_order(APP, "t", **asked), NotAccepted)
    stands = {
        "responseHeader": {"responseRefID": "0acc0239", "requestRefID": "c8aac2f1", "responseCode": "0"},
        "responseBody": {"responseData": [
            {"name": "TransactionID", "value": "SC8F2IQMH5"}, {"name": "responseCode", "value": "0"},
            {"name": "Status", "value": "OKAY"}, {"name": "Msisdn", "value": "254******867"},
        ]},
    }  # fmt: skip
    assert ratiba.parse(json.dumps(stands).encode()) == ratiba.Told("0", "0acc0239", "SC8F2IQMH5")
    refused = {
        "ResponseHeader": {"ResponseRefID": "0acc0239", "ResponseCode": "1037"},
        "ResponseBody": {"ResponseData": [{"Name": "TransactionID", "Value": "0000000000"}]},
    }
    assert ratiba.parse(json.dumps(refused).encode()) == ratiba.Told("1037", "0acc0239", None)
    assert [ratiba.parse(body) for body in (b"", b"[]", b"{}", b'{"responseHeader":{"responseCode":true}}')] == [
        None
    ] * 4


# -- results

STATUS = {"Result": {
    "ConversationID": "AG_20180223_0000493344ae97d86f75", "OriginatorConversationID": "3213-416199-2",
    "ReferenceData": {"ReferenceItem": {"Key": "Occasion"}}, "ResultCode": 0, "ResultDesc": "…",
    "ResultParameters": {"ResultParameter": [
        {"Key": "DebitPartyName", "Value": "600310 - Safaricom333"},
        {"Key": "DebitPartyName", "Value": "254708374149 - John Doe"},
        {"Key": "OriginatorConversationID", "Value": "3211-416020-3"},
        {"Key": "InitiatedTime", "Value": 20180223054112},
        {"Key": "DebitAccountType", "Value": "Utility Account"},
        {"Key": "DebitPartyCharges", "Value": "Fee For B2C Payment|KES|22.40"}, {"Key": "TransactionReason"},
        {"Key": "ReasonType", "Value": "Business Payment to Customer via API"},
        {"Key": "TransactionStatus", "Value": "Completed"}, {"Key": "FinalisedTime", "Value": 20180223054112},
        {"Key": "Amount", "Value": 300}, {"Key": "ConversationID", "Value": "AG_20180223_000041b09c22e613d6c9"},
        {"Key": "ReceiptNo", "Value": "MBN31H462N"},
    ]},
    "ResultType": 0, "TransactionID": "MBN0000000",
}}  # fmt: skip
B2C = {"Result": {
    "ResultType": 0, "ResultCode": 0, "ResultDesc": "The service request is processed successfully.",
    "OriginatorConversationID": "53e3-4aa8-9fe0-8fb5e4092cdd3533373",
    "ConversationID": "AG_20240706_2010364430d9bbdaf872", "TransactionID": "SG632NMUAB",
    "ResultParameters": {"ResultParameter": [
        {"Key": "TransactionAmount", "Value": 10}, {"Key": "TransactionReceipt", "Value": "SG632NMUAB"},
        {"Key": "ReceiverPartyPublicName", "Value": "254705912645 - NICHOLAS JOHN SONGOK"},
        {"Key": "TransactionCompletedDateTime", "Value": "06.07.2024 22:48:52"},
        {"Key": "B2CUtilityAccountAvailableFunds", "Value": 8959269.60},
        {"Key": "B2CWorkingAccountAvailableFunds", "Value": 1199371.00},
        {"Key": "B2CRecipientIsRegisteredCustomer", "Value": "Y"},
        {"Key": "B2CChargesPaidAccountAvailableFunds", "Value": -1980.00},
    ]},
    "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://internalsandbox…"}},
}}  # fmt: skip
BALANCE = {"Result": {
    "ResultType": "0", "ResultCode": "0", "ResultDesc": "…", "OriginatorConversationID": "16917-22577599-3",
    "ConversationID": "AG_20200206_00005e091a8ec6b9eac5", "TransactionID": "OA90000000",
    "ResultParameters": {"ResultParameter": [
        {"Key": "AccountBalance", "Value": "Working Account|KES|700000.00|700000.00|0.00|0.00&Float Account|KES|0.00"
         "|0.00"
         "|0.00|0.00&Utility Account|KES|228037.00|228037.00|0.00|0.00&Charges Paid Account|KES|-1540.00|-1540.00|0.00|"
         "0.00&Organization Settlement Account|KES|0.00|0.00|0.00|0.00"},
        {"Key": "BOCompletedTime", "Value": 20200109125710},
    ]},
}}  # fmt: skip
REVERSED = {"Result": {
    "ResultType": 0, "ResultCode": 0, "ResultDesc": "…", "OriginatorConversationID": "71840-27539181-07",
    "ConversationID": "AG_20210709_12346c8e6f8858d7b70a", "TransactionID": "SKE52PAWR9",
    "ResultParameters": {"ResultParameter": [
        {"Key": "DebitAccountBalance", "Value": "Utility Account|KES|51661.00|51661.00|0.00|0.00"},
        {"Key": "Amount", "Value": 1}, {"Key": "TransCompletedTime", "Value": 20211114132711},
        {"Key": "OriginalTransactionID", "Value": "SKC82PACB8"}, {"Key": "Charge", "Value": 0},
        {"Key": "CreditPartyPublicName", "Value": "254705912645 - NICHOLAS JOHN SONGOK"},
        {"Key": "DebitPartyPublicName", "Value": "600992 - Safaricom Daraja"},
    ]},
}}  # fmt: skip
FAILED = {"Result": {
    "ResultType": 0, "ResultCode": "R000002", "ResultDesc": "The OriginalTransactionID is invalid.",
    "OriginatorConversationID": "71840-27539181-07", "ConversationID": "AG_20210709_12346c8e6f8858d7b70a",
    "TransactionID": "SKE0000000",
    "ResultParameters": {"ResultParameter": {"Key": "BOCompletedTime", "Value": 20200120164825}},
    "ReferenceData": {"ReferenceItem": [{"Key": "QueueTimeoutURL", "Value": "https://…"}]},
}}  # fmt: skip


def _read(body: dict[str, Any]) -> initiator.Result:
    found = initiator.parse(json.dumps(body).encode())
    assert found is not None
    return found


def test_status_result() -> None:
    found = _read(STATUS)
    assert (found.code, found.receipt, found.originator_conversation_id) == ("0", None, "3213-416199-2")
    assert initiator.transaction_in(found) == initiator.Transaction(
        "Completed",
        "MBN31H462N",
        30_000,
        2240,
        "3211-416020-3",
        datetime(2018, 2, 23, 2, 41, 12, tzinfo=UTC),
        "600310 - Safaricom333",
    )
    assert found.items["DebitPartyName"] == ["600310 - Safaricom333", "254708374149 - John Doe"]
    assert "TransactionReason" not in found.items
    assert initiator.transaction_in(_read(FAILED)) is None


def test_b2c_result() -> None:
    found = _read(B2C)
    assert (found.code, found.receipt) == ("0", "SG632NMUAB")
    assert initiator.cents(found.first("TransactionAmount")) == 1000
    assert initiator.instant(found.first("TransactionCompletedDateTime")) == datetime(
        2024, 7, 6, 19, 48, 52, tzinfo=UTC
    )
    assert initiator.fee_in(found) is None


def test_balance_result() -> None:
    told = {each.name: each.available_cents for each in initiator.balances_in(_read(BALANCE))}
    assert told == {
        "Working Account": 70_000_000, "Float Account": 0, "Utility Account": 22_803_700,
        "Charges Paid Account": -154_000, "Organization Settlement Account": 0,
    }  # fmt: skip
    assert initiator.balances_in(_read(FAILED)) == []


def test_reversal_results() -> None:
    done, failed = _read(REVERSED), _read(FAILED)
    assert (done.receipt, initiator.fee_in(done)) == ("SKE52PAWR9", 0)
    assert (failed.code, failed.receipt, failed.first("BOCompletedTime")) == ("R000002", None, "20200120164825")


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"{}", b'{"Result":[]}', b'{"Result":{}}', b'{"Result":{"ResultCode":true}}',
     b'{"Result":{"ResultCode":{}}}', b'{"Result":{"ResultCode":"a b"}}', b"[" * 100_000],
)  # fmt: skip
def test_whatever_else_comes_is_no_result(body: bytes) -> None:
    assert initiator.parse(body) is None


@pytest.mark.parametrize("value", [None, "", "x", "1e9", "1.234", "--1", "NaN", "1" * 13, "1,000"])
def test_what_is_no_amount(value: str | None) -> None:
    assert initiator.cents(value) is None


# -- codes


@pytest.mark.parametrize(
    ("api", "code", "verdict", "fix"),
    [
        ("b2c", "0", Verdict.SUCCESS, None), ("b2c", "1", Verdict.CONFIG, "payout_funds"),
        ("b2c", "2040", Verdict.FINAL, None), ("b2c", "15", Verdict.UNKNOWN, None), ("b2c", "17", Verdict.REVIEW, None),
        ("balance", "17", Verdict.UNKNOWN, None), ("reversal", "R000001", Verdict.SUCCESS, None),
        ("reversal", "R000002", Verdict.FINAL, None), ("status", "2033", Verdict.FINAL, None),
        *((api, code, Verdict.CONFIG, "initiator") for api in ("b2c", "balance", "reversal", "status")
          for code in ("2001", "18", "20", "8006")),
    ],
)  # fmt: skip
def test_codes_are_of_their_api(api: str, code: str, verdict: Verdict, fix: str | None) -> None:
    meaning = classify.organisation_result(api, code)
    assert (meaning.verdict, meaning.fix) == (verdict, fix)


def test_17_means_another_thing_to_a_payer() -> None:
    assert classify.result("17").verdict is Verdict.WAIT


# -- the credential


def _certificate(key: Any, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "apicrypt.test")])
    begins = datetime(2016, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begins).not_valid_after(begins + timedelta(days=days))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_the_plain_password_is_encrypted_with_pkcs1_v15() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    read = credential.read_certificate(_certificate(key))
    made = credential.encrypt("Safaricom#2026", read.pem)
    assert len(made) == 344
    assert credential.is_credential(made)
    assert key.decrypt(base64.b64decode(made), padding.PKCS1v15()) == b"Safaricom#2026"
    assert credential.read_certificate(read.pem.encode()) == read
    assert (read.subject, len(read.fingerprint)) == ("CN=apicrypt.test", 95)
    assert not read.is_valid(datetime(2026, 1, 1, tzinfo=UTC))


def test_what_is_no_certificate() -> None:
    elliptic = _certificate(ec.generate_private_key(ec.SECP256R1()))
    for data in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", b"\x30\x82", elliptic):
        with pytest.raises(ValueError, match="certificate"):
            credential.read_certificate(data)
    assert [credential.is_credential(text) for text in ("", "Safaricom#2026", "AAAA", "é" * 344)] == [False] * 4
