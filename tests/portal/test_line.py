"""Paying for a line at home: whoever knows its account number may, and learns nothing of whose it is."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tenants import access, checkout, subscribers
from tenants.catalog import Package
from tenants.checkout import fulfilment
from tests.portal.counter import PHONE, Counter
from tests.portal.customer import Customer, nonce_of
from tests.portal.test_balance import check_books, pays_in
from tests.world import Isp
from wavu import clock, ids
from wavu.db import db, transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope
from wavu.web.security import limiter


class Line(NamedTuple):
    id: UUID
    number: str
    package_id: UUID


def add_line(counter: Counter, isp: Isp) -> Line:
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        made = subscribers.add_line(
            username="kamau", password="siri", name="Kamau wa Njoroge", phone=Phone.parse("0733 000 999")
        )
        package = Package(
            id=ids.new_id(), name="Home 10", name_sw="Nyumbani 10", price_cents=150_000, validity="months",
            validity_count=1, speed_down_bps=10_000_000, speed_up_bps=5_000_000, sold_on_hotspot=False,
            sold_on_pppoe=True,
        )  # fmt: skip
        db.session.add(package)
        return Line(made.id, subscribers.number_for(made.id), package.id)


@pytest.fixture
def line(counter: Counter) -> Line:
    add_line(counter, counter.world.b)
    return add_line(counter, counter.world.a)


def _pays(customer: Customer, isp: Isp, number: str, phone: str = PHONE, **changes: str) -> TestResponse:
    customer.browser.get(isp.host, "/line")
    (form,) = customer.browser.page.select("form[data-pay]")
    fields = customer.form() | {"account": number, "phone": phone} | changes
    return customer.browser.post(isp.host, str(form["action"]), fields)


def test_from_the_shop_to_the_line(customer: Customer, counter: Counter, line: Line) -> None:
    isp = counter.world.a
    customer.browser.get(isp.host)
    assert "Home 10" not in customer.text, "it is not sold on hotspots"
    (link,) = (a for a in customer.browser.page.select("main a") if a.text == "Pay for home internet")
    customer.browser.get(isp.host, str(link["href"]))
    assert "Home 10" in customer.text
    assert "1 hour" not in customer.text
    nonce = nonce_of(_pays(customer, isp, f" {line.number[:4]} {line.number[4:]} "))
    (asked,), (purchase,) = counter.intents(isp), counter.purchases(isp)
    assert (asked.phone, asked.subscriber_id, asked.amount_cents) == ("+254712345678", line.id, 150_000)
    assert (purchase.subscriber_id, purchase.channel, purchase.mac) == (line.id, "pppoe", None)
    counter.answer(isp, nonce, "failed", "1032", ago=200)
    customer.looks(isp, nonce)
    assert "Another package or number" in customer.text


def test_the_right_is_the_lines_and_the_running_month_is_prolonged(
    customer: Customer, counter: Counter, line: Line
) -> None:
    isp = counter.world.a
    rights = []
    for _ in range(2):
        nonce = nonce_of(_pays(customer, isp, line.number))
        with counter.app.app_context(), tenant_scope(isp.id), transaction():
            purchase = checkout.find_purchase(nonce)
            fulfilment.grant(purchase, provisional=False)
            purchase.state = "bought"
            right = access.entitlement_of(purchase.id)
            assert right is not None
            rights.append((right.service, right.subscriber_id, right.starts_at, right.ends_at))
        counter.answer(isp, nonce, "succeeded", ago=700)
    assert {right[:2] for right in rights} == {("pppoe", line.id)}
    assert rights[1][2] == rights[0][3]
    assert rights[1][3] - clock.now() > timedelta(days=58)
    for language, words in (("en", "Home internet is paid for."), ("sw", "Intaneti ya nyumbani imelipiwa.")):
        customer.looks(isp, nonce, language)
        assert words in customer.text
        assert "Kamau" not in customer.text
        assert f"{rights[1][3]:%b}" not in customer.text, "it does not say until when the line is paid"
    assert customer.browser.get(isp.host, f"/w/{nonce}/go").location == f"/w/{nonce}?back=1"


def _said(customer: Customer, isp: Isp, answer: TestResponse) -> str:
    assert answer.status_code == 303
    assert (answer.location or "").startswith("/line?said=")
    customer.browser.get(isp.host, answer.location or "")
    return customer.text


def test_what_is_wrong_is_said_and_what_was_typed_is_kept(customer: Customer, counter: Counter, line: Line) -> None:
    isp, wrong = counter.world.a, line.number[:-1] + str((int(line.number[-1]) + 1) % 10)
    for number, phone, words in (
        ("", PHONE, "Enter the account number of the line."),
        (wrong, PHONE, "That is not an account number."),
        ("kamau", PHONE, "That is not an account number."),
        (line.number, "0712", "That is not a phone number."),
        (line.number, "", "Enter the M-Pesa number that pays."),
    ):
        assert words in _said(customer, isp, _pays(customer, isp, number, phone)), (number, phone)
        typed = {str(field["name"]): field.get("value") for field in customer.browser.page.select("form input")}
        assert (typed["account"], typed["phone"]) == (number, phone)
    assert "could not read that form" in _said(customer, isp, _pays(customer, isp, line.number, state="x"))
    hotspot = str(counter.packages[isp.id]["hour"])
    assert "not sold any more" in _said(customer, isp, _pays(customer, isp, line.number, package=hotspot))
    assert counter.intents(isp) == []


def test_a_phones_account_number_and_another_isps_are_no_lines(
    customer: Customer, counter: Counter, line: Line
) -> None:
    a, b = counter.world.a, counter.world.b
    with counter.app.app_context(), tenant_scope(a.id), transaction():
        phones = subscribers.number_for(subscribers.by_phone(Phone.parse(PHONE)).id)
    with counter.app.app_context(), tenant_scope(b.id), transaction():
        theirs = subscribers.number_for(subscribers.by_username("kamau").id)  # type: ignore[union-attr]
    for number in (phones, theirs):
        assert "We have no line with this account number." in _said(customer, a, _pays(customer, a, number))
    assert counter.intents(a) == counter.intents(b) == []


def test_no_page_says_whose_line_it_is(customer: Customer, counter: Counter, line: Line) -> None:
    isp = counter.world.a
    pages = [customer.browser.get(isp.host, "/line")]
    pages.append(_pays(customer, isp, line.number))
    nonce = nonce_of(pages[-1])
    pages += [customer.looks(isp, nonce), customer.browser.get(isp.host, f"/w/{nonce}/status.json")]
    counter.paid(isp, nonce)
    pages += [customer.looks(isp, nonce), customer.browser.get(isp.host, "/line")]
    for page in pages:
        assert not [word for word in ("Kamau", "kamau", "0733", "000 999", "000999") if word in page.text]


def test_an_isp_without_lines_has_no_such_page(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    assert "Pay for home internet" not in customer.browser.get(isp.host).text
    assert customer.browser.get(isp.host, "/line").status_code == 404
    assert customer.browser.post(isp.host, "/line").status_code == 404


def test_numbers_cannot_be_tried_out(
    customer: Customer, counter: Counter, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    isp, other = counter.world.a, counter.world.b
    with counter.app.app_context(), tenant_scope(other.id), transaction():
        theirs = subscribers.number_for(subscribers.by_username("kamau").id)  # type: ignore[union-attr]
    monkeypatch.setattr(limiter, "enabled", True)
    limiter.reset()
    for _ in range(3):
        assert _pays(customer, isp, line.number, "0712").status_code == 303
    tries = [_pays(customer, isp, theirs).status_code for _ in range(11)]
    assert tries == [303] * 10 + [429], "only numbers that are nobody's count"
    limiter.reset()


def test_what_is_left_pays_for_the_same_line_only(customer: Customer, counter: Counter, line: Line) -> None:
    isp = counter.world.a
    nonce = nonce_of(_pays(customer, isp, line.number))
    pays_in(counter, isp, nonce, 150_000, "TKN0000003")
    customer.browser.get(isp.host)
    assert "You have KES" not in customer.text, "it is the line's money, not a phone's"
    customer.browser.get(isp.host, "/line")
    assert "KES 1,500 is left of your payment" in customer.text
    second = nonce_of(_pays(customer, isp, "", "", pay="balance"))
    made = counter.purchases(isp)[-1]
    assert (made.nonce, made.subscriber_id, made.state) == (second, line.id, "bought")
    check_books(counter)
