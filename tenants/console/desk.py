"""The desk: staff take cash, or write down a transfer to the bank, and give the customer a receipt."""

from __future__ import annotations

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, SelectField, StringField
from wtforms.validators import Length

from tenants import checkout, ledger, payments, subscribers
from tenants.console.blueprint import bp
from tenants.console.money import PAGE, page_key
from tenants.subscribers import Subscriber
from wavu import ids, money
from wavu.db import savepoint
from wavu.errors import N_
from wavu.web.access import needs
from wavu.web.errors import STATUS
from wavu.web.forms import BaseForm, choices, required, show_refusal

METHODS = {"cash": N_("Cash"), "bank": N_("Bank transfer")}


class TakeForm(BaseForm):
    nonce = HiddenField()
    amount = StringField(_l("Amount in KES"), [required()])
    method = SelectField(_l("How it was paid"))
    reference = StringField(_l("Reference"), [Length(max=60)])


class VoidForm(BaseForm):
    reason = StringField(_l("Reason"), [required(), Length(max=200)])


def _methods() -> list[tuple[str, str]]:
    return [(name, _(words)) for name, words in METHODS.items()]


@bp.get("/money/desk")
@needs("payments.take")
def desk() -> ResponseReturnValue:
    """What was taken, and a search for the customer who pays now."""
    asked, before = request.args.get("q", "").strip(), page_key("before")
    customer = subscribers.find(asked) if asked else None
    if customer is not None:
        return redirect(url_for(".take", subscriber_id=customer.id))
    taken = payments.list_taken(before=before, limit=PAGE + 1)
    return render_template(
        "console/money/desk.html",
        asked=asked,
        taken=taken[:PAGE],
        methods=dict(_methods()),
        owners=subscribers.by_ids(found.payment.subscriber_id for found in taken[:PAGE]),
        cash_held=payments.cash_held(g.signed_in.person.id),
        next_url=url_for(".desk", before=taken[PAGE - 1].payment.id) if len(taken) > PAGE else None,
        first_url=url_for(".desk") if before is not None else None,
    )


@bp.get("/money/desk/take/<uuid:subscriber_id>")
@needs("payments.take")
def take(subscriber_id: UUID) -> ResponseReturnValue:
    return _take_page(subscribers.get(subscriber_id), TakeForm(nonce=ids.new_token()[:32], method="cash"), 200)


@bp.post("/money/desk/take/<uuid:subscriber_id>")
@needs("payments.take")
def take_payment(subscriber_id: UUID) -> ResponseReturnValue:
    customer, form = subscribers.get(subscriber_id), TakeForm(request.form)
    form.method.choices = choices(_methods())
    if not form.validate() or not form.nonce.data:
        return _take_page(customer, form, 422)
    try:
        cents = money.parse(form.amount.data or "")
    except ValueError:
        cents = 0
    if not 0 < cents <= MOST_CENTS:
        form.amount.errors = [_("An amount looks like 1500 or 1,500.50, up to one million.")]
        return _take_page(customer, form, 422)
    taken = payments.take(
        nonce=form.nonce.data[:64],
        subscriber_id=customer.id,
        method=form.method.data,
        amount_cents=cents,
        reference=form.reference.data or None,
        by_id=g.signed_in.person.id,
        by=g.signed_in.person.name,
    )
    checkout.money_arrived(customer.id)
    return redirect(url_for(".desk_receipt", payment_id=taken.id))


# A slip of the finger, and not a payment.
MOST_CENTS = 100_000_000


def _take_page(customer: Subscriber, form: TakeForm, status: int) -> ResponseReturnValue:
    form.method.choices = choices(_methods())
    balance = ledger.balance(ledger.wallet(customer.id))
    return render_template("console/money/desk_take.html", customer=customer, balance=balance, form=form), status


@bp.get("/money/desk/<uuid:payment_id>")
@needs("payments.take")
def desk_receipt(payment_id: UUID) -> ResponseReturnValue:
    return _receipt_page(payment_id, VoidForm(), 200)


@bp.post("/money/desk/<uuid:payment_id>/void")
@needs("money.match")
def void_payment(payment_id: UUID) -> ResponseReturnValue:
    form = VoidForm(request.form)
    if not form.validate():
        return _receipt_page(payment_id, form, 422)
    try:
        with savepoint():
            payments.void(payment_id, reason=form.reason.data or "", by=g.signed_in.person.name)
    except (payments.AlreadySpent, payments.AlreadyVoided) as refusal:
        show_refusal(form, refusal, "reason")
        return _receipt_page(payment_id, form, STATUS[refusal.kind])
    flash(_("The payment is taken back."), "ok")
    return redirect(url_for(".desk_receipt", payment_id=payment_id))


def _receipt_page(payment_id: UUID, form: VoidForm, status: int) -> ResponseReturnValue:
    found = payments.find_taken(payment_id)
    customer = subscribers.get(found.payment.subscriber_id)
    number = subscribers.number_for(customer.id)
    page = render_template(
        "console/money/desk_receipt.html", found=found, customer=customer, number=number, methods=METHODS, form=form
    )
    return page, status
