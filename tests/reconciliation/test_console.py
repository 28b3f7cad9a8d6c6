"""The pages of the books: statements, days, and reports."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from tests.browser_client import Browser
from tests.reconciliation.books import DAY, Moved, bought, credited, open_books, receipt, statement, subscriber, take
from tests.reconciliation.test_match import PAID
from tests.world import CONSOLE_HOST, Isp, Someone, World
from wavu import audit, clock
from wavu.accounts import find_person, second_factor
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope

PAGE = f"/money/days/{DAY}"
RANGE = f"first={DAY}&last={DAY + timedelta(days=1)}"


@pytest.fixture
def owner(world: World, browser: Browser) -> Browser:
    """A's owner, with five payments and a package sold; B has as many of its own beside them."""
    for isp, shortcode in ((world.a, "600100"), (world.b, "600300")):
        with tenant_scope(isp.id), transaction():
            open_books(shortcode)
            payer = subscriber()
            credited(PAID, payer)
            bought(payer)
            if isp is world.b:
                credited([Moved("UCCANARYB1", 77_700)])
                db.session.execute(text('UPDATE purchase SET terms = \'{"name": "canary-b"}\''))
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    two_steps(world.a.owner)
    return browser


def two_steps(someone: Someone) -> None:
    """They sign in with a code from their phone too, and gave their password a moment ago."""
    with tenant_scope(PLATFORM_ID), transaction():
        person = find_person(someone.id)
        second_factor.begin_enrolment(person)
        second_factor.credential_of(person.id).totp_confirmed_at = clock.now()
        person.second_factor_on = True


def test_closing_a_day_asks_who_it_is_anew(world: World, app: Flask) -> None:
    with tenant_scope(world.a.id), transaction():
        open_books()
        take(statement([]))
    browser = Browser(app)
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    browser.get(CONSOLE_HOST, PAGE)
    assert browser.post(CONSOLE_HOST, f"{PAGE}/close").location == "/second-factor"
    two_steps(world.a.owner)
    with tenant_scope(PLATFORM_ID), transaction():
        db.session.execute(text("UPDATE sign_in SET proven_at = now() - interval '16 minutes'"))
    browser.get(CONSOLE_HOST, PAGE)
    assert "/prove" in (browser.post(CONSOLE_HOST, f"{PAGE}/close").location or "")
    assert trail(world.a)[0] != "books.day_closed"


def upload(browser: Browser, world: World, content: bytes, name: str = "day.csv") -> TestResponse:
    browser.get(CONSOLE_HOST, "/money/statements")
    account = browser.page.find("option")
    assert account is not None
    return browser.post(
        CONSOLE_HOST, "/money/statements", {"account": account["value"], "file": (io.BytesIO(content), name)}
    )


def trail(isp: Isp) -> list[str]:
    with tenant_scope(isp.id), transaction():
        return [entry.action for entry in audit.trail(limit=4)]


def test_a_day_from_upload_to_close(world: World, owner: Browser) -> None:
    assert owner.get(CONSOLE_HOST, PAGE).status_code == 200
    assert "No statement yet · KES 150" in owner.text
    owner.get(CONSOLE_HOST, f"/money/days?until={DAY}")
    assert "Differences KES 150" in owner.text
    sent = upload(owner, world, statement([*PAID, Moved(receipt(9), 4_000), Moved(receipt(8), -900, reason="Kitu")]))
    assert sent.location == PAGE.replace(str(DAY), str(DAY))
    owner.get(CONSOLE_HOST, PAGE)
    assert "7 new movements of 7" in owner.text
    assert "Missing with us · KES 40" in owner.text
    assert "Money moved otherwise · KES 9" in owner.text
    owner.post(CONSOLE_HOST, f"{PAGE}/close")
    owner.get(CONSOLE_HOST, PAGE)
    assert "2 differences are still open" in owner.text
    owner.post(CONSOLE_HOST, f"{PAGE}/credit", {"subject": receipt(9)})
    owner.get(CONSOLE_HOST, PAGE)
    assert "1 payment credited" in owner.text
    assert "Without an owner · KES 40" in owner.text
    owner.post(CONSOLE_HOST, f"{PAGE}/explain", {"kind": "unexplained", "subject": receipt(8), "note": " "})
    owner.get(CONSOLE_HOST, PAGE)
    assert "Write a note" in owner.text
    owner.post(CONSOLE_HOST, f"{PAGE}/explain", {"kind": "unexplained", "subject": receipt(8), "note": "Airtime <b>"})
    owner.post(CONSOLE_HOST, f"{PAGE}/case", {"kind": "unmatched", "subject": receipt(9), "note": "Ask them"})
    owner.get(CONSOLE_HOST, PAGE)
    owner.get(CONSOLE_HOST, f"/money/days?until={DAY}")
    assert "Ready to close" in owner.text
    assert "Ask them" in owner.text
    owner.post(CONSOLE_HOST, f"{PAGE}/close")
    page = owner.get(CONSOLE_HOST, PAGE)
    assert "The day is closed" in owner.text
    assert "Airtime &lt;b&gt;" in page.text
    assert owner.page.find("form", action=f"{PAGE}/explain") is None
    owner.post(CONSOLE_HOST, f"{PAGE}/close")
    owner.get(CONSOLE_HOST, PAGE)
    assert "This day is closed already" in owner.text
    assert trail(world.a)[0] == "books.day_closed"
    owner.get(CONSOLE_HOST, "/activity")
    assert f"{DAY}, {receipt(8)}: Airtime <b>" in owner.text


def test_the_same_file_twice_and_a_file_that_is_none(world: World, owner: Browser) -> None:
    upload(owner, world, statement(PAID))
    upload(owner, world, statement(PAID), "again.csv")
    owner.get(CONSOLE_HOST, PAGE)
    assert "imported before" in owner.text
    answer = upload(owner, world, statement(PAID).replace(b"Completed", b"Perhaps", 1))
    assert (answer.status_code, "Row 6, column Transaction Status: 'Perhaps'" in owner.text) == (422, True)
    assert upload(owner, world, b"\x89PNG\r\n").status_code == 422
    assert owner.post(CONSOLE_HOST, "/money/statements", {"account": "x"}).status_code == 422
    owner.get(CONSOLE_HOST, "/money/statements")
    assert [row.text.strip() for row in owner.page.find_all("th", scope="row")] == ["day.csv"]


def test_a_statement_of_five_megabytes_is_taken_and_other_pages_take_one(world: World, owner: Browser) -> None:
    big = statement([Moved(receipt(n), 100, n % 1440) for n in range(1, 30_000)])
    assert len(big) > 4 * 1024 * 1024
    taken = upload(owner, world, big)
    assert taken.status_code == 302
    # A big body lies in a temporary file of the test client's, which it does not close.
    taken.request.environ["wsgi.input"].close()
    owner.get(CONSOLE_HOST, "/team")
    refused = owner.post(CONSOLE_HOST, f"{PAGE}/close", {"x": "y" * 2_000_000})
    assert refused.status_code == 413
    refused.request.environ["wsgi.input"].close()


@pytest.mark.parametrize("path", ["close", "credit", "explain", "case", "take-back"])
def test_a_cashier_sees_the_books_and_changes_nothing(world: World, owner: Browser, app: Flask, path: str) -> None:
    cashier = Browser(app)
    cashier.sign_in(CONSOLE_HOST, world.a.cashier)
    assert cashier.get(CONSOLE_HOST, PAGE).status_code == 200
    assert cashier.page.find("form", method="post", action=lambda where: bool(where and "/money/" in where)) is None
    assert cashier.post(CONSOLE_HOST, f"{PAGE}/{path}", {"note": "x"}).status_code == 403
    assert cashier.post(CONSOLE_HOST, "/money/statements").status_code == 403


@pytest.mark.parametrize("day", ["2001-01-01", "2099-01-01", "2026-02-30", "x"])
def test_days_that_are_none(owner: Browser, day: str) -> None:
    assert owner.get(CONSOLE_HOST, f"/money/days/{day}").status_code == 404


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("days", f"{DAY} KES 150 5"), ("packages", "1 hour KES 10 1"), ("branches", "Not known KES 10 1"),
        ("shortcodes", "600100 · Rehearsal KES 150 5"), ("sources", "Paid by hand KES 150 5"),
    ],
)  # fmt: skip
def test_reports(owner: Browser, name: str, line: str) -> None:
    owner.get(CONSOLE_HOST, f"/money/reports?by={name}&{RANGE}")
    rows = [" ".join(row.get_text(" ").split()) for row in owner.page.find_all("tr")[1:]]
    assert rows[0] == line
    assert len(rows) == 2
    assert "canary-b" not in owner.text.lower()


def test_wrong_addresses_of_reports(owner: Browser) -> None:
    assert owner.get(CONSOLE_HOST, "/money/reports?by=magic").status_code == 404
    assert owner.get(CONSOLE_HOST, "/money/reports?first=x&last=9999-99-99").status_code == 200
    assert owner.get(CONSOLE_HOST, f"/money/reports?first={DAY}&last=2020-01-01").status_code == 200
    for name in ("payments.exe", "magic.csv", "..%2fx.csv"):
        assert owner.get(CONSOLE_HOST, f"/money/reports/{name}").status_code == 404


def sheet(content: bytes) -> list[list[str | None]]:
    """The texts and numbers of a workbook's only sheet."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        root = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 - our own file
        assert b"<f>" not in book.read("xl/worksheets/sheet1.xml")
    return [[next((e.text for e in cell.iter() if e.tag in {f"{space}t", f"{space}v"}), None) for cell in row]
            for row in root.iter(f"{space}row")]  # fmt: skip


def test_exports(world: World, owner: Browser) -> None:
    with tenant_scope(world.a.id), transaction():
        db.session.execute(
            text("""INSERT INTO provider_receipt (tenant_id, id, environment, shortcode_group, receipt,
            amount_cents, source, transaction_id, paid_at, reference) SELECT tenant_id, gen_random_uuid(), environment,
            shortcode_group, 'UCFORMULA1', 1234, source, transaction_id, paid_at + interval '1 h',
            '=cmd|''/C calc''!A0' FROM provider_receipt WHERE receipt = 'UC00000005'""")
        )
    answer = owner.get(CONSOLE_HOST, f"/money/reports/payments.csv?{RANGE}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert (
        answer.headers["Content-Disposition"] == f'attachment; filename="payments-{DAY}-{DAY + timedelta(days=1)}.csv"'
    )
    lines = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert len(lines) == 7
    assert lines[1][:4] == [f"{DAY} 10:01:00", receipt(1), "10.0", "600100"]
    assert lines[6][5] == "'=cmd|'/C calc'!A0"
    rows = sheet(owner.get(CONSOLE_HOST, f"/money/reports/payments.xlsx?{RANGE}").data)
    assert [row[1] for row in rows] == [line[1] for line in lines]
    assert [row[2] for row in rows[1:]] == ["10", "20", "30", "40", "50", "12.34"]
    sums = sheet(owner.get(CONSOLE_HOST, f"/money/reports/packages.xlsx?{RANGE}").data)
    assert sums[1] == ["1 hour", "1", "10", "0"], "none of it was promotional credit"
    assert trail(world.a)[0] == "books.report_exported"


def test_many_payments_cost_as_many_statements_as_few(
    world: World, owner: Browser, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of two: three of them for five payments, each one statement and never one per row."""
    monkeypatch.setattr("tenants.reconciliation.reports.PAGE", 2)
    statements.clear()
    owner.get(CONSOLE_HOST, f"/money/reports/payments.csv?{RANGE}")
    assert sum("FROM provider_receipt r" in sent for sent in statements) == 3


def test_a_take_back_is_one_press(world: World, owner: Browser) -> None:
    with tenant_scope(world.a.id), transaction():
        take(statement([*PAID, Moved(receipt(60), -2_000, linked=PAID[1].receipt, reason="Reversal")]))
    owner.get(CONSOLE_HOST, PAGE)
    assert "Reversed outside Wavu · KES 20" in owner.text
    owner.post(CONSOLE_HOST, f"{PAGE}/take-back", {"subject": receipt(60), "note": "By customer care"})
    owner.get(CONSOLE_HOST, f"/money/days?until={DAY}")
    assert "By customer care" in owner.text
    case = owner.page.find("form", action=lambda where: bool(where and "/money/cases/" in where))
    assert case is not None
    owner.post(CONSOLE_HOST, str(case["action"]), {"note": "They paid again"})
    owner.get(CONSOLE_HOST, f"/money/days?until={DAY}")
    assert "The case is closed" in owner.text
    assert "By customer care" not in owner.text
