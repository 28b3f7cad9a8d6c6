"""What a browser holds: auto-renew switched on and off, and what came and went of its money; nobody else's."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from tenants import catalog, checkout, ledger, subscribers
from tenants.checkout import Renewal
from tests.browser_client import Browser
from tests.portal.counter import Counter
from tests.portal.customer import Customer, nonce_of
from tests.portal.test_balance import check_books, left_over, pays_in
from tests.portal.test_cost import OUTER
from tests.portal.test_line import _pays, add_line
from tests.world import Isp
from wavu import clock
from wavu.db import db, transaction
from wavu.tenancy import current_tenant, tenant_scope


def bought(customer: Customer, counter: Counter, isp: Isp, spare_cents: int = 0) -> str:
    """A day for KES 50, paid with so much more."""
    nonce = customer.buys(isp)
    left_over(counter, isp, nonce, 5_000 + spare_cents)
    return nonce


def renewals(counter: Counter, isp: Isp) -> list[Renewal]:
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        found = list(db.session.scalars(select(Renewal).order_by(Renewal.id)))
        for one in found:
            db.session.expunge(one)
        return found


def presses(customer: Customer, isp: Isp, button: str, **changes: str) -> str:
    """Presses a button of the page in front; what the page that follows says."""
    (form,) = [form for form in customer.browser.page.select("form") if button in form.get_text()]
    fields = {str(field["name"]): str(field["value"]) for field in form.select("input")} | changes
    answer = customer.browser.post(isp.host, str(form["action"]), fields)
    if answer.status_code == 303:
        customer.browser.get(isp.host, answer.location or "")
    return customer.text


def renew_now(counter: Counter, isp: Isp) -> None:
    """The clock comes by on the last day."""
    (found,) = [one for one in renewals(counter, isp) if one.state == "on"]
    with (
        clock.fixed(clock.now() + timedelta(hours=20)), counter.app.app_context(), tenant_scope(isp.id), transaction()
    ):  # fmt: skip
        checkout.renewals.renew(found.id)


def test_a_customer_switches_it_on_and_off(customer: Customer, counter: Counter) -> None:
    isp, other = counter.world.a, counter.world.b
    nonce = bought(customer, counter, isp)
    customer.opens(isp)
    (link,) = (a for a in customer.browser.page.select("main a") if "My packages" in a.text)
    customer.browser.get(isp.host, str(link["href"]))
    assert "Let your balance renew it for KES 50 each time" in customer.text
    assert "Auto-renew is on." in presses(customer, isp, "Switch auto-renew on")
    (made,) = renewals(counter, isp)
    assert (made.state, made.agreed_cents, made.set_by, made.mac) == ("on", 5_000, None, "02ABCD000001")
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        number = subscribers.number_for(made.subscriber_id, made.purchase_id)
    assert number in customer.text, "where money for it can be paid in"
    customer.browser.get(isp.host, "/mine?lang=sw")
    assert "Kujisasisha kumewashwa." in customer.text
    assert "Kujisasisha kumezimwa" in presses(customer, isp, "Zima kujisasisha")
    assert [one.state for one in renewals(counter, isp)] == ["off"]
    assert renewals(counter, other) == []
    assert customer.browser.get(other.host, f"/mine?with={nonce}").status_code == 200
    assert "Nothing that runs was bought" in customer.text, "it is another ISP's"


def test_too_little_is_said_and_a_higher_price_asks(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    bought(customer, counter, isp, spare_cents=2_000)
    customer.browser.get(isp.host, "/mine")
    presses(customer, isp, "Switch auto-renew on")
    renew_now(counter, isp)
    customer.browser.get(isp.host, "/mine")
    assert "There was not enough money. Pay it in" in customer.text
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        for package in catalog.on_sale("hotspot"):
            package.price_cents += 1_000
    customer.browser.get(isp.host, "/mine")
    assert "The price has changed to KES 60" in customer.text
    assert "The price has changed. Look at it and press again." in presses(customer, isp, "Agree to", agreed="5000")
    customer.browser.get(isp.host, "/mine")
    presses(customer, isp, "Agree to KES 60")
    assert [one.agreed_cents for one in renewals(counter, isp)] == [6_000]
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        for package in catalog.on_sale("hotspot"):
            package.on_sale = False
    renew_now(counter, isp)
    customer.browser.get(isp.host, "/mine")
    assert "this package is not sold any more" in customer.text
    check_books(counter)


def test_money_that_is_left_renews_it_and_the_history_tells(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = bought(customer, counter, isp, spare_cents=7_000)
    customer.browser.get(isp.host, "/mine")
    presses(customer, isp, "Switch auto-renew on")
    renew_now(counter, isp)
    customer.browser.get(isp.host, "/mine/money?of=hotspot")
    lines = [" ".join(line.get_text(" ").split()) for line in customer.browser.page.select(".facts")]
    assert "1 day, by itself" in lines[0]
    assert "KES 50" in lines[0]
    assert "KES 20 left" in lines[0]
    assert "Left now: KES 20" in customer.text
    assert any("You paid" in line and "+KES 120" in line for line in lines)
    assert "used by our team" not in customer.text
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        owner = checkout.find_purchase(nonce).subscriber_id
        ledger.post("refund_reserved", "rf:x", [
            ledger.Leg(ledger.wallet(owner), -1_500), ledger.Leg(ledger.REFUND_PENDING, 1_500)])  # fmt: skip
    customer.browser.get(isp.host, "/mine/money?of=hotspot")
    assert "used by our team: \N{MINUS SIGN}KES 15" in customer.text
    check_books(counter)


def test_the_history_is_paged_by_key(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = bought(customer, counter, isp)
    for n in range(25):
        pays_in(counter, isp, nonce, 100, f"TKP{n:07}")
    customer.browser.get(isp.host, "/mine/money")
    seen = re.findall(r"TKP\d{7}", customer.text)
    (link,) = (a for a in customer.browser.page.select("main a") if a.text == "Earlier")
    customer.browser.get(isp.host, str(link["href"]))
    rest = re.findall(r"TKP\d{7}", customer.text)
    assert len(seen) == 20
    assert len(set(seen) | set(rest)) == 25
    assert not set(seen) & set(rest)
    for strange in ("x", "1.x", "9" * 30 + ".x", f"1.{nonce}", "-5.1", "٣.1"):
        assert customer.browser.get(isp.host, f"/mine/money?before={strange}").status_code == 200


def test_each_page_sends_three_statements_at_most(customer: Customer, counter: Counter, statements: list[str]) -> None:
    isp = counter.world.a
    bought(customer, counter, isp)
    customer.browser.get(isp.host, "/mine")
    presses(customer, isp, "Switch auto-renew on")
    for path in ("/mine", "/mine/money"):
        customer.browser.get(isp.host, path)
        statements.clear()
        page = customer.browser.get(isp.host, path)
        assert len([sql for sql in statements if not sql.startswith(OUTER)]) <= 3, path
        assert len(page.data) < 20 * 1024


def test_a_stranger_sees_and_switches_nothing(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = bought(customer, counter, isp, spare_cents=7_000)
    stranger = Customer(Browser(counter.app), counter)
    for path in ("/mine", "/mine/money"):
        stranger.browser.get(isp.host, path)
        assert not re.search(r"KES [1-9]", stranger.text)
    answer = stranger.browser.post(isp.host, f"/w/{nonce}/renew", {"agreed": "5000"})
    assert (answer.location or "").endswith("said=unknown")
    assert renewals(counter, isp) == []
    evil = customer.browser.post(
        isp.host, f"/w/{nonce}/renew", {"agreed": "5000"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert evil.status_code == 404
    assert renewals(counter, isp) == []
    for wrong in ({}, {"agreed": "x"}, {"agreed": "9" * 40}):
        assert customer.browser.post(isp.host, f"/w/{nonce}/renew", wrong).status_code == 303
    assert customer.browser.post(isp.host, "/w/x/renew", {"agreed": "5000"}).status_code == 303
    assert renewals(counter, isp) == []
    assert customer.browser.get(isp.host, f"/w/{nonce}/renew").status_code == 302


def test_a_lines_page_says_no_day_and_no_amount(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    add_line(counter, counter.world.b)
    line = add_line(counter, isp)
    nonce = nonce_of(_pays(customer, isp, line.number))
    pays_in(counter, isp, nonce, 150_000, "TKN0000003")
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        checkout.fulfilment.buy(checkout.find_purchase(nonce))
        # Somebody else's money for the same line.
        owner = checkout.find_purchase(nonce).subscriber_id
        ledger.post("desk_in", "desk:x", [
            ledger.Leg(ledger.cash(owner), -33_300), ledger.Leg(ledger.wallet(owner), 33_300)])  # fmt: skip
    customer.browser.get(isp.host, "/mine")
    assert "Auto-renew is on." in presses(customer, isp, "Switch auto-renew on")
    assert "Paid until" not in customer.text
    for path in ("/mine", "/mine/money?of=pppoe"):
        customer.browser.get(isp.host, path)
        for word in ("Kamau", "kamau", "333", "0733", f"{clock.now() + timedelta(days=31):%d %b}"):
            assert word not in customer.text.replace(line.number, ""), (path, word)
    with (
        clock.fixed(clock.now() + timedelta(days=31)), counter.app.app_context(), tenant_scope(isp.id), transaction()
    ):  # fmt: skip
        checkout.renewals.renew(db.session.scalars(select(Renewal.id)).one())
    customer.browser.get(isp.host, "/mine")
    assert "There was not enough money" in customer.text
    assert "1,167" not in customer.text, "not how much is missing"


@pytest.mark.parametrize("theme", ["mtaa", "nyumba"])
def test_both_themes_show_both_pages(customer: Customer, counter: Counter, theme: str) -> None:
    isp = counter.world.a
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        current_tenant().theme = theme
    bought(customer, counter, isp)
    for path in ("/mine", "/mine/money"):
        assert customer.browser.get(isp.host, path).status_code == 200
        assert len(customer.browser.page.select("h1")) == 1
