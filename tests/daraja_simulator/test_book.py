"""One book: whatever moved and however it was lost on the way, every witness tells the same money."""

from __future__ import annotations

import contextlib
import csv
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.daraja import Simulator
from rehearsal.simulation import NotPossible
from tests.daraja_simulator.shop import ASHA, Receiver, Shop, credential


def statement(sim: Simulator, shortcode: str) -> list[dict[str, str]]:
    lines = sim.statement(shortcode).split("\r\n")
    return list(csv.DictReader(lines[4:]))


def act(sim: Simulator, shop: Shop, dice: random.Random, n: int) -> None:
    """One thing that moves money, or tries to."""
    phone = f"2547000000{dice.randrange(8):02d}"
    what, amount = dice.choice(("push", "c2b", "c2b", "payout", "reverse")), dice.randrange(10, 400)
    if what == "push":
        shop.push(phone, amount)
        for prompt in sim.prompts(phone):
            sim.answer(prompt.checkout_request_id, dice.choice(("pin", "cancel")))
    elif what == "c2b":
        sim.pay(phone, shop.shortcode, amount, "A1")
    elif what == "payout":
        initiator = {"InitiatorName": "wavuapi", "SecurityCredential": credential(sim, "Secret#2026")}
        urls = {"ResultURL": shop.callback_url, "QueueTimeOutURL": shop.callback_url}
        body = {
            "OriginatorConversationID": f"wavu-{n}", "CommandID": "BusinessPayment", "Amount": amount,
            "PartyA": shop.shortcode, "PartyB": phone, "Remarks": "refund",
        }  # fmt: skip
        assert shop.post("/mpesa/b2c/v3/paymentrequest", body | initiator | urls).status == 200
    elif paid := [line for line in sim.book(shop.shortcode) if line.amount > 0 and not line.reversed]:
        sim.reverse(dice.choice(paid).receipt)


@pytest.mark.parametrize("seed", range(3))
def test_all_witnesses_agree(sim: Simulator, acting: Shop, receiver: Receiver, seed: int) -> None:
    sim.set_knobs({"callback.drop": 0.3, "callback.duplicate": 2, "oauth.ttl": 86400})
    opening = sim.merchant(acting.shortcode).balance
    dice = random.Random(seed)
    for n in range(60):
        with contextlib.suppress(NotPossible):  # somebody's account has too little, which is also a case
            act(sim, acting, dice, n)
        sim.advance(dice.choice((2, 130)))
    balance = sim.merchant(acting.shortcode).balance
    lines = statement(sim, acting.shortcode)
    moved = [float(line["Paid In"] or line["Withdrawn"]) for line in lines]
    assert sim.total(acting.shortcode) == sum(moved) == balance - opening
    assert {"stk", "c2b", "b2c", "reversal"} == {line.kind for line in sim.book()}
    running = [float(line["Balance"]) for line in lines]
    assert all(after == before + amount for after, before, amount in zip(running, running[1:], moved, strict=False))
    assert running[0] == balance
    assert pulled(sim, acting) == {line.receipt: line.amount for line in sim.book() if line.kind in ("stk", "c2b")}


def pulled(sim: Simulator, shop: Shop) -> dict[str, float]:
    sim.set_knobs({"pull.page": 7})
    shop.post("/pulltransactions/v1/register", {
        "ShortCode": shop.shortcode, "RequestType": "Pull", "NominatedNumber": ASHA, "CallBackURL": shop.callback_url,
    })  # fmt: skip
    now = sim.clock.eat()
    window = {f"{end}Date": f"{at:%Y-%m-%d %H:%M:%S}" for end, at in (("Start", now - timedelta(days=1)), ("End", now))}
    found: list[Any] = []
    while True:
        body = {"ShortCode": shop.shortcode, "OffSetValue": f"{len(found)}"} | window
        (page,) = shop.post("/pulltransactions/v1/query", body).json["Response"]
        if not page:
            return {row["transactionId"]: float(row["amount"]) for row in found}
        found += page


def test_a_balance_is_not_spent_twice(sim: Simulator, paybill: Shop) -> None:
    sim.subscriber(ASHA, balance=500)

    def pay(_: int) -> int:
        try:
            return sim.pay(ASHA, paybill.shortcode, 100, "A1").amount
        except NotPossible:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(pay, range(20))) == 500
    assert (sim.total(), sim.subscriber(ASHA).balance) == (500, 0)
