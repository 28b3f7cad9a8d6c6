"""A customer's money: what is on the balance and how it came there, promotional credit, packages that renew themselves,
and selling at the desk."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, SelectField, StringField
from wtforms.validators import Length

from tenants import checkout, subscribers
from tenants.checkout import history, promo, renewals, sales
from tenants.checkout.history import Movement
from tenants.console.blueprint import bp
from tenants.console.desk import METHODS
from tenants.console.money import PAGE, page_key
from tenants.console.proof import prove_first
from tenants.subscribers import Subscriber
from wavu import clock, ids, money
from wavu.db import savepoint
from wavu.errors import N_, NotFound, Refused
from wavu.web.access import needs
from wavu.web.errors import STATUS, words_of
from wavu.web.forms import BaseForm, choices, required, show_refusal
from wavu.web.guard import current_tenant

# What a movement is called, by the kind of its posting.
MOVES = {
    "mpesa_in": N_("Paid by M-Pesa"),
    "suspense_match": N_("Payment found to be theirs"),
    "desk_in": N_("Paid at the desk"),
    "desk_void": N_("Payment at the desk taken back"),
    "purchase": N_("Package"),
    "purchase_taken_back": N_("Package taken back"),
    "refund_reserved": N_("Refund by M-Pesa"),
    "refund_released": N_("Refund that did not go out"),
    "refund_paid": N_("Refund by M-Pesa"),
    "reversed_outside": N_("Payment reversed by M-Pesa"),
    "promo_granted": N_("Promotional credit"),
    "promo_expired": N_("Promotional credit has ended"),
}
CAME, WENT = N_("Came in"), N_("Went out")
# Why a renewal waits, or is off.
SAID = {
    "short": N_("There is not enough money. It is tried again when money comes in, until three days after the end."),
    "price": N_("The price has risen. It waits until somebody agrees: switch it on again."),
    "withdrawn": N_("The package is not sold any more."),
    "gave_up": N_("No money came within three days after the end."),
    "returned": N_("The package was given back."),
    "nothing": N_("There was no package to renew."),
    "switched_off": N_("Somebody switched it off."),
}


class RenewForm(BaseForm):
    package = SelectField(_l("Package"))


class PromoForm(BaseForm):
    nonce = HiddenField()
    amount = StringField(_l("Amount in KES"), [required(), Length(max=20)])
    reason = StringField(_l("Reason"), [required(), Length(max=200)])
    until = StringField(_l("Good until"), [required(), Length(max=10)])


class PromoLimitForm(BaseForm):
    most = StringField(_l("Given at once, in KES"), [required(), Length(max=20)])


class SellForm(BaseForm):
    nonce = HiddenField()
    package = SelectField(_l("Package"))
    method = SelectField(_l("How the rest is paid"))


@bp.get("/money/customers/<uuid:subscriber_id>")
@needs("money.see")
def customer_wallet(subscriber_id: UUID) -> ResponseReturnValue:
    """Newest first, paged by key, with the balance after each."""
    return _customer_page(subscribers.get(subscriber_id), _new_promo(), RenewForm(), 200)


def _new_promo() -> PromoForm:
    until = clock.local_date(clock.now(), current_tenant().timezone) + timedelta(days=30)
    return PromoForm(nonce=ids.new_token()[:32], until=until.isoformat())


def _customer_page(
    customer: Subscriber, promo_form: PromoForm, renew_form: RenewForm, status: int
) -> ResponseReturnValue:
    before = page_key("before")
    has, moved = history.overview(customer), history.movements(customer.id, before=before, limit=PAGE + 1)
    currency = current_tenant().currency
    renew_form.package.choices = choices(
        [(item["id"], f"{item['name']} · {money.show(item['price_cents'], currency)}") for item in has.packages]
    )
    first_url = url_for(".customer_wallet", subscriber_id=customer.id)
    page = render_template(
        "console/money/customer.html",
        customer=customer,
        has=has,
        renewals=[_renewal_row(row) for row in has.renewals if row["state"] == "on" or row is has.renewals[0]],
        grants=[grant | {"live": grant["left_cents"] > 0} for grant in has.grants],
        most_promo=has.most_promo_cents if has.most_promo_cents is not None else promo.MOST_CENTS,
        moves=[_move_row(each) for each in moved[:PAGE]],
        promo_form=promo_form,
        renew_form=renew_form,
        next_url=f"{first_url}?before={moved[PAGE - 1].id}" if len(moved) > PAGE else None,
        first_url=first_url if before is not None else None,
    )
    return page, status


def _move_row(each: Movement) -> dict[str, Any]:
    what = _(MOVES.get(each.kind, CAME if each.cents > 0 else WENT))
    if each.package:
        what = f"{what}: {each.package}"
    if each.renewed and each.kind == "purchase":
        what = _("%(what)s (auto-renew)", what=what)
    return {"move": each, "what": what, "about": each.receipt or each.reason or ""}


def _renewal_row(row: dict[str, Any]) -> dict[str, Any]:
    words = SAID.get(row.pop("said"))
    return row | {"said": _(words) if words else None, "on": row["state"] == "on"}


@bp.post("/money/customers/<uuid:subscriber_id>/renew")
@needs("payments.take")
def renew_on(subscriber_id: UUID) -> ResponseReturnValue:
    customer = subscribers.get(subscriber_id)
    try:
        with savepoint():
            renewals.switch_on(customer.id, UUID(request.form.get("package", "")), by=g.signed_in.person.name)
    except ValueError:
        raise NotFound from None
    except Refused as refusal:
        flash(words_of(refusal), "bad")
    else:
        flash(_("Auto-renew is on. The balance pays the next period a day before this one ends."), "ok")
    return redirect(url_for(".customer_wallet", subscriber_id=customer.id))


@bp.post("/money/customers/<uuid:subscriber_id>/renew/<uuid:renewal_id>/off")
@needs("payments.take")
def renew_off(subscriber_id: UUID, renewal_id: UUID) -> ResponseReturnValue:
    customer = subscribers.get(subscriber_id)
    renewals.switch_off(renewal_id)
    flash(_("Auto-renew is off. What is paid stays."), "ok")
    return redirect(url_for(".customer_wallet", subscriber_id=customer.id))


@bp.post("/money/customers/<uuid:subscriber_id>/promo")
@needs("promo.grant")
def promo_grant(subscriber_id: UUID) -> ResponseReturnValue:
    customer, form = subscribers.get(subscriber_id), PromoForm(request.form)
    if not form.validate() or not form.nonce.data:
        return _customer_page(customer, form, RenewForm(), 422)
    cents, until = _cents(form, "amount"), _day(form.until.data or "")
    if cents is None or until is None:
        if until is None:
            form.until.errors = [_("A day looks like 2026-12-31.")]
        return _customer_page(customer, form, RenewForm(), 422)
    try:
        with savepoint():
            promo.grant(
                nonce=form.nonce.data[:64], subscriber_id=customer.id, amount_cents=cents,
                reason=form.reason.data or "", expires_at=_end_of(until), by_id=g.signed_in.person.id,
                by=g.signed_in.person.name,
            )  # fmt: skip
            # A renewal that it was missing for. It buys nothing else by itself.
            checkout.try_renewals(customer.id)
    except Refused as refusal:
        show_refusal(form, refusal, "until" if isinstance(refusal, promo.BadExpiry) else "amount")
        return _customer_page(customer, form, RenewForm(), STATUS[refusal.kind])
    flash(_("%(amount)s of promotional credit given.", amount=money.show(cents)), "ok")
    return redirect(url_for(".customer_wallet", subscriber_id=customer.id))


def _day(said: str) -> date | None:
    try:
        return date.fromisoformat(said)
    except ValueError:
        return None


def _end_of(day: date) -> datetime:
    """Midnight at the end of the tenant's day."""
    try:
        return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(current_tenant().timezone))
    except OverflowError:
        raise promo.BadExpiry from None


def _cents(form: BaseForm, name: str) -> int | None:
    try:
        return money.parse(form[name].data or "")
    except ValueError:
        form[name].errors = [*form[name].errors, _("An amount looks like 1500 or 1,500.50.")]
        return None


# -- all credit of the ISP


@bp.get("/money/promo")
@needs("money.see")
def promo_list() -> ResponseReturnValue:
    return _promo_page(PromoLimitForm(most=str(promo.most_cents() // 100)), 200)


def _promo_page(form: PromoLimitForm, status: int) -> ResponseReturnValue:
    before = page_key("before")
    found = promo.list_grants(before=before, limit=PAGE + 1)
    page = render_template(
        "console/money/promo.html",
        grants=found[:PAGE],
        owners=subscribers.by_ids(grant.subscriber_id for grant in found[:PAGE]),
        most=promo.most_cents(),
        limit_form=form,
        next_url=url_for(".promo_list", before=found[PAGE - 1].id) if len(found) > PAGE else None,
        first_url=url_for(".promo_list") if before is not None else None,
    )
    return page, status


@bp.post("/money/promo/limit")
@needs("promo.limit")
def promo_limit() -> ResponseReturnValue:
    if (first := prove_first(url_for(".promo_list"))) is not None:
        return first
    form = PromoLimitForm(request.form)
    cents = _cents(form, "most") if form.validate() else None
    if cents is None:
        return _promo_page(form, 422)
    promo.set_most(cents)
    flash(_("The limit is changed."), "ok")
    return redirect(url_for(".promo_list"))


# -- selling


@bp.get("/money/desk/sell/<uuid:subscriber_id>")
@needs("payments.take")
def sell(subscriber_id: UUID) -> ResponseReturnValue:
    customer, offers = subscribers.get(subscriber_id), sales.offered(subscriber_id)
    method = "cash" if offers and offers[0].due_cents else "balance"
    return _sell_page(customer, SellForm(nonce=ids.new_token()[:32], method=method), 200)


@bp.post("/money/desk/sell/<uuid:subscriber_id>")
@needs("payments.take")
def sell_package(subscriber_id: UUID) -> ResponseReturnValue:
    customer, form = subscribers.get(subscriber_id), SellForm(request.form)
    # The package and what the seller has seen to be due for it.
    chosen, _colon, due = (form.package.data or "").partition(":")
    try:
        package_id, due_cents = UUID(chosen), int(due)
    except ValueError:
        form.package.errors = [_("Choose a package.")]
        return _sell_page(customer, form, 422)
    if not form.nonce.data or form.method.data not in {*METHODS, "balance"}:
        return _sell_page(customer, form, 422)
    try:
        with savepoint():
            sold = sales.sell(
                nonce=form.nonce.data[:64], subscriber_id=customer.id, package_id=package_id, due_cents=due_cents,
                method=None if form.method.data == "balance" else form.method.data, by_id=g.signed_in.person.id,
                by=g.signed_in.person.name,
            )  # fmt: skip
    except Refused as refusal:
        show_refusal(form, refusal, "package")
        return _sell_page(customer, form, STATUS[refusal.kind])
    return redirect(url_for(".sale", sale_id=sold.id))


def _sell_page(customer: Subscriber, form: SellForm, status: int) -> ResponseReturnValue:
    currency, offers = current_tenant().currency, sales.offered(customer.id)
    form.package.choices = choices(
        [(f"{each.package.id}:{each.due_cents}", _offer_words(each, currency)) for each in offers]
    )
    form.method.choices = choices(
        [("balance", _("Nothing more: the balance is enough")), *((name, _(words)) for name, words in METHODS.items())]
    )
    page = render_template(
        "console/money/desk_sell.html", customer=customer, offers=offers, form=form, has=history.overview(customer)
    )
    return page, status


def _offer_words(each: sales.Offered, currency: str) -> str:
    price = f"{each.package.name} · {money.show(each.package.price_cents, currency)}"
    if not each.due_cents:
        return str(_("%(package)s (the balance is enough)", package=price))
    return str(_("%(package)s (%(due)s to pay)", package=price, due=money.show(each.due_cents, currency)))


@bp.get("/money/desk/sales/<uuid:sale_id>")
@needs("payments.take")
def sale(sale_id: UUID) -> ResponseReturnValue:
    found = sales.find_sale(sale_id)
    customer = subscribers.get(found.purchase.subscriber_id)
    return render_template(
        "console/money/sale.html",
        found=found,
        customer=customer,
        number=subscribers.number_for(customer.id),
        methods={name: _(words) for name, words in METHODS.items()},
        paid_cents=found.payment.amount_cents if found.payment is not None else 0,
    )
