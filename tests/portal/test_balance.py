"""Money that is left, on the portal: shown to the browser whose purchase brought it, and spent with one tap."""

from __future__ import annotations

import pytest

from tenants import checkout, ledger, mpesa, payments
from tenants.payments import receipts
from tenants.payments.receipts import Report
from tests.browser_client import Browser
from tests.portal.counter import MAC, Counter
from tests.portal.customer import Customer, nonce_of
from tests.portal.test_cost import OUTER
from tests.world import Isp
from wavu.db import transaction
from wavu.tenancy import tenant_scope

COOKIE = "__Host-wavu-bought"


def pays_in(counter: Counter, isp: Isp, nonce: str, cents: int, receipt: str) -> None:
    """Money of a prompt of this purchase, beside what paid it."""
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        intent = payments.latest_intent(checkout.find_purchase(nonce).id)
        assert receipts.credit(mpesa.active_account(), Report(receipt, cents, "test"), intent=intent)


def _left(customer: Customer, counter: Counter, isp: Isp, cents: int = 5_000) -> str:
    """A purchase that was paid, and so much too much."""
    nonce = customer.buys(isp)
    left_over(counter, isp, nonce, cents + 5_000)
    return nonce


def left_over(counter: Counter, isp: Isp, nonce: str, cents: int) -> None:
    """So much comes in for a purchase of KES 50, and it is bought."""
    pays_in(counter, isp, nonce, cents, f"TKL{int(nonce[:6], 16) % 10**7:07}")
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        purchase = checkout.find_purchase(nonce)
        wallet = ledger.wallet(purchase.subscriber_id)
        ledger.post("purchase", f"buy:{purchase.id}", [
            ledger.Leg(wallet, -5_000), ledger.Leg(ledger.INCOME_ACCESS, 5_000)])  # fmt: skip
    counter.paid(isp, nonce)


def check_books(counter: Counter) -> None:
    for isp in (counter.world.a, counter.world.b):
        with counter.app.app_context(), tenant_scope(isp.id), transaction():
            assert ledger.audit() == []


def test_one_tap_pays_from_the_balance(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = _left(customer, counter, isp)
    customer.looks(isp, nonce)
    assert "KES 50 came in that this package did not need." in customer.text
    for language, words in (("en", "You have KES 50 here"), ("sw", "Una KES 50 hapa")):
        customer.opens(isp, language)
        assert words in customer.text
        assert "0712 ••• 678" in customer.text
    before = len(counter.intents(isp))
    page = customer.browser.page
    second = nonce_of(customer.pays(isp, "", pay="balance"))
    customer.browser.page = page
    again = nonce_of(customer.pays(isp, "", pay="balance"))
    assert (again, len(counter.intents(isp))) == (second, before)
    customer.looks(isp, second)
    assert "From your balance KES 50" in customer.text
    assert "It starts by itself when your running package ends." in customer.text
    customer.opens(isp)
    assert "You have KES" not in customer.text
    check_books(counter)


def test_the_rest_is_asked_from_the_phone_that_paid(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    _left(customer, counter, isp, 2_000)
    counter.answer(isp, counter.purchases(isp)[0].nonce, "succeeded", ago=700)
    customer.opens(isp)
    customer.pays(isp, "", pay="balance", package=str(counter.packages[isp.id]["week"]))
    asked = counter.intents(isp)[-1]
    assert (asked.amount_cents, asked.phone) == (23_000, "+254712345678")


def test_a_browser_without_cookies_carries_the_name_along(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = _left(customer, counter, isp)
    customer.browser.client.delete_cookie(COOKIE, domain=isp.host)
    customer.opens(isp)
    assert "You have KES" not in customer.text
    customer.looks(isp, nonce)
    (link,) = (a for a in customer.browser.page.select("main a") if "Use it for another package" in a.text)
    customer.browser.get(isp.host, str(link["href"]))
    assert "You have KES 50 here" in customer.text
    assert customer.form()["state"]
    second = nonce_of(customer.pays(isp, "", pay="balance"))
    assert counter.purchases(isp)[-1].nonce == second
    assert counter.purchases(isp)[-1].mac == MAC.replace(":", "")


def test_nobody_else_sees_or_spends_it(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = _left(customer, counter, isp)
    stranger = Customer(Browser(counter.app), counter)
    stranger.opens(isp)
    assert "You have KES" not in stranger.text, "the same MAC address is no proof"
    said = stranger.refused(isp, pay="balance")
    assert "That money is spent already." in stranger.text
    assert said.status_code == 200
    customer.opens(counter.world.b)
    assert "You have KES" not in customer.text
    stranger.browser.client.set_cookie(COOKIE, f"{nonce[:-1]}.../'; DROP.{'0' * 32}", domain=isp.host)
    stranger.opens(isp)
    assert "You have KES" not in stranger.text


def test_the_cookie_is_this_hosts_alone(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    names = []
    for number in range(10):
        customer.opens(isp)
        response = customer.pays(isp, f"0712 000 {number:03}")
        names.append(nonce_of(response))
        (cookie,) = [value for value in response.headers.getlist("Set-Cookie") if value.startswith(COOKIE)]
        for rule in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
            assert rule in cookie
        assert "Domain" not in cookie
    kept = customer.browser.client.get_cookie(COOKIE, domain=isp.host)
    assert kept is not None
    assert kept.value == ".".join(reversed(names[-8:]))


def test_part_of_the_price_is_shown_with_what_is_missing(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, "review", "amount", ago=200)
    pays_in(counter, isp, nonce, 2_000, "TKN0000002")
    assert customer.state(isp, nonce) == "short"
    for language, words in (("en", "KES 20 has come in"), ("sw", "KES 20 zimefika")):
        customer.looks(isp, nonce, language)
        assert words in customer.text
        assert "KES 30" in customer.text
    customer.looks(isp, nonce)
    (form,) = customer.browser.page.select("form")
    customer.browser.post(isp.host, str(form["action"]))
    assert counter.intents(isp)[-1].amount_cents == 3_000


@pytest.mark.parametrize("hotspot", [True, False])
def test_the_shop_still_sends_three_statements(
    customer: Customer, counter: Counter, statements: list[str], hotspot: bool
) -> None:
    isp = counter.world.a
    _left(customer, counter, isp)

    def opened() -> int:
        statements.clear()
        page = customer.opens(isp) if hotspot else customer.browser.get(isp.host)
        assert "You have KES 50 here" in page.text.replace("\N{NO-BREAK SPACE}", " ")
        return len([sql for sql in statements if not sql.startswith(OUTER)])

    # Every three seconds a page looks at the gateways too, which on a slow machine is any of these.
    assert min(opened() for _ in range(4)) == 3


def test_what_is_bought_while_a_package_runs_says_before_that_it_waits(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    customer.opens(isp)
    assert "What you buy now starts when it ends: Tomorrow, " in customer.text
    stranger = Customer(Browser(counter.app), counter)
    stranger.opens(isp, mac="02:AB:CD:00:00:09")
    assert "What you buy now starts" not in stranger.text
