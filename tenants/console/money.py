"""Money: what came, and what of it nobody is known to own."""

from __future__ import annotations

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import StringField

from tenants import checkout, payments, subscribers
from tenants.console.blueprint import bp
from wavu import money
from wavu.db import savepoint
from wavu.errors import N_, Refused
from wavu.web.access import needs
from wavu.web.errors import STATUS
from wavu.web.forms import BaseForm, required, show_refusal

PAGE = 50

PROMPTED, AIRTEL = N_("Prompt on the phone"), N_("Airtel Money")
# How we first heard of a receipt.
SOURCES = {
    "stk callback": PROMPTED,
    "stk callback and query": PROMPTED,
    "airtel callback": AIRTEL,
    "airtel query": AIRTEL,
    "c2b": N_("Paid by hand"),
    "pull": N_("Found by asking M-Pesa"),
    "staff": N_("Entered by staff"),
    "statement": N_("Found on a statement"),
}


@bp.get("/money")
@needs("money.see")
def payments_list() -> ResponseReturnValue:
    """What came in, newest first, paged by key; one receipt where a code is asked for."""
    code, before = request.args.get("q", "").strip().upper(), page_key("before")
    arrivals = payments.list_arrivals(before=before, receipt=code or None, limit=PAGE + 1)
    shown = arrivals[:PAGE]
    return render_template(
        "console/money/payments.html",
        code=code,
        owners=subscribers.by_ids(found.receipt.subscriber_id for found in shown if found.receipt.subscriber_id),
        prompted=_(PROMPTED),
        sources={name: _(words) for name, words in SOURCES.items()},
        arrivals=shown,
        next_url=url_for(".payments_list", before=arrivals[PAGE - 1].receipt.id) if len(arrivals) > PAGE else None,
        first_url=url_for(".payments_list") if before is not None else None,
    )


@bp.get("/money/unmatched")
@needs("money.see")
def unmatched() -> ResponseReturnValue:
    """What lies in suspense, newest first, and what was reported and is not proven."""
    before = page_key("before")
    items = payments.list_unmatched(before=before, limit=PAGE + 1)
    return render_template(
        "console/money/unmatched.html",
        items=items[:PAGE],
        claims=payments.list_unproven(limit=PAGE) if before is None else [],
        next_url=url_for(".unmatched", before=items[PAGE - 1].item.id) if len(items) > PAGE else None,
        first_url=url_for(".unmatched") if before is not None else None,
    )


class MatchForm(BaseForm):
    account = StringField(_l("Account number or phone of the customer"), [required()])
    amount = StringField(_l("Amount in KES"), [required()])


@bp.get("/money/unmatched/<uuid:item_id>")
@needs("money.match")
def unmatched_item(item_id: UUID) -> ResponseReturnValue:
    found = payments.find_unmatched(item_id)
    return _show_item(found, MatchForm(amount=_typed(found.item.left_cents)), 200)


@bp.post("/money/unmatched/<uuid:item_id>")
@needs("money.match")
def match(item_id: UUID) -> ResponseReturnValue:
    found, form = payments.find_unmatched(item_id), MatchForm(request.form)
    if not form.validate():
        return _show_item(found, form, 422)
    try:
        cents = money.parse(form.amount.data or "")
    except ValueError:
        form.amount.errors = [_("An amount looks like 1500 or 1,500.50.")]
        return _show_item(found, form, 422)
    try:
        with savepoint():
            name = checkout.match_unmatched(item_id, form.account.data or "", cents)
    except Refused as refusal:
        show_refusal(form, refusal, "account")
        return _show_item(found, form, STATUS[refusal.kind])
    flash(_("%(amount)s went to %(customer)s.", amount=money.show(cents), customer=name), "ok")
    return redirect(url_for(".unmatched"))


class EnterForm(BaseForm):
    receipt = StringField(_l("Receipt code"), [required()])
    amount = StringField(_l("Amount in KES"), [required()])
    account = StringField(_l("Account number or phone of the customer"), [required()])


@bp.get("/money/enter")
@needs("money.match")
def enter() -> ResponseReturnValue:
    """A payment that a customer shows on the phone, and that has not come in."""
    return render_template("console/money/enter.html", form=EnterForm())


@bp.post("/money/enter")
@needs("money.match")
def enter_payment() -> ResponseReturnValue:
    form = EnterForm(request.form)
    if not form.validate():
        return render_template("console/money/enter.html", form=form), 422
    try:
        cents = money.parse(form.amount.data or "")
    except ValueError:
        form.amount.errors = [_("An amount looks like 1500 or 1,500.50.")]
        return render_template("console/money/enter.html", form=form), 422
    try:
        with savepoint():
            name = checkout.enter_payment(form.receipt.data or "", cents, form.account.data or "")
    except Refused as refusal:
        show_refusal(form, refusal, "account" if isinstance(refusal, checkout.NobodyHasThat) else "receipt")
        return render_template("console/money/enter.html", form=form), STATUS[refusal.kind]
    flash(_("%(amount)s went to %(customer)s.", amount=money.show(cents), customer=name), "ok")
    return redirect(url_for(".payments_list"))


def _show_item(found: payments.Unmatched, form: MatchForm, status: int) -> ResponseReturnValue:
    suggestions = payments.suggest_owners(found.receipt)
    page = render_template("console/money/unmatched_item.html", found=found, form=form, suggestions=suggestions)
    return page, status


def _typed(cents: int) -> str:
    return f"{cents // 100}" if cents % 100 == 0 else f"{cents / 100:.2f}"


def page_key(name: str) -> UUID | None:
    """The query's `before`: the row after which a page begins. None where it can be none."""
    try:
        return UUID(request.args.get(name, ""))
    except ValueError:
        return None
