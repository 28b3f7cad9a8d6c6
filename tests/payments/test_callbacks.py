"""Callbacks are claims: forged, foreign, replayed, malformed or oversized ones move no money; true ones always do."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.payments.callbacks import parse
from tenants.payments.models import PaymentIntent
from tests.shop import Shop
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope
from wavu.web.security import flood

MSISDN = "254712345678"


def _path(shop: Shop, tenant_id: Any) -> str:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        intent = db.session.query(PaymentIntent).order_by(PaymentIntent.id.desc()).limit(1).one()
        return f"/h/s/{tenant_id}/{intent.token}"


def _post(shop: Shop, path: str, body: bytes, host: str = "hooks.wavu.localhost") -> int:
    wire = http.client.HTTPConnection("127.0.0.1", shop.settings.public_port, timeout=5)
    wire.request("POST", path, body, {"Host": host, "Content-Type": "application/json"})
    status = wire.getresponse().status
    wire.close()
    return status


def _success(checkout: str | None, amount: object = 10, receipt: object = "UKO7RT61SV") -> bytes:
    items = [{"Name": "Amount", "Value": amount}, {"Name": "MpesaReceiptNumber", "Value": receipt}, {"Name": "Balance"}]
    said = {"MerchantRequestID": "1-2-3", "CheckoutRequestID": checkout, "ResultCode": 0, "ResultDesc": "ok",
            "CallbackMetadata": {"Item": items}}  # fmt: skip
    return json.dumps({"Body": {"stkCallback": said}}).encode()


def _asked(shop: Shop) -> tuple[str, str]:
    """(callback path, CheckoutRequestID) of a push that waits for its PIN."""
    shop.buy(shop.world.a.id)
    shop.work("send_stk")
    return _path(shop, shop.world.a.id), shop.intents("checkout_request_id")[-1]


def _nothing_happened(shop: Shop) -> None:
    shop.work("settle_callback")
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    assert shop.rows("SELECT count(*) FROM entitlement") == [(0,)]
    assert "succeeded" not in shop.intents()
    shop.check_books()


def test_an_unknown_token_is_nothing_here(shop: Shop) -> None:
    path, checkout = _asked(shop)
    head, _, token = path.rpartition("/")
    for wrong in ("0" * 64, token[:-1], token.upper(), token + "0", "..%2f..", "x" * 64):
        assert _post(shop, f"{head}/{wrong}", _success(checkout)) == 404
    assert _post(shop, path.replace(str(shop.world.a.id), str(shop.world.b.id)), _success(checkout)) == 404
    assert _post(shop, path, _success(checkout), host=shop.world.a.host.replace("wavu.test", "wavu.localhost")) in {
        404,
        421,
    }
    assert shop.rows("SELECT count(*) FROM inbound_event") == [(0,)]
    _nothing_happened(shop)


def test_the_checkout_must_be_ours(shop: Shop) -> None:
    path, _ = _asked(shop)
    for other in ("ws_CO_24112026120000000712345678", None, "", "x" * 65):
        assert _post(shop, path, _success(other)) == 200
    _nothing_happened(shop)
    assert {row for (row,) in shop.rows("SELECT outcome FROM inbound_event")} == {"refused: another checkout"}


def test_another_tenants_checkout_at_our_token_is_refused(shop: Shop) -> None:
    path, _ = _asked(shop)
    shop.buy(shop.world.b.id, phone="0722000000")
    shop.work("send_stk")
    foreign = shop.intents("checkout_request_id")[-1]
    assert _post(shop, path, _success(foreign)) == 200
    _nothing_happened(shop)


@pytest.mark.parametrize("amount", [9, 11, 1, 250_000, 1e9, -10, 0, "10.001", "ten", True, None, [10], {"a": 1}])
def test_a_wrong_amount_is_not_taken_on_its_word(shop: Shop, amount: object) -> None:
    path, checkout = _asked(shop)
    assert _post(shop, path, _success(checkout, amount)) == 200
    shop.work("settle_callback", "query_stk")
    _nothing_happened(shop)


@pytest.mark.parametrize("amount", [1, 2_000])
def test_a_wrong_amount_is_not_made_true_by_a_payment(shop: Shop, amount: int) -> None:
    """That the prompt was paid says nothing of what somebody claims beside it."""
    shop.sim.set_knobs({"callback.drop": 1})
    path, checkout = _asked(shop)
    _post(shop, path, _success(checkout, amount))
    shop.work("settle_callback")
    shop.sim.answer(MSISDN, "pin")
    shop.later(21)
    shop.work("query_stk")
    assert shop.intents() == ["paid_no_receipt"]
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    assert shop.rows("SELECT provisional FROM entitlement") == [(True,)]
    (paid,) = shop.sim.book()
    shop.sim.set_knobs({"callback.drop": 0})
    shop.sim.resend(checkout)
    shop.sim.wait_idle()
    shop.work("settle_callback")
    assert shop.rows("SELECT receipt, amount_cents FROM provider_receipt") == [(paid.receipt, 1_000)]
    assert shop.rows("SELECT provisional FROM entitlement") == [(False,)]
    assert shop.intents() == ["succeeded"]
    shop.check_books()


@pytest.mark.parametrize("receipt", ["", "short", "UKO7RT61S'", "uko7rt61sv", "OAK0000000", None, 5, "UKO7RT61SVX"])
def test_a_bad_receipt_credits_nothing(shop: Shop, receipt: object) -> None:
    path, checkout = _asked(shop)
    assert _post(shop, path, _success(checkout, 10, receipt)) == 200
    shop.work("settle_callback", "query_stk")
    _nothing_happened(shop)


BODIES = [
    b"", b"{", b"null", b"[]", b"{}", b'{"Body":null}', b'{"Body":{"stkCallback":[]}}', b"\xff\xfe", b"x" * 1000,
    b'{"Body":{"stkCallback":{"ResultCode":true}}}', b'{"Body":{"stkCallback":{"ResultCode":{"a":1}}}}',
    b'{"Body":{"stkCallback":{"ResultCode":1e400}}}', b"[" * 50_000,
    b'{"Body":{"stkCallback":{"ResultCode":"0;DROP"}}}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_a_malformed_body_is_stored_and_answered(shop: Shop, body: bytes) -> None:
    path, _ = _asked(shop)
    assert _post(shop, path, body) == 200
    _nothing_happened(shop)


def test_an_oversized_body_is_refused(shop: Shop) -> None:
    path, checkout = _asked(shop)
    assert _post(shop, path, _success(checkout) + b" " * 70_000) == 413
    _nothing_happened(shop)


def test_five_at_once_are_one(shop: Shop) -> None:
    path, checkout = _asked(shop)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(_post(shop, path, _success(checkout)))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 5
    assert shop.rows("SELECT count(*) FROM inbound_event") == [(1,)]
    shop.work("settle_callback")
    assert shop.intents() == ["succeeded"]
    assert _post(shop, path, _success(checkout).replace(b" ", b"")) == 200, "a replay in other clothes"
    shop.work("settle_callback")
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(1,)]
    shop.check_books()


def test_a_second_receipt_for_the_same_push_does_not_buy_twice(shop: Shop) -> None:
    path, checkout = _asked(shop)
    _post(shop, path, _success(checkout))
    _post(shop, path, _success(checkout, 10, "UKO7RT61SW"))
    shop.work("settle_callback")
    assert shop.rows("SELECT count(*) FROM entitlement") == [(1,)]
    assert shop.rows("SELECT count(*) FROM purchase WHERE state = 'bought'") == [(1,)]
    shop.check_books()


def test_a_no_after_a_yes_changes_nothing(shop: Shop) -> None:
    path, checkout = _asked(shop)
    _post(shop, path, _success(checkout))
    no = {"Body": {"stkCallback": {"CheckoutRequestID": checkout, "ResultCode": 1032, "ResultDesc": "no"}}}
    _post(shop, path, json.dumps(no).encode())
    shop.work("settle_callback")
    assert shop.intents() == ["succeeded"]
    shop.check_books()


def test_of_two_claimed_receipts_none_is_believed_and_the_customer_is_served(shop: Shop) -> None:
    path, checkout = _asked(shop)
    shop.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9'")
    _post(shop, path, _success(checkout, 10, "FORGED0001"))
    shop.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9'")
    shop.work("settle_callback", "query_stk")
    _nothing_happened(shop)
    shop.sim.answer(MSISDN, "pin")
    shop.sim.wait_idle()
    shop.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9' WHERE processed_at IS NULL")
    shop.work("settle_callback", "query_stk")
    assert shop.intents() == ["paid_no_receipt"], "Daraja says that it is paid, and not by which of the two"
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    assert shop.rows("SELECT provisional FROM entitlement") == [(True,)]


def test_a_claimed_success_is_asked_about_until_it_is_proven(shop: Shop) -> None:
    """After the chaser's own question, and through a moment in which Daraja answers 429."""
    shop.sim.set_knobs({"callback.drop": 1})
    path, checkout = _asked(shop)
    shop.later(21)
    shop.work("query_stk")
    shop.sim.answer(MSISDN, "pin")
    shop.sim.wait_idle()
    (paid,) = shop.sim.book()
    _post(shop, path, _success(checkout, receipt=paid.receipt))
    shop.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9'")
    shop.sim.rule({"gateway.fault": "spike_429"}, times=1)
    shop.work("settle_callback", "query_stk")
    assert shop.intents() == ["pending"]
    for seconds in (20, 20, 40):
        shop.later(seconds)
        shop.work("query_stk")
    assert shop.intents() == ["succeeded"]
    shop.check_books()


def test_one_push_has_one_receipt(shop: Shop) -> None:
    path, checkout = _asked(shop)
    _post(shop, path, _success(checkout, receipt="UKO7RT61SV"))
    shop.work("settle_callback")
    _post(shop, path, _success(checkout, receipt="UKO7RT61SX"))
    shop.work("settle_callback")
    assert shop.rows("SELECT receipt FROM provider_receipt") == [("UKO7RT61SV",)]
    assert shop.rows("SELECT outcome FROM inbound_event ORDER BY id") == [("settled",), ("refused: a second receipt",)]
    shop.check_books()


def test_an_unknown_code_is_for_a_person(shop: Shop) -> None:
    path, checkout = _asked(shop)
    said = {"Body": {"stkCallback": {"CheckoutRequestID": checkout, "ResultCode": 4711, "ResultDesc": "?"}}}
    _post(shop, path, json.dumps(said).encode())
    shop.work("settle_callback")
    assert shop.intents() == ["review"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, json_values, json_values)
def test_no_body_breaks_the_reader(code: Any, metadata: Any, checkout: Any) -> None:
    said = {"ResultCode": code, "CallbackMetadata": metadata, "CheckoutRequestID": checkout}
    parse(json.dumps({"Body": {"stkCallback": said}}).encode())
    parse(json.dumps(metadata).encode())


def test_a_flood_of_callbacks_from_one_address_is_taken_and_a_flood_of_guesses_is_not(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flood, "limits", {3600: 5})
    path, checkout = _asked(shop)
    assert {_post(shop, path, _success(checkout, receipt=f"UKO7RT{n:04d}")) for n in range(20)} == {200}
    head = path.rpartition("/")[0]
    statuses = [_post(shop, f"{head}/{n:064x}", _success(checkout)) for n in range(620)]
    assert statuses[:500] == [404] * 500
    assert statuses[-1] == 429
