"""Standing orders: the request, the PIN that sets one up, its callback in both cases, and the payments that follow."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from rehearsal.daraja import Simulator
from rehearsal.simulation import NotPossible
from tests.daraja_simulator.shop import ASHA, Receiver, Shop

PATH = "/standingorder/v1/createStandingOrderExternal"
DAY = 24 * 3600


def _order(sim: Simulator, receiver: Receiver, **changes: object) -> dict[str, object]:
    today = sim.clock.eat()
    return {
        "StandingOrderName": "Internet ACC1", "StartDate": f"{today + timedelta(days=1):%Y%m%d}",
        "EndDate": f"{today + timedelta(days=366):%Y%m%d}",
        "BusinessShortCode": "174379", "TransactionType": "Standing Order Customer Pay Bill",
        "ReceiverPartyIdentifierType": "4", "Amount": "1500", "PartyA": ASHA, "CallBackURL": f"{receiver.url}/order",
        "AccountReference": "ACC1", "TransactionDesc": "Internet", "Frequency": "4", **changes,
    }  # fmt: skip


def _told(sim: Simulator, receiver: Receiver) -> list[dict[str, Any]]:
    assert sim.wait_idle()
    return [body for path, body in zip(receiver.paths, receiver.bodies, strict=True) if path.endswith("/order")]


def test_a_pin_sets_it_up_and_each_month_is_paid(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    answer = paybill.post(PATH, _order(sim, receiver)).json
    assert answer["ResponseHeader"]["responseCode"] == "200"
    assert sim.book() == []
    sim.answer_order(ASHA, "pin")
    (told,) = _told(sim, receiver)
    assert told["responseHeader"]["responseCode"] == "0"
    assert told["responseHeader"]["responseRefID"] == answer["ResponseHeader"]["responseRefID"]
    assert {item["name"] for item in told["responseBody"]["responseData"]} == {
        "TransactionID", "responseCode", "Status", "Msisdn",
    }  # fmt: skip
    (order,) = sim.standing_orders(ASHA)
    while order.payments < 3:
        sim.advance(DAY)
    paid = [(line.amount, line.reference, f"{sim.clock.eat(line.paid_at):%H}") for line in sim.book()]
    assert paid == [(1500, "ACC1", "08")] * 3
    days = [sim.clock.eat(line.paid_at).date() for line in sim.book()]
    assert days[0] == order.starts_on
    assert all(28 <= (late - early).days <= 31 for early, late in pairwise(days))
    sim.answer_order(ASHA, "end")
    sim.advance(62 * DAY)
    assert len(sim.book()) == 3


@pytest.mark.parametrize(("action", "code"), [("cancel", "1032"), ("ignore", "1037")])
def test_a_no_is_told_in_capitals(sim: Simulator, paybill: Shop, receiver: Receiver, action: str, code: str) -> None:
    paybill.post(PATH, _order(sim, receiver))
    sim.answer_order(ASHA, action)
    sim.advance(61)
    (told,) = _told(sim, receiver)
    assert told["ResponseHeader"]["ResponseCode"] == code
    assert told["ResponseBody"]["ResponseData"][0] == {"Name": "TransactionID", "Value": "0000000000"}
    sim.advance(40 * DAY)
    assert sim.book() == []
    with pytest.raises(NotPossible):
        sim.answer_order(ASHA, "pin")


def test_a_name_is_taken_once(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    paybill.post(PATH, _order(sim, receiver))
    sim.answer_order(ASHA, "pin")
    paybill.post(PATH, _order(sim, receiver))
    sim.advance(2)
    assert [str(told).count("1050") > 0 for told in _told(sim, receiver)] == [False, True]


@pytest.mark.parametrize(("field", "value"), [
    ("TransactionType", "Standing Order Customer Pay Marchant"), ("ReceiverPartyIdentifierType", "2"),
    ("StandingOrderName", ""), ("AccountReference", "A" * 13), ("StartDate", "20251120"), ("StartDate", "tomorrow"),
    ("EndDate", "20251122"), ("Frequency", "5"), ("Amount", "0"), ("PartyA", "0712345678"), ("BusinessShortCode", "1"),
])  # fmt: skip
def test_each_field_is_checked(sim: Simulator, paybill: Shop, receiver: Receiver, field: str, value: str) -> None:
    refused = paybill.post(PATH, _order(sim, receiver, **{field: value}))
    assert refused.error == (400, "400.002.02", f"Bad Request - Invalid {field}")


def test_it_needs_its_product(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_products(paybill.key, ["M-PESA EXPRESS"])
    sim.revoke_tokens(paybill.key)
    assert paybill.post(PATH, _order(sim, receiver)).error[0] == 401
