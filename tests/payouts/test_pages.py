"""The pages of refunds and of the initiator: who may, what they must prove, and what they read."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest

from tenants import mpesa
from tests.browser_client import Browser
from tests.payouts.conftest import MSISDN, PASSWORD, Desk
from tests.world import Someone
from wavu import clock
from wavu.accounts import find_person, second_factor
from wavu.db import transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope

CONSOLE = "console.wavu.localhost"


def _at(desk: Desk, someone: Someone, *, second_factor_on: bool = True) -> Browser:
    browser = Browser(desk.shop.app)
    browser.sign_in(CONSOLE, someone)
    if second_factor_on:
        with desk.shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            person = find_person(someone.id)
            second_factor.begin_enrolment(person)
            second_factor.credential_of(person.id).totp_confirmed_at = clock.now()
            person.second_factor_on = True
    return browser


@pytest.fixture
def manager(desk: Desk) -> Someone:
    """A second person who may approve."""
    cashier = desk.shop.world.a.cashier
    desk.shop.admin.execute(b"UPDATE membership SET role = 'manager' WHERE id = %s", (cashier.membership_id,))
    return cashier


def _paid(desk: Desk) -> str:
    desk.paid()
    return desk.sim.book()[-1].receipt


def _refund(browser: Browser, receipt: str, **changes: str) -> str:
    browser.get(CONSOLE, f"/money/refunds/new?receipt={receipt}")
    form = {"method": "b2c", "amount": "10", "end_package": "y", "reason": "no internet"} | changes
    answer = browser.post(CONSOLE, f"/money/refunds/new?receipt={receipt}", form)
    if answer.status_code == 302:
        browser.get(CONSOLE, answer.location)
        return answer.location
    return str(answer.status_code)


def test_a_refund_from_the_page_to_the_phone(desk: Desk) -> None:
    receipt = _paid(desk)
    browser = _at(desk, desk.shop.world.a.owner)
    browser.get(CONSOLE, "/money")
    assert browser.page.find("a", href=f"/money/refunds/new?receipt={receipt}")
    browser.get(CONSOLE, f"/money/refunds/new?receipt={receipt.lower()}")
    assert "Came in KES 10" in browser.text
    assert "1 hour a, KES 10" in browser.text
    where = _refund(browser, receipt)
    assert "Waits to be sent" in browser.text
    desk.shop.work("send_payout")
    browser.get(CONSOLE, where)
    assert "M-Pesa has taken it" in browser.text
    desk.go()
    browser.get(CONSOLE, where)
    assert "The customer has the money." in browser.text
    browser.get(CONSOLE, "/money/refunds")
    assert "Paid out KES 10 To the phone that paid" in browser.text
    other = _at(desk, desk.shop.world.b.owner, second_factor_on=False)
    other.get(CONSOLE, "/money/refunds")
    assert "No money has gone back yet" in other.text
    assert other.get(CONSOLE, where).status_code == 404
    assert other.get(CONSOLE, f"/money/refunds/new?receipt={receipt}").status_code == 404


def test_what_is_wrong_is_said_and_moves_nothing(desk: Desk) -> None:
    receipt = _paid(desk)
    browser = _at(desk, desk.shop.world.a.owner)
    for changes, said in (
        ({"amount": "11"}, "At most KES 10"), ({"amount": "9"}, "M-Pesa sends KES 10"),
        ({"amount": "ten"}, "An amount looks like"), ({"reason": ""}, "Fill this in"),
        ({"end_package": ""}, "not enough money"), ({"method": "cheque"}, "Not a valid choice"),
    ):  # fmt: skip
        assert _refund(browser, receipt, **changes) in {"409", "422"}
        assert said in browser.text
    assert browser.get(CONSOLE, "/money/refunds/new?receipt=UKP1234567").status_code == 404
    assert desk.shop.rows("SELECT count(*) FROM payout") == [(0,)]
    assert _refund(browser, receipt, method="wallet") == "/money/refunds"
    assert "its price is on the customer's balance" in browser.text
    assert desk.wallet() == 1000


def test_a_stolen_session_alone_moves_nothing(desk: Desk, manager: Someone) -> None:
    receipt = _paid(desk)
    plain = _at(desk, desk.shop.world.a.owner, second_factor_on=False)
    plain.get(CONSOLE, f"/money/refunds/new?receipt={receipt}")
    assert "Set up two-step sign-in first" in plain.text
    form = {"method": "b2c", "amount": "10", "end_package": "y", "reason": "no internet"}
    answer = plain.post(CONSOLE, f"/money/refunds/new?receipt={receipt}", form)
    assert answer.location == "/second-factor"
    old = _at(desk, manager)
    desk.shop.admin.execute(b"UPDATE sign_in SET proven_at = proven_at - interval '16 minutes'")
    account = f"/money/initiators/{desk.account_id}"
    desk.shop.admin.execute(b"UPDATE membership SET role = 'owner' WHERE id = %s", (manager.membership_id,))
    for path, data in (
        (f"/money/refunds/new?receipt={receipt}", form),
        ("/money/refunds/limit", {"alone": "1000000"}),
        (account, {"name": "thief", "password": "x", "password_set_on": "2026-11-01"}),
    ):
        old.get(CONSOLE, "/money")
        assert old.post(CONSOLE, path, data).location.startswith("/prove?next="), path
    assert desk.shop.rows("SELECT count(*) FROM payout") == [(0,)]
    assert desk.shop.rows("SELECT name FROM mpesa_initiator") == [("wavuapi",)]


def test_two_people(desk: Desk, manager: Someone) -> None:
    receipt = _paid(desk)
    owner = _at(desk, desk.shop.world.a.owner)
    owner.get(CONSOLE, "/money/refunds")
    owner.post(CONSOLE, "/money/refunds/limit", {"alone": "5"})
    where = _refund(owner, receipt)
    assert "Waits for a second person" in owner.text
    assert "somebody else must approve it" in owner.text
    owner.post(CONSOLE, f"{where}/approve")
    owner.get(CONSOLE, where)
    assert "A second person must approve this" in owner.text
    assert "Waits for a second person" in owner.text
    second = _at(desk, manager)
    second.get(CONSOLE, where)
    second.post(CONSOLE, f"{where}/approve")
    desk.go()
    second.get(CONSOLE, where)
    assert "The customer has the money." in second.text
    assert desk.sim.world.subscriber(MSISDN).balance == 10_000
    owner.get(CONSOLE, "/activity")
    for said in ("Refund asked for", "Refund approved", "Refund paid", "Limit for refunds changed"):
        assert said in owner.text


def test_unknown_is_said_in_plain_words_and_decided_by_the_statement(desk: Desk) -> None:
    receipt = _paid(desk)
    browser = _at(desk, desk.shop.world.a.owner)
    where = _refund(browser, receipt)
    desk.sim.rule({"gateway.fault": "html_503"}, exchange="b2c")
    desk.go()
    browser.get(CONSOLE, where)
    assert "Not known yet" in browser.text
    assert "never sent twice" in browser.text
    browser.post(CONSOLE, f"{where}/ask")
    desk.go()
    desk.later(90_000)
    desk.go()
    browser.get(CONSOLE, where)
    assert "What does your M-Pesa statement say?" in browser.text
    browser.post(CONSOLE, f"{where}/decide", {"found": "1", "receipt": "none"})
    assert "A receipt has 10 letters and digits" in browser.text
    browser.post(CONSOLE, f"{where}/decide", {"found": "0"})
    browser.get(CONSOLE, where)
    assert "The money is back where it came from." in browser.text
    assert desk.wallet() == 1000


def test_a_cashier_sees_and_moves_nothing(desk: Desk) -> None:
    receipt = _paid(desk)
    browser = _at(desk, desk.shop.world.a.cashier)
    assert browser.get(CONSOLE, "/money/refunds").status_code == 200
    assert "Refund a payment" not in browser.text
    assert browser.get(CONSOLE, f"/money/refunds/new?receipt={receipt}").status_code == 403
    assert browser.get(CONSOLE, "/money/initiators").status_code == 403
    assert browser.post(CONSOLE, "/money/refunds/limit", {"alone": "1"}).status_code == 403


# -- the initiator


def _save(desk: Desk, browser: Browser, **changes: object) -> int:
    path = f"/money/initiators/{desk.account_id}"
    browser.get(CONSOLE, path)
    form = {"name": "api2", "password": "New#2026", "password_set_on": "2026-11-01"} | changes
    return browser.post(CONSOLE, path, form, content_type="multipart/form-data").status_code


def test_credentials_go_in_and_never_out(desk: Desk) -> None:
    browser = _at(desk, desk.shop.world.a.owner)
    browser.get(CONSOLE, "/money/initiators")
    assert "wavuapi" in browser.text
    assert "CN=daraja.simulator.localhost" in browser.text
    upload = (io.BytesIO(desk.sim.certificate().encode()), "cert.cer")
    assert _save(desk, browser, certificate=upload) == 302
    page = browser.get(CONSOLE, f"/money/initiators/{desk.account_id}").text
    assert "api2" in page
    assert "New#2026" not in page + browser.get(CONSOLE, "/money/initiators").text
    assert PASSWORD not in page
    ready = "A" * 342 + "=="
    assert _save(desk, browser, password="", ready=ready) == 302
    with desk.inside():
        found = mpesa.initiator_of(desk.account_id)
        assert found is not None
        assert (found.credential, found.password) == (ready, None)
    assert ready not in browser.get(CONSOLE, f"/money/initiators/{desk.account_id}").text
    jobs = desk.shop.rows("SELECT count(*) FROM outbox WHERE job = 'tell_owners_initiator_set'")
    assert jobs == [(2,)]


def test_what_is_wrong_with_credentials(desk: Desk) -> None:
    browser = _at(desk, desk.shop.world.a.owner)
    tomorrow = f"{clock.local_date(clock.now(), 'Africa/Nairobi') + timedelta(days=1):%Y-%m-%d}"
    for changes, said in (
        ({"name": ""}, "Fill this in"), ({"password": ""}, "one of the two"), ({"ready": "AAAA"}, "one of the two"),
        ({"password": "", "ready": "AAAA"}, "no SecurityCredential"), ({"password_set_on": tomorrow}, "up to today"),
        ({"certificate": (io.BytesIO(b"MZ"), "c.cer")}, "no certificate"),
    ):  # fmt: skip
        assert _save(desk, browser, **changes) == 422
        assert said in browser.text
    desk.shop.admin.execute(b"DELETE FROM mpesa_initiator")
    assert _save(desk, browser) == 422
    assert "upload it too" in browser.text


def test_a_freeze_shows_on_the_home_page_and_the_balance_is_refreshed(desk: Desk) -> None:
    browser = _at(desk, desk.shop.world.a.owner)
    browser.get(CONSOLE, "/money/initiators")
    browser.post(CONSOLE, f"/money/initiators/{desk.account_id}/balance")
    desk.go()
    browser.get(CONSOLE, "/")
    assert re.search(r"Utility Account: KES 100,000 As of", browser.text)
    desk.sim.rule({"result.code": "2001"}, exchange="balance_result", times=1)
    with desk.inside():
        mpesa.ask_balance(desk.account_id, "again")
    desk.go()
    browser.get(CONSOLE, "/")
    assert "Refunds fail at PayBill 600100" in browser.text
    browser.get(CONSOLE, "/money/initiators")
    assert "Frozen" in browser.text
    browser.post(CONSOLE, f"/money/initiators/{desk.account_id}/balance")
    assert desk.shop.work("ask_balance") == 0
