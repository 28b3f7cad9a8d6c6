"""Airtel's callbacks are claims: forged, foreign, replayed or malformed ones move no money; true ones always do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants.airtel import api
from tests.airtel.conftest import MSISDN, Counter


def _success(name: str, receipt: str = "MP261124.0900.L00001") -> bytes:
    told = {"id": name, "message": "Paid", "status_code": "TS", "airtel_money_id": receipt}
    return json.dumps({"transaction": told}).encode()


def _nothing_happened(counter: Counter) -> None:
    counter.settles()
    assert counter.shop.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    assert counter.shop.rows("SELECT count(*) FROM entitlement") == [(0,)]
    counter.check_books()


def test_an_unknown_token_is_nothing_here(counter: Counter) -> None:
    counter.asks()
    url = counter.callback_url(counter.a)
    assert counter.post(url[:-64] + "0" * 64, _success(counter.name())) == 404
    assert counter.post(url.replace("/h/a/", "/h/s/"), _success(counter.name())) == 404
    assert counter.shop.rows("SELECT count(*) FROM inbound_event") == [(0,)]


def test_a_forged_success_is_asked_about_and_moves_nothing(counter: Counter) -> None:
    nonce = counter.asks()
    assert counter.post(counter.callback_url(counter.a), _success(counter.name())) == 200
    _nothing_happened(counter)
    assert counter.state(nonce)[0] == "prompted"
    counter.airtel.answer(counter.name(), "pay")
    counter.settles()
    paid = counter.airtel.payment(counter.name())
    assert counter.shop.rows("SELECT receipt FROM provider_receipt") == [(paid.money_id,)], "Airtel's, not the forger's"
    counter.check_books()


def test_a_forged_no_ends_nothing(counter: Counter) -> None:
    nonce = counter.asks()
    body = json.dumps({"transaction": {"id": counter.name(), "message": "no", "status_code": "TF"}}).encode()
    assert counter.post(counter.callback_url(counter.a), body) == 200
    counter.settles()
    assert counter.state(nonce)[0] == "prompted"


def test_another_isps_attempt_is_nobodys_at_this_address(counter: Counter) -> None:
    """B's token with A's attempt, and A's token on B's path."""
    counter.airtel.script(MSISDN, "ignore")
    counter.asks(counter.a)
    assert counter.post(counter.callback_url(counter.b), _success(counter.name())) == 200
    _nothing_happened(counter)
    assert counter.shop.rows("SELECT tenant_id, intent_id FROM inbound_event") == [(counter.b, None)]
    crossed = counter.callback_url(counter.a).replace(str(counter.a), str(counter.b))
    assert counter.post(crossed, _success(counter.name())) == 404


def test_a_doubled_callback_credits_once(counter: Counter) -> None:
    counter.airtel.set_knobs({"callback.copies": 5})
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.settles()
    counter.airtel.resend(counter.name())
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    assert counter.shop.rows("SELECT count(*) FROM provider_receipt") == [(1,)]
    counter.check_books()


def test_a_late_callback_comes_to_what_was_found_by_asking(counter: Counter) -> None:
    counter.airtel.set_knobs({"callback.delay": 3600})
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.later(46)
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    counter.later(3600)
    counter.settles()
    assert counter.shop.rows("SELECT outcome FROM inbound_event") == [("held",)]
    assert counter.shop.rows("SELECT count(*) FROM provider_receipt") == [(1,)]
    counter.check_books()


@pytest.mark.parametrize("spaces", [False, True])
def test_a_signed_callback_is_believed(counter: Counter, spaces: bool) -> None:
    counter.signs("private-key-of-a")
    counter.airtel.set_knobs({"callback.spaces": spaces})
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.airtel.wait_idle()
    counter.shop.work("settle_callback")
    assert counter.state(nonce)[0] == "paid"
    assert counter.shop.rows("SELECT source FROM provider_receipt") == [("airtel callback",)]
    assert not [path for path in counter.airtel.requests if "standard" in path], "nobody had to be asked"
    counter.check_books()


def test_a_signed_no_is_believed(counter: Counter) -> None:
    counter.signs("private-key-of-a")
    counter.airtel.script(MSISDN, "refuse")
    nonce = counter.asks()
    counter.airtel.wait_idle()
    counter.shop.work("settle_callback")
    assert counter.state(nonce) == ("failed", "TF")


def test_a_wrong_signature_is_a_claim_like_any_other(counter: Counter) -> None:
    counter.signs("private-key-of-a")
    counter.airtel.set_callback("client-a", counter.callback_url(counter.a), "another key")
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.airtel.wait_idle()
    counter.shop.work("settle_callback")
    assert counter.state(nonce)[0] == "prompted"
    counter.settles()
    assert counter.state(nonce)[0] == "paid", "asked, and proven"
    assert counter.shop.rows("SELECT source FROM provider_receipt") == [("airtel query",)]
    counter.check_books()


@pytest.mark.parametrize(
    "around",
    ['{"old":{"transaction":%s},"hash":"%s","transaction":%s}', '{"transaction":%s,"hash":"%s","transaction":%s}'],
)
def test_a_signature_stands_for_its_own_transaction_only(counter: Counter, around: str) -> None:
    """Whoever has seen a true callback must not make another attempt paid with it."""
    counter.signs("private-key-of-a")
    # Written with spaces, so that only its own text in the body has the hash.
    counter.airtel.set_knobs({"callback.spaces": True})
    counter.airtel.script(MSISDN, "pay")
    counter.asks()
    counter.settles()
    true = counter.airtel.sent[-1].body.decode()
    said = json.loads(true)
    start = true.index("{", 1)
    transaction = true[start : json.JSONDecoder().raw_decode(true, start)[1]]
    counter.later(200)
    counter.airtel.set_knobs({"callback.spaces": True})
    nonce = counter.asks(phone="0733999888")
    forged = json.dumps(said["transaction"] | {"id": counter.name(), "airtel_money_id": "MP000000.0000.L00000"})
    assert counter.post(counter.callback_url(counter.a), (around % (transaction, said["hash"], forged)).encode()) == 200
    counter.settles()
    assert counter.state(nonce)[0] == "prompted"
    counter.check_books()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"transaction":[]}', b"\x00", b'{"transaction":{"id":1}}'])
def test_what_cannot_be_read_is_stored_and_moves_nothing(counter: Counter, body: bytes) -> None:
    counter.asks()
    assert counter.post(counter.callback_url(counter.a), body) == 200
    _nothing_happened(counter)
    assert counter.shop.rows("SELECT count(*) FROM inbound_event") == [(1,)]


def test_a_callback_waits_on_the_disk_while_the_database_is_away(counter: Counter) -> None:
    nonce = counter.asks()
    counter.airtel.set_knobs({"callback.lost": True})
    counter.airtel.answer(counter.name(), "pay")
    with counter.shop.without_database():
        counter.airtel.resend(counter.name())
        assert counter.airtel.sent[-1].status == 200
    counter.shop.spool.hand_in(counter.shop.app)
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    counter.check_books()


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_PARTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "message", "status_code", "airtel_money_id"), _JSON))


# How long a busy machine takes to think of an example says nothing of the product.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional={"transaction": _PARTS | _JSON, "hash": _JSON}))
def test_no_body_raises_and_no_made_up_hash_passes(said: dict[str, Any]) -> None:
    body = json.dumps(said).encode()
    read = api.read(body)
    assert read is None or (read.checkout_request_id and read.code in {"TS", "TF", "TE", "TA", "TIP"})
    assert not api.is_signed(body, "a private key")
