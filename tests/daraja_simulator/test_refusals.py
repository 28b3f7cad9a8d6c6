"""What the gateway refuses at once: build sheet table 2.3 in the order of section 23."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import ASHA, BARAKA, Receiver, Shop, ask

PUSH = "/mpesa/stkpush/v1/processrequest"
QUERY = "/mpesa/stkpushquery/v1/query"


def test_a_token_has_the_shape_of_the_portal_sample(sim: Simulator, paybill: Shop) -> None:
    body = paybill.oauth().json
    assert (len(body["access_token"]), body["expires_in"]) == (28, "3599")
    sim.set_knobs({"oauth.expires_in_type": "number", "oauth.ttl": 60})
    assert paybill.oauth().json["expires_in"] == 60


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"path": "/oauth/v1/generate"}, (400, "400.008.02", "Invalid grant type passed")),
        ({"path": "/oauth/v1/generate?grant_type=password"}, (400, "400.008.02", "Invalid grant type passed")),
        ({"authorization": "Bearer abc"}, (400, "400.008.01", "Invalid Authentication passed")),
        ({"authorization": ""}, (404, "404.001.04", "Invalid Authentication Header")),
        ({"verb": "POST"}, (405, "405.001", "POST Method Not Allowed")),
    ],
)
def test_oauth_refusals(paybill: Shop, changes: dict[str, Any], error: tuple[int, str, str]) -> None:
    assert paybill.oauth(**changes).error == error


def test_a_wrong_secret_gets_an_empty_400(sim: Simulator, paybill: Shop) -> None:
    for changes in ({"secret": "no"}, {"key": "no"}, {"authorization": "Basic %%%"}):
        assert (paybill.oauth(**changes).status, paybill.oauth(**changes).text) == (400, "")
    sim.rule({"oauth.empty_400": True}, consumer_key=paybill.key, times=1)
    assert [paybill.oauth().status for _ in range(2)] == [400, 200]


def test_a_new_token_kills_the_old_one_only_where_strict(sim: Simulator, paybill: Shop, till: Shop) -> None:
    till.checkout()
    paybill.checkout(BARAKA)
    paybill.oauth()
    assert paybill.push(BARAKA).error == (404, "404.001.03", "Invalid Access Token")
    assert till.query("ws_CO_1").json["errorMessage"] == "Bad Request - Invalid CheckoutRequestID"
    sim.set_knobs({"oauth.strict_invalidation": False})
    paybill.bearer = ""
    paybill.checkout("254700000009")
    paybill.oauth()
    paybill.checkout("254700000010")


def test_a_token_expires_by_the_virtual_clock(sim: Simulator, paybill: Shop) -> None:
    paybill.checkout()
    sim.advance(3598)
    paybill.checkout(BARAKA)
    sim.advance(1)
    assert paybill.push().error == (404, "404.001.03", "Invalid Access Token")
    for form, status in (("400.003.01", 400), ("401.002.01", 401), ("401.003.01", 401)):
        sim.set_knobs({"gateway.invalid_token": form})
        assert paybill.push().error == (status, form, "Invalid Access Token")


def test_a_product_added_later_needs_a_new_token(sim: Simulator, paybill: Shop) -> None:
    sim.set_products(paybill.key, [])
    status, code, text = paybill.push().error
    assert (status, code) == (401, "401.002.01")
    assert text.endswith("Invalid API call as no apiproduct match found")
    sim.set_products(paybill.key, ["M-PESA EXPRESS"])
    assert paybill.push().status == 401
    paybill.bearer = ""
    assert paybill.push().status == 200


def test_paths_verbs_and_headers(sim: Simulator, paybill: Shop) -> None:
    base, order = sim.base_url, paybill.order()
    assert ask(base, "POST", "/mpesa/stkpush/v9/processrequest", order).error == (
        404,
        "404.001.01",
        "Resource not found",
    )
    assert ask(base, "GET", PUSH).error == (405, "405.001", "GET Method Not Allowed")
    assert ask(base, "POST", PUSH, order).error == (404, "404.001.04", "Invalid Authentication Header")
    assert paybill.post(PUSH, order, Authorization="Bearer nonsense").error[1] == "404.001.03"
    sim.set_knobs({"gateway.wrong_verb": "404.001.04"})
    assert ask(base, "GET", QUERY).error == (404, "404.001.04", "Invalid Authentication Header")


def test_bodies_that_are_no_json(paybill: Shop) -> None:
    invalid_shortcode = (400, "400.002.02", "Bad Request - Invalid BusinessShortCode")
    form = "application/x-www-form-urlencoded"
    assert paybill.post(PUSH, b"BusinessShortCode=174379", Content_Type=form).error == invalid_shortcode
    assert paybill.post(PUSH, paybill.order(), Content_Type="text/plain").error == invalid_shortcode
    assert paybill.post(PUSH, b"{").error == (400, "400.002.05", "Invalid Request Payload")
    assert paybill.post(PUSH, []).error == (400, "400.002.05", "Invalid Request Payload")
    assert paybill.post(PUSH, {}).error == invalid_shortcode


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("BusinessShortCode", "1743"), ("BusinessShortCode", None), ("Password", ""), ("Timestamp", "20261301000000"),
        ("Timestamp", "2026112114050"), ("TransactionType", "PayBill"), ("Amount", "0"), ("Amount", "1.5"),
        ("Amount", 1.0), ("Amount", "-5"), ("Amount", True), ("PartyA", "0712345678"),
        ("PartyB", "x"), ("PhoneNumber", "254201234567"),
        ("PhoneNumber", "25471234567"), ("CallBackURL", ""), ("CallBackURL", "https://pay.example.net/h/s/ab"),
        ("CallBackURL", "http://192.168.1.10/h"), ("CallBackURL", "http://localhost.example.net/h"),
        ("CallBackURL", "http://127.0.0.1:0x/h"), ("CallBackURL", "http://127.0.0.1/a b"), ("AccountReference", ""),
        ("AccountReference", "THIRTEENCHARS"), ("AccountReference", "A@B"), ("TransactionDesc", "fourteen chars"),
    ],
)  # fmt: skip
def test_each_field_of_a_push_is_checked(paybill: Shop, field: str, value: object) -> None:
    assert paybill.post(PUSH, paybill.order() | {field: value}).error == (
        400,
        "400.002.02",
        f"Bad Request - Invalid {field}",
    )


def test_numbers_may_be_json_numbers(paybill: Shop) -> None:
    assert paybill.push(
        BusinessShortCode=174379, Amount=50, PartyA=254712345678, PartyB=174379, PhoneNumber=254712345678
    ).status == 200  # fmt: skip


def test_transaction_desc_is_optional(paybill: Shop) -> None:
    order = paybill.order()
    del order["TransactionDesc"]
    assert paybill.post(PUSH, order).status == 200


@pytest.mark.parametrize("word", ["mpesa", "M-Pesa", "Safaricom", "exec", "cmd", "mySQL", "Query"])
def test_words_in_the_callback_url(sim: Simulator, paybill: Shop, word: str) -> None:
    url = paybill.callback_url.replace("/h/", f"/{word}/")
    refused = paybill.push(CallBackURL=url)
    assert refused.error == (400, "400.003.02", "Bad Request")
    assert "CallBackURL contains" in refused.headers["X-Simulator-Reason"]
    sim.set_knobs({"gateway.url_refusal": "400.002.02"})
    assert paybill.push(CallBackURL=url).error[2] == "Bad Request - Invalid CallBackURL"
    sim.set_knobs({"gateway.url_words": "lenient"})
    assert paybill.push(CallBackURL=url).status == 200


def test_wrong_merchant_and_wrong_passkey(sim: Simulator, paybill: Shop, till: Shop) -> None:
    unknown = (500, "500.001.1001", "Merchant does not exist")
    assert paybill.push(BusinessShortCode="999999").error == unknown
    assert paybill.push(**till.signed()).error == unknown
    paybill.passkey = "wrong"
    assert paybill.push().error == (500, "500.001.1001", "Wrong credentials")
    assert paybill.query("ws_CO_1").error == (500, "500.001.1001", "Wrong credentials")
    sim.set_knobs({"stk.wrong_credentials": "live"})
    assert paybill.push().error[2] == "[MerchantValidate] - Wrong credentials"


def test_the_till_trap(sim: Simulator, till: Shop, receiver: Receiver) -> None:
    """Build sheet section 4: the till number in BusinessShortCode, or a type or PartyB that does not fit."""
    swapped = Shop(sim, receiver.url, "600200", "till-passkey", "till-key", "till-secret", "600200")
    refused = swapped.push()
    assert refused.error == (500, "500.001.1001", "Merchant does not exist")
    assert "store number" in refused.headers["X-Simulator-Reason"]
    sim.set_knobs({"stk.till_as_shortcode": "async"})
    for code in ("2028", "SFC_IC0003", "2002"):
        sim.set_knobs({"stk.mismatch_code": code})
        assert swapped.push().status == 200
        sim.advance(1)
    assert receiver.codes == [2028, "SFC_IC0003", 2002]
    sim.set_knobs({"stk.mismatch_code": "2028"})
    till.bearer = ""
    assert till.push(BARAKA, PartyB="600100").status == 200
    assert till.push("254700000001", TransactionType="CustomerPayBillOnline").status == 200
    sim.advance(1)
    assert receiver.codes[3:] == [2028, 2028]
    sim.set_knobs({"stk.refuse_buy_goods": True})
    assert till.push().error[2] == "Bad Request - Invalid TransactionType"


def test_a_long_reference_or_prompt(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    sim.set_knobs({"stk.long_reference": "truncate"})
    paybill.push(AccountReference="THIRTEENCHARS")
    assert sim.prompts(ASHA)[0].reference == "THIRTEENCHAR"
    sim.set_knobs({"stk.long_reference": "code_1025"})
    paybill.push(BARAKA, AccountReference="THIRTEENCHARS")
    sim.add_app("long", "s", "777000", passkey="p", name="N" * 170)
    Shop(sim, receiver.url, "777000", "p", "long", "s").checkout("254700000001")
    sim.advance(1)
    assert receiver.codes == [1025, 1025]


def test_query_knows_only_the_shortcodes_own_pushes(sim: Simulator, paybill: Shop, till: Shop) -> None:
    invalid = (400, "400.002.02", "Bad Request - Invalid CheckoutRequestID")
    checkout = till.checkout()
    assert paybill.query(checkout).error == invalid
    assert paybill.query("ws_CO_21112026140500").error == invalid
    assert paybill.query("").error == invalid
    assert paybill.query(checkout, Timestamp="x").error[2] == "Bad Request - Invalid Timestamp"
