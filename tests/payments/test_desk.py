"""Cash and bank transfers, taken by staff at the console."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tenants import ledger, payments, subscribers
from tests.browser_client import Browser
from tests.payments.test_by_hand import _balances, _number
from tests.payments.test_money_pages import CONSOLE, _at
from tests.shop import PHONE, Shop
from wavu.db import transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope


def _open(shop: Shop, browser: Browser) -> tuple[str, str]:
    """(address of the form for the customer, its nonce)."""
    _number(shop, shop.world.a.id)
    path = browser.get(CONSOLE, "/money/desk?q=0712345678").location or ""
    assert re.fullmatch(r"/money/desk/take/[0-9a-f-]{36}", path)
    (nonce,) = re.findall(r'name="nonce"[^>]*value="(\w+)"', browser.get(CONSOLE, path).text)
    return path, nonce


def test_a_cashier_takes_cash_and_the_customer_has_it_and_a_receipt(shop: Shop) -> None:
    isp = shop.world.a
    browser = _at(shop, isp.cashier)
    path, nonce = _open(shop, browser)
    answer = browser.post(CONSOLE, path, {"nonce": nonce, "amount": "1,500.50", "method": "cash", "reference": "B 17"})
    assert answer.status_code == 302
    receipt = answer.location or ""
    browser.get(CONSOLE, receipt)
    assert "Receipt 1" in browser.text
    assert "KES 1,500.50" in browser.text
    assert _number(shop, isp.id) in browser.text
    assert _balances(shop, isp.id) == (150_050, 0)
    browser.get(CONSOLE, "/money/desk")
    assert "You hold KES 1,500.50 in cash." in browser.text
    assert browser.get(CONSOLE, "/activity").status_code == 403
    owner = _at(shop, isp.owner)
    owner.get(CONSOLE, "/activity")
    assert "Payment taken at the desk Receipt 1" in owner.text
    owner.get(CONSOLE, "/money/desk")
    assert "You hold" not in owner.text
    shop.check_books()


def test_pressing_twice_takes_once(shop: Shop) -> None:
    browser = _at(shop, shop.world.a.cashier)
    path, nonce = _open(shop, browser)
    data = {"nonce": nonce, "amount": "100", "method": "bank", "reference": ""}
    first, second = (browser.post(CONSOLE, path, data).location for _ in range(2))
    assert first == second
    assert _balances(shop, shop.world.a.id) == (10_000, 0)


def test_at_once_by_many_hands_numbers_have_no_gaps(shop: Shop) -> None:
    isp = shop.world.a
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        customer = subscribers.by_phone(Phone.parse(PHONE)).id

    def take(nonce: str) -> int:
        with shop.app.app_context(), tenant_scope(isp.id), transaction():
            return payments.take(
                nonce=nonce, subscriber_id=customer, method="cash", amount_cents=100, reference=None,
                by_id=isp.cashier.id, by="Cashier",
            ).number  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(take, [f"nonce {n % 12}" for n in range(24)]))
    assert sorted(set(numbers)) == list(range(1, 13)), "each nonce once, no number left out"
    assert _balances(shop, isp.id) == (1200, 0)
    shop.check_books()


@pytest.mark.parametrize("amount", ["", "0", "-5", "1e3", "ten", "1000000.01", "0.001", "1 500"])
def test_what_is_no_amount_is_refused_in_words(shop: Shop, amount: str) -> None:
    browser = _at(shop, shop.world.a.cashier)
    path, nonce = _open(shop, browser)
    answer = browser.post(CONSOLE, path, {"nonce": nonce, "amount": amount, "method": "cash", "reference": ""})
    assert answer.status_code == 422
    assert "Fill this in." in browser.text or "An amount looks like" in browser.text
    assert _balances(shop, shop.world.a.id) == (0, 0)


def test_a_method_that_is_none_is_refused(shop: Shop) -> None:
    browser = _at(shop, shop.world.a.cashier)
    path, nonce = _open(shop, browser)
    data = {"nonce": nonce, "amount": "5", "method": "mpesa", "reference": ""}
    assert browser.post(CONSOLE, path, data).status_code == 422
    assert _balances(shop, shop.world.a.id) == (0, 0)


def _taken(shop: Shop) -> tuple[Browser, str]:
    cashier = _at(shop, shop.world.a.cashier)
    path, nonce = _open(shop, cashier)
    data = {"nonce": nonce, "amount": "100", "method": "cash", "reference": ""}
    return cashier, cashier.post(CONSOLE, path, data).location or ""


def test_a_mistake_is_taken_back_by_a_manager_and_by_no_cashier(shop: Shop) -> None:
    cashier, receipt = _taken(shop)
    cashier.get(CONSOLE, receipt)
    assert cashier.post(CONSOLE, f"{receipt}/void", {"reason": "typo"}).status_code == 403
    owner = _at(shop, shop.world.a.owner)
    owner.get(CONSOLE, receipt)
    assert owner.post(CONSOLE, f"{receipt}/void", {"reason": ""}).status_code == 422
    assert owner.post(CONSOLE, f"{receipt}/void", {"reason": "typo"}).status_code == 302
    assert owner.post(CONSOLE, f"{receipt}/void", {"reason": "typo"}).status_code == 409
    owner.get(CONSOLE, receipt)
    assert "Taken back" in owner.text
    assert "typo" in owner.text
    assert _balances(shop, shop.world.a.id) == (0, 0)
    cashier.get(CONSOLE, "/money/desk")
    assert "You hold" not in cashier.text
    shop.check_books()


def test_money_that_is_spent_is_not_taken_back(shop: Shop) -> None:
    _, receipt = _taken(shop)
    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction():
        wallet = ledger.wallet(subscribers.by_phone(Phone.parse(PHONE)).id)
        ledger.post("purchase", "buy:x", [ledger.Leg(wallet, -5000), ledger.Leg(ledger.INCOME_ACCESS, 5000)])
    owner = _at(shop, shop.world.a.owner)
    owner.get(CONSOLE, receipt)
    assert owner.post(CONSOLE, f"{receipt}/void", {"reason": "typo"}).status_code == 409
    assert "has spent this money" in owner.text
    assert _balances(shop, shop.world.a.id) == (5000, 0)
    shop.check_books()


def test_another_isps_customers_and_payments_are_not_there(shop: Shop) -> None:
    _, receipt = _taken(shop)
    other = _at(shop, shop.world.b.owner)
    other.get(CONSOLE, "/money/desk")
    assert "Nothing was taken at the desk yet" in other.text
    other.get(CONSOLE, f"/money/desk?q={_number(shop, shop.world.a.id)}")
    assert "No customer has this account number" in other.text
    assert other.get(CONSOLE, receipt).status_code == 404
