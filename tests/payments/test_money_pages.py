"""The Money pages of the console: what came in, and whose it is."""

from __future__ import annotations

import re

import pytest

from tests.browser_client import Browser
from tests.payments.test_by_hand import _balances, _number, _pull, _register, _two_minutes_later
from tests.shop import Shop
from tests.world import Someone

CONSOLE = "console.wavu.localhost"
STRANGER = "254722000111"


def _at(shop: Shop, someone: Someone) -> Browser:
    browser = Browser(shop.app)
    browser.sign_in(CONSOLE, someone)
    return browser


def _pay(shop: Shop, number: str, account: str, amount: int = 50) -> str:
    receipt: str = shop.sim.pay(STRANGER, number, amount, account).receipt
    shop.sim.wait_idle()
    shop.work("settle_report")
    return receipt


@pytest.fixture
def paid(shop: Shop) -> tuple[Shop, list[str]]:
    """Two payments to A of which one is nobody's, and one to B."""
    _register(shop)
    of_a = [_pay(shop, "600100", _number(shop, shop.world.a.id), 40), _pay(shop, "600100", "WRONG 1")]
    shop.sim.set_knobs({"callback.drop": 1})
    of_b = _pay(shop, "5123456", "")
    _pull(shop)
    _two_minutes_later(shop)
    return shop, [*of_a, of_b]


def test_each_isp_sees_its_own_receipts_once(paid: tuple[Shop, list[str]]) -> None:
    shop, (owned, unknown, of_b) = paid
    browser = _at(shop, shop.world.a.owner)
    browser.get(CONSOLE, "/money")
    assert f"{owned} Received KES 40 2547••••678 Paid by hand" in browser.text
    assert f"{unknown} Unmatched KES 50" in browser.text
    assert of_b not in browser.text
    browser.get(CONSOLE, f"/money?q={owned.lower()}")
    assert owned in browser.text
    assert unknown not in browser.text
    browser.get(CONSOLE, f"/money?q={of_b}")
    assert "No payment with this receipt has come in" in browser.text
    other = _at(shop, shop.world.b.owner)
    other.get(CONSOLE, "/money")
    assert of_b in other.text
    assert owned not in other.text


def test_an_owner_matches_a_payment_and_it_is_written_down(paid: tuple[Shop, list[str]]) -> None:
    shop, (_, unknown, _) = paid
    browser, number = _at(shop, shop.world.a.owner), _number(shop, shop.world.a.id)
    page = browser.get(CONSOLE, "/money/unmatched").text
    assert unknown in browser.text
    (path,) = re.findall(r"/money/unmatched/[0-9a-f-]{36}", page)
    for account, amount, said in (
        ("", "50", "Fill this in."), (number, "fifty", "An amount looks like"), (number, "50.01", "There is less left"),
        (number, "0", "There is less left"), ("99999999", "50", "No customer has this"),
    ):  # fmt: skip
        browser.get(CONSOLE, path)
        answer = browser.post(CONSOLE, path, {"account": account, "amount": amount})
        assert answer.status_code in {409, 422, 400}, said
        assert said in browser.text
    assert _balances(shop, shop.world.a.id) == (4000, 5000)
    browser.get(CONSOLE, path)
    assert browser.post(CONSOLE, path, {"account": number, "amount": "20"}).status_code == 302
    browser.get(CONSOLE, path)
    assert "KES 30 of KES 50" in browser.text
    browser.post(CONSOLE, path, {"account": "0712 345 678", "amount": "30"})
    assert _balances(shop, shop.world.a.id) == (9000, 0)
    browser.get(CONSOLE, "/money/unmatched")
    assert "Every payment has an owner" in browser.text
    browser.get(CONSOLE, "/activity")
    assert "Payment matched to a customer" in browser.text
    assert unknown in browser.text
    shop.check_books()


def test_a_cashier_sees_money_and_matches_none(paid: tuple[Shop, list[str]]) -> None:
    shop, _ = paid
    browser = _at(shop, shop.world.a.cashier)
    assert browser.get(CONSOLE, "/money").status_code == 200
    owner = _at(shop, shop.world.a.owner)
    (path,) = re.findall(r"/money/unmatched/[0-9a-f-]{36}", owner.get(CONSOLE, "/money/unmatched").text)
    assert path not in browser.get(CONSOLE, "/money/unmatched").text
    browser.get(CONSOLE, "/account")
    assert browser.post(CONSOLE, path, {"account": "0712345678", "amount": "50"}).status_code == 403
    assert _balances(shop, shop.world.a.id) == (4000, 5000)


def test_what_is_reported_and_not_proven_is_shown_until_it_is(paid: tuple[Shop, list[str]]) -> None:
    shop, _ = paid
    shop.sim.reset_knobs()
    receipt = shop.sim.pay(STRANGER, "600100", 30, "WRONG 2").receipt
    shop.sim.wait_idle()
    shop.admin.execute("UPDATE inbound_event SET peer = '203.0.113.9' WHERE processed_at IS NULL")
    shop.work("settle_report")
    browser = _at(shop, shop.world.a.owner)
    browser.get(CONSOLE, "/money/unmatched")
    assert f"{receipt} KES 30" in browser.text
    assert "Reported, not proven" in browser.text
    other = _at(shop, shop.world.b.owner)
    other.get(CONSOLE, "/money/unmatched")
    assert receipt not in other.text
    _pull(shop)
    browser.get(CONSOLE, "/money/unmatched")
    assert "Reported, not proven" not in browser.text


def _enter(shop: Shop, browser: Browser, receipt: str, amount: str, customer: str) -> int:
    browser.get(CONSOLE, "/money/enter")
    data = {"receipt": receipt, "amount": amount, "account": customer}
    return browser.post(CONSOLE, "/money/enter", data).status_code


def test_a_receipt_that_a_customer_shows_counts_at_once_and_is_proven_later(shop: Shop) -> None:
    _register(shop)
    shop.sim.set_knobs({"callback.drop": 1})
    receipt = shop.sim.pay(STRANGER, "600100", 50, "WRONG").receipt
    browser, number = _at(shop, shop.world.a.owner), _number(shop, shop.world.a.id)
    assert _enter(shop, browser, f" {receipt.lower()} ", "50", number) == 302
    assert _balances(shop, shop.world.a.id) == (5000, 0)
    browser.get(CONSOLE, "/money")
    assert f"{receipt} Not proven yet KES 50" in browser.text
    assert _enter(shop, browser, receipt, "50", number) == 409
    assert "has come in already" in browser.text
    shop.work("pull_payments")
    shop.admin.execute("UPDATE outbox SET run_at = now() WHERE state = 'ready'")
    shop.work("pull_payments", "settle_report")
    browser.get(CONSOLE, "/money")
    assert f"{receipt} Received KES 50" in browser.text
    assert _balances(shop, shop.world.a.id) == (5000, 0)
    browser.get(CONSOLE, "/activity")
    assert f"Payment entered by hand {receipt}" in browser.text
    shop.check_books()


@pytest.mark.parametrize(
    ("receipt", "amount", "customer", "said"),
    [
        ("UKO7RT61S", "50", "0712345678", "ten letters and digits"),
        ("OAK0000000", "50", "0712345678", "ten letters and digits"),
        ("UKO7RT61SV", "5000.01", "0712345678", "Up to KES 5,000"),
        ("UKO7RT61SV", "0", "0712345678", "Up to KES 5,000"),
        ("UKO7RT61SV", "many", "0712345678", "An amount looks like"),
        ("UKO7RT61SV", "50", "0733999888", "No customer has this"),
        ("", "50", "0712345678", "Fill this in."),
    ],
)
def test_what_cannot_be_entered_is_said(shop: Shop, receipt: str, amount: str, customer: str, said: str) -> None:
    browser = _at(shop, shop.world.a.owner)
    _number(shop, shop.world.a.id)
    assert _enter(shop, browser, receipt, amount, customer) in {400, 422}
    assert said in browser.text
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(0,)]


def test_a_cashier_enters_nothing(shop: Shop) -> None:
    browser = _at(shop, shop.world.a.cashier)
    assert browser.get(CONSOLE, "/money/enter").status_code == 403


@pytest.mark.parametrize("path", ["/money?q=%00", "/money/desk?q=%00", "/money?q=%F0%9F%98%80%0B", "/money?before=%00"])
def test_a_character_that_is_none_is_bad_input_and_no_bug(shop: Shop, path: str) -> None:
    assert _at(shop, shop.world.a.owner).get(CONSOLE, path).status_code in {200, 400}
