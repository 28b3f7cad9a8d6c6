"""What is told about payments afterwards: Pull Transactions and the organisation's statement, from the same book."""

from __future__ import annotations

import csv
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import ASHA, Answer, Receiver, Shop, ask


def register(shop: Shop, **changes: object) -> Answer:
    body = {
        "ShortCode": shop.shortcode, "RequestType": "Pull", "NominatedNumber": "254722000000",
        "CallBackURL": shop.callback_url,
    }  # fmt: skip
    return shop.post("/pulltransactions/v1/register", body | changes)


def pull(shop: Shop, offset: int = 0, **changes: object) -> Answer:
    now = shop.sim.clock.eat()
    body = {
        "ShortCode": shop.shortcode, "StartDate": f"{now - timedelta(hours=48):%Y-%m-%d %H:%M:%S}",
        "EndDate": f"{now:%Y-%m-%d %H:%M:%S}", "OffSetValue": f"{offset}",
    }  # fmt: skip
    return shop.post("/pulltransactions/v1/query", body | changes)


def rows(answer: Answer) -> list[Any]:
    (page,) = answer.json["Response"]
    return list(page)


@pytest.fixture
def pulling(paybill: Shop) -> Shop:
    assert register(paybill).status == 200
    return paybill


# -- Pull


def test_registration(sim: Simulator, paybill: Shop) -> None:
    first = register(paybill).json
    assert first.pop("ResponseRefID")
    assert first == {
        "Response Status": "1000", "ShortCode": "174379", "Response Description": "Shortcode Registered Successfully",
    }  # fmt: skip
    sim.set_knobs({"pull.keys": "compact"})
    assert register(paybill).json["ResponseStatus"] == "1001"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("ShortCode", "999999", "400.001"), ("RequestType", "Push", "400.002.02"), ("CallBackURL", "x", "400.002.02"),
        ("NominatedNumber", "0722000000", "400.002.02"),
    ],
)  # fmt: skip
def test_each_field_of_a_registration_is_checked(paybill: Shop, field: str, value: object, code: str) -> None:
    changes: dict[str, Any] = {field: value}
    status, told, message = register(paybill, **changes).error
    assert (status, told) == (400, code)
    assert message.endswith(f"Invalid {field}")


def test_a_row(sim: Simulator, pulling: Shop) -> None:
    line = sim.pay(ASHA, pulling.shortcode, 168, "ACC1")
    answer = pull(pulling)
    assert answer.json.pop("ResponseRefID")
    assert {key: answer.json[key] for key in ("ResponseCode", "ResponseMessage")} == {
        "ResponseCode": "1000", "ResponseMessage": "Success",
    }  # fmt: skip
    assert rows(answer) == [
        {
            "transactionId": line.receipt, "trxDate": f"{sim.clock.eat():%Y-%m-%dT%H:%M:%S}Z",
            "msisdn": 254712345678, "sender": "MPESA", "transactiontype": "c2b-pay-bill-debit",
            "billreference": "ACC1", "amount": "168.00", "organizationname": "PENDO WIFI",
        }
    ]  # fmt: skip
    shapes = {"pull.msisdn": "masked", "pull.amount": "number", "pull.zone": "utc", "pull.ref_key": "RequestID"}
    sim.set_knobs(shapes)
    (row,) = rows(pull(pulling))
    assert (row["msisdn"], row["amount"]) == ("2547 ***** 678", 168)
    assert row["trxDate"] == f"{sim.clock.eat().astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    assert "RequestID" in pull(pulling).json


def test_pushes_are_there_too_whatever_became_of_their_callbacks(sim: Simulator, pulling: Shop, till: Shop) -> None:
    sim.set_knobs({"callback.drop": 1})
    pulling.checkout()
    sim.answer(ASHA, "pin")
    sim.pay(ASHA, "600200", 20)
    assert [row["billreference"] for row in rows(pull(pulling))] == ["P7K3M9Q2XA"]
    assert register(till).status == 200
    assert [row["transactiontype"] for row in rows(pull(till))] == ["c2b-buy-goods-debit"]


def test_nothing_to_tell(sim: Simulator, pulling: Shop) -> None:
    assert (pull(pulling).json["ResponseCode"], pull(pulling).json["Response"]) == ("1001", [[]])
    sim.set_knobs({"pull.empty": "http500"})
    assert pull(pulling).error == (500, "500.001.1001", "Failed to retrieve transactions")


def test_pages_window_and_lag(sim: Simulator, pulling: Shop) -> None:
    sim.set_knobs({"pull.page": 2})
    paid = []
    for amount in range(1, 6):
        paid.append(sim.pay(ASHA, pulling.shortcode, amount, "A1").receipt)
        sim.advance(60)
    pages = [rows(pull(pulling, offset)) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [row["transactionId"] for page in pages for row in page] == paid
    second = f"{sim.clock.eat(sim.book()[1].paid_at):%Y-%m-%d %H:%M:%S}"
    assert [row["transactionId"] for row in rows(pull(pulling, StartDate=second, EndDate=second))] == [paid[1]]
    sim.set_knobs({"pull.lag": 150, "pull.page": 100})
    assert len(rows(pull(pulling))) == 3
    sim.set_knobs({"pull.lag": 0})
    sim.advance(48 * 3600 - 200)
    pulling.bearer = ""
    early = f"{sim.clock.eat() - timedelta(days=9):%Y-%m-%d %H:%M:%S}"
    assert len(rows(pull(pulling, StartDate=early))) == 3


@pytest.mark.parametrize("changes", [{"StartDate": "21.11.2026"}, {"EndDate": None}, {"OffSetValue": "-1"}])
def test_a_wrong_question(pulling: Shop, changes: dict[str, Any]) -> None:
    (field,) = changes
    assert pull(pulling, **changes).error == (400, "400.002.02", f"Bad Request - Invalid {field}")


def test_only_who_registered_may_ask(sim: Simulator, paybill: Shop) -> None:
    refused = pull(paybill)
    assert refused.error == (400, "400.001", "Invalid ShortCode")
    assert "not registered" in refused.headers["X-Simulator-Reason"]
    sim.set_knobs({"gateway.invalid_token": "401.001"})
    paybill.bearer = "nonsense"
    assert pull(paybill).error == (401, "401.001", "Invalid Access Token")
    paybill.bearer = ""
    sim.rule({"gateway.fault": "html_403"}, exchange="pull")
    assert pull(paybill).status == 403
    paybill.checkout()


# -- the statement


def statement(sim: Simulator, shortcode: str, **period: str) -> tuple[list[list[str]], list[dict[str, str]]]:
    answer = ask(sim.base_url, "GET", f"/control/statement?{urlencode({'shortcode': shortcode} | period)}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    lines = answer.text.split("\r\n")
    begin = next(n for n, line in enumerate(lines) if line.startswith("Receipt No."))
    return list(csv.reader(lines[:begin])), list(csv.DictReader(lines[begin:]))


def test_a_statement(sim: Simulator, paybill: Shop, till: Shop, receiver: Receiver) -> None:
    paybill.checkout(amount=1500)
    sim.answer(ASHA, "pin")
    sim.advance(3600)
    line = sim.pay(ASHA, paybill.shortcode, 60, "70012, 34")
    sim.pay(ASHA, "600200", 20)
    about, lines = statement(sim, paybill.shortcode)
    assert about[0] == ["Organization Name:", "PENDO WIFI"]
    at = f"{sim.clock.eat():%Y-%m-%d %H:%M:%S}"
    assert lines[0] == {
        "Receipt No.": line.receipt, "Completion Time": at, "Initiation Time": at,
        "Details": "Pay Bill from 25471****678 - ASHA Acc. 70012, 34", "Transaction Status": "Completed",
        "Paid In": "60.00", "Withdrawn": "", "Balance": "1560.00", "Balance Confirmed": "true",
        "Reason Type": "Pay Bill Online", "Other Party Info": "25471****678 - ASHA", "Linked Transaction ID": "",
        "A/C No.": "70012, 34",
    }  # fmt: skip
    assert [one["Balance"] for one in lines] == ["1560.00", "1500.00"]
    _, goods = statement(sim, till.shortcode)
    assert (goods[0]["Reason Type"], goods[0]["A/C No."]) == ("Customer Buy Goods Online", "")
    _, early = statement(sim, paybill.shortcode, to=(sim.clock.eat() - timedelta(minutes=1)).isoformat())
    assert len(early) == 1
    assert ask(sim.base_url, "GET", "/control/statement?shortcode=999999").status == 404


def test_forms_of_a_statement_and_a_planted_difference(sim: Simulator, paybill: Shop) -> None:
    sim.pay(ASHA, paybill.shortcode, 1500, "A1")
    sim.set_knobs({"statement.dates": "day_first", "statement.thousands": True, "statement.off_by": 1})
    _, (line,) = statement(sim, paybill.shortcode)
    assert line["Completion Time"] == f"{sim.clock.eat():%d-%m-%Y %H:%M:%S}"
    assert (line["Paid In"], line["Balance"]) == ("1,501.00", "1,501.00")
