"""A customer's money at the console: what moved, promotional credit, selling, and packages that renew themselves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest

from tenants import checkout, ledger, payments, subscribers
from tenants.catalog import Package
from tests.browser_client import Browser
from tests.payments.test_money_pages import CONSOLE, _at
from tests.shop import Shop
from tests.world import Isp, Someone
from wavu import clock, ids
from wavu.accounts import find_person, second_factor
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import settlement


class Line(NamedTuple):
    """A customer of an ISP who has a line, and a package for it."""

    isp: Isp
    id: UUID
    package_id: UUID

    @property
    def page(self) -> str:
        return f"/money/customers/{self.id}"

    @property
    def sell(self) -> str:
        return f"/money/desk/sell/{self.id}"


def _line(shop: Shop, isp: Isp, letter: str) -> Line:
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        package = Package(
            id=ids.new_id(), name=f"Home {letter}", price_cents=100_000, validity="months", speed_down_bps=9_000_000,
            speed_up_bps=2_000_000, sold_on_hotspot=False, sold_on_pppoe=True,
        )  # fmt: skip
        db.session.add(package)
        made = subscribers.add_line(username=f"line-{letter}", password="x", name=f"Kamau {letter}")
        return Line(isp, made.id, package.id)


@pytest.fixture
def lines(shop: Shop) -> tuple[Line, Line]:
    """One of A's, and one of B's, who has money, credit and a renewal of her own."""
    ours, theirs = _line(shop, shop.world.a, "a"), _line(shop, shop.world.b, "b")
    cash(shop, theirs, 777_700)
    with shop.app.app_context(), tenant_scope(theirs.isp.id), transaction():
        _grant(theirs, 33_300)
        checkout.sales.sell(
            nonce="b" * 32, subscriber_id=theirs.id, package_id=theirs.package_id, due_cents=0, method=None,
            by_id=theirs.isp.owner.id, by="Owner of B",
        )  # fmt: skip
        checkout.renewals.switch_on(theirs.id, theirs.package_id, by="Owner of B")
    return ours, theirs


def _grant(line: Line, cents: int) -> None:
    checkout.promo.grant(
        nonce=ids.new_token(), subscriber_id=line.id, amount_cents=cents, reason="sorry",
        expires_at=clock.now() + timedelta(days=9), by_id=line.isp.owner.id, by="Owner",
    )  # fmt: skip


def cash(shop: Shop, line: Line, cents: int) -> None:
    with shop.app.app_context(), tenant_scope(line.isp.id), transaction():
        payments.take(
            nonce=ids.new_token()[:32], subscriber_id=line.id, method="cash", amount_cents=cents, reference=None,
            by_id=line.isp.cashier.id, by="Cashier",
        )  # fmt: skip


def held(shop: Shop, line: Line) -> tuple[int, int]:
    with shop.app.app_context(), tenant_scope(line.isp.id), transaction():
        assert ledger.audit() == []
        return ledger.balance(ledger.wallet(line.id)), ledger.balance(ledger.promo(line.id))


def _nonce(browser: Browser, path: str) -> str:
    found = re.findall(r'name="nonce"[^>]*value="(\w+)"', browser.get(CONSOLE, path).text)
    return str(found[-1])


def two_steps(shop: Shop, someone: Someone) -> None:
    with shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        person = find_person(someone.id)
        second_factor.begin_enrolment(person)
        second_factor.credential_of(person.id).totp_confirmed_at = clock.now()
        person.second_factor_on = True


def test_a_manager_gives_credit_and_a_cashier_may_not(shop: Shop, lines: tuple[Line, Line]) -> None:
    line, theirs = lines
    owner, cashier = _at(shop, line.isp.owner), _at(shop, line.isp.cashier)
    data = {"nonce": _nonce(owner, line.page), "amount": "200", "reason": "Tower down", "until": "2026-12-31"}
    data["until"] = f"{clock.now() + timedelta(days=20):%Y-%m-%d}"
    cashier.get(CONSOLE, line.page)
    assert cashier.post(CONSOLE, f"{line.page}/promo", data).status_code == 403
    for wrong, words in (
        ({"amount": "501"}, "At most KES 500 of promotional credit"),
        ({"amount": "x"}, "An amount looks like"),
        ({"until": "2020-01-01"}, "ends on a day between"),
        ({"until": "9999-12-31"}, "ends on a day between"),
        ({"until": "soon"}, "A day looks like"),
        ({"reason": ""}, "Fill this in"),
    ):
        assert owner.post(CONSOLE, f"{line.page}/promo", data | wrong).status_code in {409, 422}
        assert words in owner.text, wrong
    for _ in range(2):
        assert owner.post(CONSOLE, f"{line.page}/promo", data).status_code == 302
    assert held(shop, line) == (0, 20_000), "pressed twice, given once"
    owner.get(CONSOLE, line.page)
    assert "Tower down" in owner.text
    assert "Promotional credit Tower down KES 200" in owner.text
    owner.get(CONSOLE, "/money/promo")
    assert "Kamau a" in owner.text
    assert "Kamau b" not in owner.text
    owner.get(CONSOLE, "/activity")
    assert "Promotional credit given KES 200. Reason: Tower down" in owner.text
    assert held(shop, theirs)[1] == 0


def test_the_limit_is_the_owners_and_asks_who_they_are(shop: Shop, lines: tuple[Line, Line]) -> None:
    owner, cashier = _at(shop, shop.world.a.owner), _at(shop, shop.world.a.cashier)
    cashier.get(CONSOLE, "/money/promo")
    assert cashier.post(CONSOLE, "/money/promo/limit", {"most": "900"}).status_code == 403
    owner.get(CONSOLE, "/money/promo")
    assert "second-factor" in (owner.post(CONSOLE, "/money/promo/limit", {"most": "900"}).location or "")
    two_steps(shop, shop.world.a.owner)
    assert owner.post(CONSOLE, "/money/promo/limit", {"most": "nine"}).status_code == 422
    assert owner.post(CONSOLE, "/money/promo/limit", {"most": "900"}).location == "/money/promo"
    owner.get(CONSOLE, "/money/promo")
    assert "Up to KES 900 may be given at once" in owner.text
    other = _at(shop, shop.world.b.owner)
    other.get(CONSOLE, "/money/promo")
    assert "Up to KES 500 may be given at once" in other.text


def _sells(shop: Shop, browser: Browser, line: Line, method: str, due: int, **changes: str) -> tuple[int, str]:
    data = {"nonce": _nonce(browser, line.sell), "package": f"{line.package_id}:{due}", "method": method} | changes
    answer = browser.post(CONSOLE, line.sell, data)
    return answer.status_code, answer.location or ""


def test_a_cashier_sells_from_balance_and_credit_and_for_cash(shop: Shop, lines: tuple[Line, Line]) -> None:
    line, _ = lines
    cashier = _at(shop, line.isp.cashier)
    cash(shop, line, 30_000)
    with shop.app.app_context(), tenant_scope(line.isp.id), transaction():
        _grant(line, 20_000)
    cashier.get(CONSOLE, line.sell)
    assert "Home a · KES 1,000 (KES 500 to pay)" in cashier.text
    assert "Home b" not in cashier.text
    assert _sells(shop, cashier, line, "balance", 50_000)[0] == 409
    assert "not enough money" in cashier.text
    assert _sells(shop, cashier, line, "cash", 40_000)[0] == 409, "what was due has changed"
    assert _sells(shop, cashier, line, "mpesa", 50_000)[0] == 422
    assert held(shop, line) == (30_000, 20_000)
    nonce = _nonce(cashier, line.sell)
    first, second = (_sells(shop, cashier, line, "cash", 50_000, nonce=nonce) for _ in range(2))
    assert first == second, "pressed twice, sold once"
    assert held(shop, line) == (0, 0)
    cashier.get(CONSOLE, first[1])
    for words in (
        "Sale 1", "Home a", "Price KES 1,000", "Promotional credit KES 200", "From the balance KES 300",
        "Cash KES 500", "Sold by Cashier canary-a",
    ):  # fmt: skip
        assert words in cashier.text
    cash(shop, line, 100_000)
    assert _sells(shop, cashier, line, "balance", 0)[0] == 302
    cashier.get(CONSOLE, line.page)
    assert cashier.text.count("Package: Home a") == 3, "two from the balance, one of them with credit"
    (rights,) = shop.rows(
        "SELECT count(*), max(starts_at) = min(ends_at) FROM entitlement WHERE tenant_id = %s", line.isp.id
    )
    assert rights == (2, True), "the second follows the first"
    shop.check_books()


def test_staff_switch_a_renewal_on_and_off(shop: Shop, lines: tuple[Line, Line]) -> None:
    line, _ = lines
    cashier = _at(shop, line.isp.cashier)
    cashier.get(CONSOLE, line.page)
    assert cashier.post(CONSOLE, f"{line.page}/renew", {"package": str(line.package_id)}).status_code == 302
    cashier.get(CONSOLE, line.page)
    assert "There is no package to renew" in cashier.text
    cash(shop, line, 250_000)
    _sells(shop, cashier, line, "balance", 0)
    cashier.get(CONSOLE, line.page)
    cashier.post(CONSOLE, f"{line.page}/renew", {"package": str(line.package_id)})
    cashier.get(CONSOLE, line.page)
    assert "Switched on by Cashier canary-a" in cashier.text
    shop.admin.execute(
        b"UPDATE entitlement SET starts_at = starts_at - interval '30 days', ends_at = ends_at - interval '30 days'"
    )
    with shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        shop.admin.execute(b"UPDATE renewal SET check_at = now()")
        settlement.look_after_wallets({})
    shop.work("renew_package")
    cashier.get(CONSOLE, line.page)
    assert "Package: Home a (auto-renew)" in cashier.text
    assert held(shop, line) == (50_000, 0)
    off = cashier.page.find("form", action=re.compile(r"/off$"))
    assert off is not None
    assert cashier.post(CONSOLE, str(off["action"])).status_code == 302
    cashier.get(CONSOLE, line.page)
    assert "Somebody switched it off" in cashier.text
    assert "Kamau b" not in cashier.text


def test_the_history_is_paged_costs_three_statements_and_is_nobody_elses(
    shop: Shop, lines: tuple[Line, Line], statements: list[str]
) -> None:
    line, theirs = lines
    for cents in range(1, 61):
        cash(shop, line, cents * 100)
    owner = _at(shop, line.isp.owner)
    owner.get(CONSOLE, line.page)
    owner.get(CONSOLE, "/account")
    statements.clear()
    owner.get(CONSOLE, "/account")
    bare = len(statements)
    statements.clear()
    owner.get(CONSOLE, line.page)
    assert len(statements) - bare <= 4, "its own three, and the permission that is looked up"
    rows = [row.get_text(" ") for row in owner.page.select("table tbody tr")]
    assert len(rows) == 50
    assert "KES 60" in rows[0]
    assert "KES 1,830" in rows[0], "the balance after it"
    following = owner.page.find("a", href=re.compile("before="))
    assert following is not None
    owner.get(CONSOLE, str(following["href"]))
    assert len(owner.page.select("table tbody tr")) == 10
    assert "7,777" not in owner.text
    assert owner.get(CONSOLE, theirs.page).status_code == 404
    viewer = _at(shop, line.isp.cashier)
    shop.admin.execute(b"UPDATE membership SET role = 'viewer' WHERE id = %s", (line.isp.cashier.membership_id,))
    assert viewer.get(CONSOLE, line.page).status_code == 403


def test_reports_tell_credit_from_money(shop: Shop, lines: tuple[Line, Line]) -> None:
    line, _ = lines
    owner = _at(shop, line.isp.owner)
    cash(shop, line, 80_000)
    with shop.app.app_context(), tenant_scope(line.isp.id), transaction():
        _grant(line, 20_000)
    _sells(shop, owner, line, "balance", 0)
    owner.get(CONSOLE, "/money/reports?by=packages")
    assert "Home a KES 1,000 1 KES 200" in owner.text
    assert "Home b" not in owner.text
    owner.get(CONSOLE, "/money/reports?by=promo")
    assert "Owner KES 200 1" in owner.text
    owner.get(CONSOLE, "/money/reports?by=collectors")
    assert "Cashier KES 800 1" in owner.text
    assert "promotional credit" not in owner.page.find("table").text.lower()  # type: ignore[union-attr]
