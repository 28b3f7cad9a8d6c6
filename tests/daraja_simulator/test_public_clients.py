"""Daraja clients that nobody here wrote, run unchanged against the simulator: OAuth, STK push, callback, query."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import ASHA, Receiver, Shop, credential


def test_daraja_v3(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    """PyPI daraja-v3: its constructor takes a `base_url` on localhost for test doubles."""
    mpesa: Any = pytest.importorskip("mpesa")
    client = mpesa.MpesaClient(paybill.key, paybill.secret, paybill.shortcode, paybill.passkey, base_url=sim.base_url)
    sent = client.stk_push("0712345678", 50, "P7K3M9Q2XA", "Internet", callback_url=receiver.url)
    with pytest.raises(mpesa.MpesaError, match="being processed"):
        client.stk_query(sent.checkout_request_id)
    sim.answer(ASHA, "pin")
    assert sim.wait_idle()
    assert client.stk_query(sent.checkout_request_id).is_paid
    told = client.parse_stk_callback(receiver.bodies[0])
    assert (told["paid"], told["amount"], told["mpesa_receipt"]) == (True, 50.0, sim.book()[0].receipt)
    wrong = mpesa.MpesaClient(paybill.key, "wrong", paybill.shortcode, paybill.passkey, base_url=sim.base_url)
    with pytest.raises(mpesa.AuthenticationError, match="400"):
        wrong.stk_query("ws_CO_1")


def test_daraja_v3_pays_a_till(sim: Simulator, till: Shop, receiver: Receiver) -> None:
    mpesa: Any = pytest.importorskip("mpesa")
    client = mpesa.MpesaClient(till.key, till.secret, till.shortcode, till.passkey, base_url=sim.base_url)
    client.stk_push(
        ASHA, 50, "P7K3M9Q2XA", callback_url=receiver.url, transaction_type="CustomerBuyGoodsOnline", party_b=till.till
    )
    sim.answer(ASHA, "pin")
    assert sim.wait_idle()
    assert receiver.codes == [0]


def test_mpesakit(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    """PyPI mpesakit: the host is the `base_url` attribute of its HTTP client."""
    kit: Any = pytest.importorskip("mpesakit")
    client = kit.MpesaClient(consumer_key=paybill.key, consumer_secret=paybill.secret, environment="sandbox")
    client.http_client.base_url = sim.base_url
    sent = client.express.push(
        int(paybill.shortcode), "CustomerPayBillOnline", 50, ASHA, paybill.shortcode, ASHA, receiver.url,
        "P7K3M9Q2XA", "Internet", passkey=paybill.passkey,
    )  # fmt: skip
    assert sent.is_successful()
    sim.answer(ASHA, "cancel")
    assert sim.wait_idle()
    told = client.process_stk_callback(receiver.bodies[0])
    assert (told.is_successful, told.Body.stkCallback.ResultCode) == (False, 1032)
    answer = client.express.query(int(paybill.shortcode), sent.CheckoutRequestID, passkey=paybill.passkey)
    assert answer.ResultCode == "1032"


def test_mpesa_daraja_mcp(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    """PyPI mpesa-daraja-mcp: the host is `Config.base_url`; its own validator judges the body it sends."""
    pytest.importorskip("mpesa_mcp")
    client_module: Any = pytest.importorskip("mpesa_mcp.client")
    helpers: Any = pytest.importorskip("mpesa_mcp.helpers")
    validation: Any = pytest.importorskip("mpesa_mcp.validation")
    config = client_module.Config(env="sandbox", consumer_key=paybill.key, consumer_secret=paybill.secret)
    config.base_url = sim.base_url

    async def buy() -> Any:
        client = client_module.DarajaClient(config)
        body = paybill.order()
        assert validation.validate("stk", body | {"CallBackURL": "https://pay.example.net/h/s/ab"}) == []
        sent = await client.post("/mpesa/stkpush/v1/processrequest", body)
        sim.answer(ASHA, "pin")
        query = paybill.signed() | {"CheckoutRequestID": sent["CheckoutRequestID"]}
        assert validation.validate("stk_query", query) == []
        answer = await client.post("/mpesa/stkpushquery/v1/query", query)
        await client.aclose()
        return answer

    assert asyncio.run(buy())["ResultCode"] == "0"
    assert sim.wait_idle()
    told = helpers.parse_callback(receiver.bodies[0])
    assert (told["success"], told["receipt"]) == (True, sim.book()[0].receipt)


# -- what daraja-v3 and mpesakit know beyond the push


def told(sim: Simulator, receiver: Receiver) -> Any:
    """The newest that was called back, once it is there."""
    sim.advance(1)
    return receiver.bodies[-1]


def test_daraja_v3_registers_pays_out_and_asks(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    mpesa: Any = pytest.importorskip("mpesa")
    client = mpesa.MpesaClient(acting.key, acting.secret, acting.shortcode, acting.passkey, base_url=sim.base_url)
    assert client.c2b_register_urls(receiver.url, receiver.url)["ResponseCode"] == "0"
    with pytest.raises(mpesa.MpesaError, match="already registered"):
        client.c2b_register_urls(receiver.url, receiver.url)
    urls = {
        "callback_url": receiver.url, "queue_timeout_url": receiver.url, "initiator_name": "wavuapi",
        "security_credential": credential(sim, "Secret#2026"),
    }  # fmt: skip
    sent = client.b2c("0712345678", 100, "Refund", **urls)
    assert told(sim, receiver)["Result"]["ConversationID"] == sent.conversation_id
    assert sim.total() == -100
    client.account_balance(**urls)
    assert "Utility Account|KES|400.00" in str(told(sim, receiver))


def test_mpesakit_registers_asks_reverses_and_draws(sim: Simulator, acting: Shop, receiver: Receiver) -> None:
    kit: Any = pytest.importorskip("mpesakit")
    client = kit.MpesaClient(consumer_key=acting.key, consumer_secret=acting.secret, environment="sandbox")
    client.http_client.base_url = sim.base_url
    number = int(acting.shortcode)
    assert client.c2b.register_url(number, "Completed", receiver.url, receiver.url).is_successful()
    line = sim.pay(ASHA, acting.shortcode, 300, "A1")
    schemas: Any = pytest.importorskip("mpesakit.c2b.schemas")
    assert sim.wait_idle()
    confirmed = schemas.C2BValidationRequest(**receiver.bodies[-1])
    assert (confirmed.TransID, confirmed.TransAmount) == (line.receipt, 300)
    secret = credential(sim, "Secret#2026")
    asked = client.transactions.query_status(
        "wavuapi", secret, line.receipt, number, 4, receiver.url, receiver.url, remarks="OK"
    )
    assert asked.is_successful()
    assert told(sim, receiver)["Result"]["ResultCode"] == 0
    sent = client.reversal.reverse("wavuapi", secret, line.receipt, 300, number, receiver.url, receiver.url, "back")
    assert sent.is_successful()
    assert told(sim, receiver)["Result"]["ResultCode"] == 0
    assert sim.total() == 0
    drawn = client.dynamic_qr.generate("PENDO WIFI", "INV1", 50, "PB", acting.shortcode, "300")
    assert drawn.is_successful()


def test_mpesa_daraja_mcp_pulls(sim: Simulator, acting: Shop) -> None:
    """Its tool for Pull Transactions posts the same four fields."""
    client_module: Any = pytest.importorskip("mpesa_mcp.client")
    config = client_module.Config(env="sandbox", consumer_key=acting.key, consumer_secret=acting.secret)
    config.base_url = sim.base_url
    line = sim.pay(ASHA, acting.shortcode, 300, "A1")

    async def pull() -> Any:
        client = client_module.DarajaClient(config)
        number = {"ShortCode": acting.shortcode}
        urls = {"RequestType": "Pull", "NominatedNumber": ASHA, "CallBackURL": acting.callback_url}
        await client.post("/pulltransactions/v1/register", number | urls)
        window = {"StartDate": "2026-11-20 00:00:00", "EndDate": "2099-01-01 00:00:00", "OffSetValue": "0"}
        answer = await client.post("/pulltransactions/v1/query", number | window)
        await client.aclose()
        return answer

    assert asyncio.run(pull())["Response"][0][0]["transactionId"] == line.receipt
