"""Days and their differences, statements of M-Pesa, and reports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response, current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import format_date, ngettext
from flask_babel import gettext as _

from tenants import mpesa, reconciliation
from tenants.console.blueprint import bp
from tenants.console.money import SOURCES
from tenants.console.proof import prove_first
from tenants.reconciliation import Difference, Payment
from wavu import audit, clock, spreadsheet, texts
from wavu.db import savepoint, transaction
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.tenancy import tenant_scope
from wavu.web.access import accepts_bytes, needs
from wavu.web.errors import STATUS, words_of
from wavu.web.guard import current_tenant

DAYS = 31
PAGE = 50
# Of one kind on one page; what is done to all of a kind is done to those that are not shown too.
SHOWN = 100
LONGEST_RANGE = timedelta(days=366)

# A kind's name, what it means, and what to do about it.
KINDS = {
    "missing_with_us": (
        N_("Missing with us"),
        N_("M-Pesa took this money and we never heard of it. Credit it: it goes to the customer whom it names, or waits"
           " under Unmatched."),
    ),
    "not_at_safaricom": (
        N_("Not on the statement"),
        N_("We credited this and M-Pesa's statement does not have it. Somebody may have forged a confirmation: look up"
           " the receipt in the M-Pesa portal before you accept it."),
    ),
    "amount_differs": (
        N_("Another amount"),
        N_("M-Pesa and we have the same receipt with different amounts. The statement is right: find out how ours came"
           " about."),
    ),
    "reversed_outside": (
        N_("Reversed outside Wavu"),
        N_("M-Pesa gave a customer's payment back. Book it: their balance is reduced, what is not there is owed, and"
           " their access ends."),
    ),
    "paid_without_service": (
        N_("Paid and not served"),
        N_("A package was paid and gave no access. Give it to the customer, or pay back."),
    ),
    "service_without_money": (
        N_("Served and not paid"),
        N_("A customer was given access and the money never came."),
    ),
    "unmatched": (
        N_("Without an owner"),
        N_("A payment lies in suspense. Match it to a customer under Unmatched."),
    ),
    "unexplained": (
        N_("Money moved otherwise"),
        N_("The statement has a movement that did not go through Wavu, such as a payout made in the M-Pesa portal."),
    ),
    "no_statement": (
        N_("No statement yet"),
        N_("Nothing proves this day. Export its statement from the M-Pesa portal and upload it. The amount is what"
           " M-Pesa has not confirmed in any way."),
    ),
}  # fmt: skip

HEADINGS = {
    "days": N_("Day"),
    "packages": N_("Package"),
    "branches": N_("Branch"),
    "shortcodes": N_("Shortcode"),
    "collectors": N_("Taken by"),
    "promo": N_("Given by"),
    "sources": N_("How"),
}
TITLES = {
    "days": N_("By day"),
    "packages": N_("By package"),
    "branches": N_("By branch"),
    "shortcodes": N_("By shortcode"),
    "collectors": N_("By collector"),
    "promo": N_("Promotional credit"),
    "sources": N_("By how it came"),
}
ENVIRONMENTS = {"rehearsal": N_("Rehearsal"), "sandbox": N_("Sandbox"), "staging": N_("Staging"), "production": ""}


class NoteMissing(Refused):
    kind = Kind.INVALID
    message = N_("Write a note: whoever looks at this day later must understand why.")


class NoFile(Refused):
    kind = Kind.INVALID
    message = N_("Choose the file that you exported from the M-Pesa portal.")


# -- days


@bp.get("/money/days")
@needs("money.see")
def days() -> ResponseReturnValue:
    """The days, newest first: closed, open with differences, or not looked at yet; and cases that are followed up."""
    today = _today()
    until = min(_date("until") or today, today)
    states = reconciliation.list_days(until=until, limit=DAYS + 1)
    more = len(states) > DAYS
    return render_template(
        "console/money/days.html",
        today=today,
        days=[_day_row(state, today) for state in states[:DAYS]],
        cases=[(case, _(KINDS[case.kind][0])) for case in reconciliation.open_cases(limit=PAGE)],
        next_url=url_for(".days", until=states[DAYS].day.isoformat()) if more else None,
        first_url=url_for(".days") if until != today else None,
    )


def _day_row(state: reconciliation.DayState, today: date) -> dict[str, Any]:
    totals = state.close.totals if state.close else state.check.totals if state.check else None
    return {
        "day": state.day,
        "label": format_date(state.day, "EEE d MMM y"),
        "is_today": state.day == today,
        "closed_by": state.close.closed_by if state.close else None,
        "open_count": state.check.open_count if state.check else None,
        "open_cents": state.check.open_cents if state.check else 0,
        "credited": _sum(totals, "credited")["cents"] if totals else None,
    }


def _sum(totals: dict[str, Any], what: str) -> dict[str, int]:
    """Cents and count of one thing over all shortcodes."""
    found = [one[what] for one in totals["shortcodes"] if what in one]
    return {"cents": sum(each["cents"] for each in found), "count": sum(each["count"] for each in found)}


@bp.get("/money/days/<day_of_books>")
@needs("money.see")
def day_page(day_of_books: str) -> ResponseReturnValue:
    day = _day(day_of_books)
    close = reconciliation.find_close(day)
    matched = None if close else reconciliation.check_day(day)
    totals = close.totals if close else matched.totals if matched else {}
    return render_template(
        "console/money/day.html",
        day=day,
        title=format_date(day, "EEEE d MMMM y"),
        is_over=reconciliation.period_of(day).ends_at <= clock.now(),
        close=close,
        sums={what: _sum(totals, what) for what in _SUMS},
        service=totals["service"],
        book=[_book_row(row) for row in totals["book"]],
        groups=_groups(matched.differences if matched else _of_close(close.differences if close else [])),
        open_count=len(matched.open) if matched else 0,
        open_cents=sum(abs(each.amount_cents) for each in matched.open) if matched else 0,
        may_close="books.close" in g.permissions,
    )


_SUMS = (
    "stated_payment", "stated_charge", "stated_transfer", "stated_reversal", "stated_payout", "stated_other",
    "credited", "pulled",
)  # fmt: skip


def _book_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "name": _account_name(row["code"])}


def _account_name(code: str) -> str:
    """An asset of the ledger as people call it."""
    kind, _colon, rest = code.removeprefix("asset:").partition(":")
    names = {"mpesa": "M-Pesa", "mpesa_b2c": _("M-Pesa for payouts"), "bank": _("Bank"), "cash": _("Cash")}
    return f"{names.get(kind, kind)} {rest}".strip()


def _groups(differences: list[Difference]) -> list[dict[str, Any]]:
    """The differences by kind, in the order of KINDS."""
    found = {each.kind for each in differences}
    return [_group(kind, [each for each in differences if each.kind == kind]) for kind in KINDS if kind in found]


def _group(kind: str, differences: list[Difference]) -> dict[str, Any]:
    title, advice = KINDS[kind]
    left = [each for each in differences if not each.explained]
    return {
        "kind": kind, "title": _(title), "advice": _(advice), "open_count": len(left),
        "cents": sum(abs(each.amount_cents) for each in differences),
        "more": max(0, len(differences) - SHOWN),
        "rows": sorted(differences, key=lambda each: each.explained)[:SHOWN],
    }  # fmt: skip


def _of_close(sealed: list[dict[str, Any]]) -> list[Difference]:
    """The differences with which a day was closed."""
    return [Difference(**each, about="", at=None, explained=True) for each in sealed]


@bp.post("/money/days/<day_of_books>/credit")
@needs("books.close")
def credit_difference(day_of_books: str) -> ResponseReturnValue:
    day = _day(day_of_books)

    def act() -> str:
        count = reconciliation.credit(day, request.form.get("subject") or None)
        return str(ngettext("%(num)s payment credited.", "%(num)s payments credited.", count))

    return _act(day, act)


@bp.post("/money/days/<day_of_books>/explain")
@needs("books.close")
def explain_difference(day_of_books: str) -> ResponseReturnValue:
    day, kind = _day(day_of_books), request.form.get("kind", "")

    def act() -> str:
        count = reconciliation.accept(day, kind, request.form.get("subject") or None, _note())
        return str(ngettext("%(num)s difference explained.", "%(num)s differences explained.", count))

    return _act(day, act)


@bp.post("/money/days/<day_of_books>/case")
@needs("books.close")
def open_case(day_of_books: str) -> ResponseReturnValue:
    day, kind = _day(day_of_books), request.form.get("kind", "")

    def act() -> str:
        reconciliation.open_case(day, kind, request.form.get("subject", ""), _note())
        return str(_("The case is open. It is listed under Days until somebody closes it."))

    return _act(day, act)


@bp.post("/money/days/<day_of_books>/take-back")
@needs("books.close")
def take_back(day_of_books: str) -> ResponseReturnValue:
    day = _day(day_of_books)

    def act() -> str:
        reconciliation.take_back(day, request.form.get("subject", ""), _note())
        return str(_("The reversal is booked and a case is open."))

    return _act(day, act)


@bp.post("/money/days/<day_of_books>/close")
@needs("books.close")
def close_day(day_of_books: str) -> ResponseReturnValue:
    day = _day(day_of_books)
    if (first := prove_first(url_for(".day_page", day_of_books=day.isoformat()))) is not None:
        return first

    def act() -> str:
        reconciliation.close_day(day)
        return str(_("The day is closed. Nothing that comes later changes it."))

    return _act(day, act)


@bp.post("/money/cases/<uuid:case_id>")
@needs("books.close")
def resolve_case(case_id: UUID) -> ResponseReturnValue:
    case = reconciliation.find_case(case_id)
    try:
        reconciliation.resolve_case(case, _note())
        flash(_("The case is closed."), "ok")
    except NoteMissing as refusal:
        flash(words_of(refusal), "bad")
    return redirect(url_for(".days"))


def _act(day: date, act: Any) -> ResponseReturnValue:
    """Does something to a day and says what came of it, on the day's page."""
    try:
        with savepoint():
            said = act()
        flash(said, "ok")
    except Refused as refusal:
        flash(words_of(refusal), "bad")
    return redirect(url_for(".day_page", day_of_books=day.isoformat()))


def _note() -> str:
    note = texts.tidy(request.form.get("note", ""))[:500]
    if not note or not texts.is_seen(note):
        raise NoteMissing
    return note


# -- statements


@bp.get("/money/statements")
@needs("money.see")
def statements() -> ResponseReturnValue:
    return _show_statements(None, 200)


@bp.post("/money/statements")
@accepts_bytes(reconciliation.MAX_STATEMENT_BYTES)
@needs("books.close")
def upload_statement() -> ResponseReturnValue:
    """Takes a statement in, all of it or nothing."""
    file = request.files.get("file")
    try:
        with savepoint():
            if file is None or not file.filename:
                raise NoFile
            account_id = UUID(request.form.get("account", ""))
            if account_id not in {account.id for account in mpesa.list_accounts()}:
                raise NotFound
            done = reconciliation.import_statement(account_id, texts.tidy(file.filename), file.stream)  # type: ignore[arg-type]
    except ValueError:
        raise NotFound from None
    except Refused as refusal:
        return _show_statements(words_of(refusal), STATUS[refusal.kind])
    if not done.is_new:
        flash(_("This very file was imported before; nothing changed."), "warn")
    else:
        rows = done.statement
        flash(_("%(new)s new movements of %(all)s.", new=rows.new_count, all=rows.row_count), "ok")
    day = min(done.days[-1], _today())
    return redirect(url_for(".day_page", day_of_books=day.isoformat()))


def _show_statements(error: str | None, status: int) -> ResponseReturnValue:
    before = _key("before")
    found = reconciliation.list_statements(before=before, limit=PAGE + 1)
    page = render_template(
        "console/money/statements.html",
        statements=[(each, _group_name(each.environment, each.shortcode_group)) for each in found[:PAGE]],
        accounts=mpesa.list_accounts(),
        error=error,
        most=reconciliation.MAX_STATEMENT_BYTES // 1024 // 1024,
        may_upload="books.close" in g.permissions,
        next_url=url_for(".statements", before=found[PAGE - 1].id) if len(found) > PAGE else None,
        first_url=url_for(".statements") if before is not None else None,
    )
    return page, status


def _group_name(environment: str, group: str) -> str:
    words = ENVIRONMENTS.get(environment, environment)
    if group.startswith("airtel "):
        group = group.replace("airtel", "Airtel Money", 1)
    return f"{group} · {_(words)}" if words else group


# -- reports


@bp.get("/money/reports")
@needs("money.see")
def reports() -> ResponseReturnValue:
    """Sums over a range of days, by one thing at a time."""
    first, last = _range()
    name = request.args.get("by", "days")
    lines = [(_label(name, line.label), line) for line in reconciliation.report(name, first, last)]
    return render_template(
        "console/money/reports.html",
        first=first,
        last=last,
        name=name,
        heading=_(HEADINGS[name]),
        choices=[(each, _(TITLES[each])) for each in reconciliation.REPORTS],
        lines=lines,
        count=sum(line.how_many for _name, line in lines),
        cents=sum(line.cents for _name, line in lines),
        promo_cents=sum(line.promo_cents for _name, line in lines),
    )


@bp.get("/money/reports/<name>.<form>")
@needs("money.see")
def export_report(name: str, form: str) -> ResponseReturnValue:
    """A report, or `payments` with every payment of the range, as csv or xlsx. Audited."""
    first, last = _range()
    if form not in {"csv", "xlsx"} or name not in {"payments", *reconciliation.REPORTS}:
        raise NotFound
    audit.record("books.report_exported", report=name, first=first.isoformat(), last=last.isoformat())
    if name == "payments":
        headings = [_("When"), _("Receipt"), _("Amount"), _("Shortcode"), _("How"), _("Account number typed"),
                    _("Package"), _("Branch")]  # fmt: skip
        rows: Iterator[list[spreadsheet.Cell]] = _payment_rows(first, last)
    else:
        headings = [_(HEADINGS[name]), _("How many"), _("Amount"), _("Of that promotional credit")]
        lines = reconciliation.report(name, first, last)
        rows = iter(
            [[_label(name, line.label), line.how_many, line.cents / 100, line.promo_cents / 100] for line in lines]
        )
    return _file(f"{name}-{first}-{last}.{form}", headings, rows)


def _payment_rows(first: date, last: date) -> Iterator[list[spreadsheet.Cell]]:
    """Each page in a transaction of its own: the file is sent when the request's is over."""
    app, tenant_id = current_app._get_current_object(), current_tenant().id  # type: ignore[attr-defined]
    # In the reader's language, which is the request's.
    sources = {name: _(words) for name, words in SOURCES.items()}

    def page(after: Payment | None) -> list[Payment]:
        with app.app_context(), tenant_scope(tenant_id), transaction():
            return reconciliation.payments_page(first, last, after)

    return (
        [
            paid.moved_at, paid.receipt, paid.amount_cents / 100, paid.shortcode_group,
            sources.get(paid.source, paid.source), paid.reference, paid.package, paid.branch,
        ]
        for paid in reconciliation.walk(page)
    )  # fmt: skip


def _file(name: str, headings: list[str], rows: Iterator[list[spreadsheet.Cell]]) -> Response:
    zone = ZoneInfo(current_tenant().timezone)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    if name.endswith(".csv"):
        lines = spreadsheet.csv_lines(headings, rows, zone)
        return Response(lines, content_type="text/csv; charset=utf-8", headers=headers)
    return Response(
        _workbook(headings, rows, zone),
        content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        headers=headers,
    )


def _workbook(headings: list[str], rows: Iterator[list[spreadsheet.Cell]], zone: ZoneInfo) -> Iterator[bytes]:
    with spreadsheet.xlsx(headings, rows, zone) as file:
        while piece := file.read(65_536):
            yield piece


def _label(name: str, label: str) -> str:
    if name == "sources":
        return str(_(SOURCES.get(label, label)))
    if name == "shortcodes":
        return _group_name(*label.split(" ", 1))
    return label or str(_("Not known"))


# -- what addresses say


def _today() -> date:
    return clock.local_date(clock.now(), current_tenant().timezone)


def _date(name: str) -> date | None:
    try:
        return datetime.strptime(request.args.get(name, ""), "%Y-%m-%d").date()  # noqa: DTZ007 - a calendar's day
    except ValueError:
        return None


def _day(said: str) -> date:
    """The day that a path names; only one that has begun and is of this tenant's time."""
    try:
        day = date.fromisoformat(said)
    except ValueError:
        raise NotFound from None
    if not reconciliation.first_day() <= day <= _today():
        raise NotFound
    return day


def _range() -> tuple[date, date]:
    """The days that were asked for, a year at most; this month where nothing was."""
    today = _today()
    first, last = _date("first") or today.replace(day=1), min(_date("last") or today, today)
    first = max(min(first, last), last - LONGEST_RANGE)
    return first, last


def _key(name: str) -> UUID | None:
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None
