"""Refunds and payouts: who asked for what, where each stands in plain words, and what a person may do about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, SelectField, StringField
from wtforms.validators import Length

from tenants import mpesa, payouts
from tenants.console.blueprint import bp
from tenants.console.proof import has_second_factor, prove_first
from tenants.payouts import Payout, Refundable, Who
from wavu import money
from wavu.db import savepoint
from wavu.errors import N_, NotFound, Refused
from wavu.web.access import needs
from wavu.web.errors import STATUS, words_of
from wavu.web.forms import BaseForm, choices, required, show_refusal

PAGE = 50

# The state in a word or two, its tone, and what it means for the customer's money.
STATES: dict[str, tuple[str, str, str]] = {
    "draft": (N_("Waits for a second person"), "warn", N_("Nothing has moved. Somebody else must approve it.")),
    "approved": (N_("Waits to be sent"), "", N_("The money is set aside. It goes out in a moment.")),
    "sending": (N_("Being sent"), "", N_("The money is set aside, and M-Pesa is being told.")),
    "accepted": (N_("M-Pesa has taken it"), "", N_("M-Pesa has the request. What became of it comes in a moment.")),
    "unknown": (
        N_("Not known yet"),
        "warn",
        N_(
            "M-Pesa has not told whether it paid this. The money stays set aside and is never sent twice: we ask M-Pesa"
            " again after 1, 5 and 30 minutes, then every hour."
        ),
    ),
    "review": (
        N_("Needs you"),
        "bad",
        N_(
            "M-Pesa has not told whether it paid this, or told something we do not understand. The money stays set"
            " aside. Look for it on your M-Pesa statement, then say here what you found."
        ),
    ),
    "paid": (N_("Paid out"), "ok", N_("The customer has the money.")),
    "failed": (N_("Failed"), "bad", N_("M-Pesa said no. The money is back where it came from.")),
    "withdrawn": (N_("Withdrawn"), "", N_("Nothing was sent.")),
}
# Why M-Pesa said no, as far as somebody can do something about it (build sheet 9, 11).
CODES: dict[str, str] = {
    "1": N_("There was too little money in the M-Pesa utility account."),
    "2": N_("The amount is below what M-Pesa sends."),
    "3": N_("The amount is above what M-Pesa sends."),
    "4": N_("The customer's limit of the day is reached."),
    "8": N_("The customer's M-Pesa account is full."),
    "21": N_("The API initiator lacks the role for this."),
    "2040": N_("The number is not registered with M-Pesa."),
    "R000001": N_("It had been taken back before."),
    "R000002": N_("M-Pesa does not know the payment."),
    "statement": N_("Settled by hand, from the M-Pesa statement."),
    "amount": N_("M-Pesa told of another amount."),
    "expired": N_("It waited too long at M-Pesa."),
    **dict.fromkeys(("2001", "18", "20", "8006"), N_("M-Pesa refused the API initiator's name or password.")),
}
METHODS = {
    "b2c": N_("To the phone that paid"),
    "reversal": N_("Take the whole payment back"),
    "wallet": N_("To the customer's balance here"),
}


class FindForm(BaseForm):
    receipt = StringField(_l("Receipt code"), [required(), Length(max=20)])


class RefundForm(BaseForm):
    method = SelectField(_l("How"), choices=choices([(name, "") for name in METHODS]))
    amount = StringField(_l("Amount in KES"), [Length(max=20)])
    end_package = BooleanField(_l("End the package that was bought and use its price"))
    reason = StringField(_l("Reason"), [required(), Length(min=2, max=100)])


class LimitForm(BaseForm):
    alone = StringField(_l("One person alone, in a day, in KES"), [required(), Length(max=20)])


class DecideForm(BaseForm):
    receipt = StringField(_l("Receipt of the payout on the statement"), [Length(max=20)])


@bp.get("/money/refunds")
@needs("money.see")
def payouts_list() -> ResponseReturnValue:
    """Newest first, paged by key; only what is under way where that is asked for."""
    return _list(LimitForm(alone=_typed(payouts.limit().alone_cents)), 200)


def _list(form: LimitForm, status: int) -> ResponseReturnValue:
    before, only_open = _key(), request.args.get("open") == "1"
    found = payouts.list_payouts(before=before, only_open=only_open, limit=PAGE + 1)
    more = len(found) > PAGE
    page = render_template(
        "console/money/payouts.html",
        payouts=[_row(payout) for payout in found[:PAGE]],
        only_open=only_open,
        limit=payouts.limit(),
        limit_form=form,
        next_url=url_for(".payouts_list", before=found[PAGE - 1].id, open="1" if only_open else None) if more else None,
        first_url=url_for(".payouts_list") if before is not None else None,
    )
    return page, status


@bp.post("/money/refunds/limit")
@needs("payouts.limit")
def payout_limit() -> ResponseReturnValue:
    if (first := prove_first(url_for(".payouts_list"))) is not None:
        return first
    form = LimitForm(request.form)
    cents = _cents(form, "alone") if form.validate() else None
    if cents is None:
        return _list(form, 422)
    held = payouts.set_limit(cents, by=g.signed_in.person.name)
    if held.next_alone_cents is not None:
        flash(_("The higher limit holds in 24 hours. Owners are told by e-mail."), "ok")
    else:
        flash(_("The limit is changed."), "ok")
    return redirect(url_for(".payouts_list"))


@bp.route("/money/refunds/new", methods=["GET", "POST"])
@needs("payouts.request")
def payout_new() -> ResponseReturnValue:
    """First the receipt, then what to give back of it."""
    code = request.args.get("receipt", "").strip().upper()
    find = FindForm(receipt=code)
    if not code:
        return _show_new(find, None, None, 200)
    try:
        known = payouts.refundable(code)
    except NotFound:
        find.receipt.errors = [_("No payment with this receipt has come in.")]
        return _show_new(find, None, None, 404)
    back = url_for(".payout_new", receipt=code)
    if request.method == "GET":
        first = prove_first(back) if has_second_factor() else None
        return first or _show_new(find, known, RefundForm(data=_offer(known)), 200)
    return prove_first(back) or _ask(find, known, RefundForm(request.form))


def _offer(known: Refundable) -> dict[str, Any]:
    returned = known.purchase.price_cents - known.purchase.promo_cents if known.purchase is not None else 0
    most = min(known.left_cents, known.wallet_cents + returned)
    return {
        "method": "b2c" if known.phone is not None else "reversal",
        "amount": _typed(most),
        "end_package": known.purchase is not None,
    }


def _ask(find: FindForm, known: Refundable, form: RefundForm) -> ResponseReturnValue:
    offered = [name for name in METHODS if _is_offered(name, known)]
    form.method.choices = choices([(name, name) for name in offered])
    valid = form.validate()
    cents = known.receipt.amount_cents if form.method.data != "b2c" else _cents(form, "amount")
    if not valid or cents is None:
        return _show_new(find, known, form, 422)
    try:
        with savepoint():
            if form.method.data == "wallet":
                payouts.refund_to_wallet(known.receipt.id, reason=form.reason.data or "", by=_who())
                flash(_("The package has ended and its price is on the customer's balance."), "ok")
                return redirect(url_for(".payouts_list"))
            payout = payouts.request_refund(
                known.receipt.id, method=form.method.data, amount_cents=cents, reason=form.reason.data or "",
                by=_who(), end_package=bool(form.end_package.data),
            )  # fmt: skip
    except Refused as refusal:
        show_refusal(form, refusal)
        return _show_new(find, known, form, STATUS[refusal.kind])
    flash(_(STATES[payout.state][2]), "warn" if payout.state == "draft" else "ok")
    return redirect(url_for(".payout_show", payout_id=payout.id))


def _show_new(find: FindForm, known: Refundable | None, form: RefundForm | None, status: int) -> ResponseReturnValue:
    if form is not None:
        offered = [name for name in METHODS if _is_offered(name, known)]
        form.method.choices = choices([(name, _(METHODS[name])) for name in offered])
    page = render_template(
        "console/money/payout_new.html", find=find, known=known, form=form, second_factor_on=has_second_factor()
    )
    return page, status


def _is_offered(method: str, known: Refundable | None) -> bool:
    if known is None:
        return False
    if method == "wallet":
        return known.purchase is not None
    return method == "reversal" or known.phone is not None


@bp.get("/money/refunds/<uuid:payout_id>")
@needs("money.see")
def payout_show(payout_id: UUID) -> ResponseReturnValue:
    return _show(payouts.find_payout(payout_id), DecideForm(), 200)


def _show(payout: Payout, form: DecideForm, status: int) -> ResponseReturnValue:
    page = render_template(
        "console/money/payout.html",
        payout=payout,
        row=_row(payout),
        meaning=_(STATES[payout.state][2]),
        why=_(CODES[payout.code]) if payout.code in CODES else None,
        is_own=payout.requested_by == g.signed_in.person.id,
        decide_form=form,
        asked=len([r for r in mpesa.requests_about(payout.id) if r.api == "status"]),
        unproven=payout.state in payouts.UNPROVEN,
    )
    return page, status


@bp.post("/money/refunds/<uuid:payout_id>/approve")
@needs("payouts.approve")
def payout_approve(payout_id: UUID) -> ResponseReturnValue:
    payouts.find_payout(payout_id)
    return _act(payout_id, lambda: payouts.approve(payout_id, by=_who()))


@bp.post("/money/refunds/<uuid:payout_id>/withdraw")
@needs("payouts.request")
def payout_withdraw(payout_id: UUID) -> ResponseReturnValue:
    payouts.find_payout(payout_id)
    return _act(payout_id, lambda: payouts.withdraw(payout_id, by=_who()))


@bp.post("/money/refunds/<uuid:payout_id>/ask")
@needs("payouts.request")
def payout_ask(payout_id: UUID) -> ResponseReturnValue:
    """Asks M-Pesa now about one that is not proven; has one that waits tried now."""
    payout = payouts.locked(payout_id)
    if payout.state in payouts.UNPROVEN:
        payouts.ask_now(payout)
        flash(_("M-Pesa is being asked. Look again in a minute."), "ok")
    else:
        payouts.send_again(payout)
    return redirect(url_for(".payout_show", payout_id=payout_id))


@bp.post("/money/refunds/<uuid:payout_id>/decide")
@needs("payouts.approve")
def payout_decide(payout_id: UUID) -> ResponseReturnValue:
    """What the statement says: it is there, with a receipt, or it is not."""
    payout = payouts.find_payout(payout_id)
    if (first := prove_first(url_for(".payout_show", payout_id=payout_id))) is not None:
        return first
    form = DecideForm(request.form)
    receipt = (form.receipt.data or "").strip().upper() if request.form.get("found") == "1" else None
    try:
        with savepoint():
            payouts.decide(payout_id, receipt=receipt, by=_who())
    except ValueError:
        form.receipt.errors = [_("A receipt has 10 letters and digits, such as UKO7RT61SV.")]
        return _show(payout, form, 422)
    except Refused as refusal:
        flash(words_of(refusal), "bad")
    return redirect(url_for(".payout_show", payout_id=payout_id))


def _act(payout_id: UUID, act: Any) -> ResponseReturnValue:
    back = url_for(".payout_show", payout_id=payout_id)
    if (first := prove_first(back)) is not None:
        return first
    try:
        with savepoint():
            payout = act()
    except Refused as refusal:
        flash(words_of(refusal), "bad")
    else:
        flash(_(STATES[payout.state][2]), "ok")
    return redirect(back)


def _row(payout: Payout) -> dict[str, Any]:
    label, tone, _meaning = STATES[payout.state]
    return {"payout": payout, "state": _(label), "tone": tone, "method": _(METHODS[payout.method])}


def _who() -> Who:
    return Who(g.signed_in.person.id, g.signed_in.person.name)


def _cents(form: BaseForm, name: str) -> int | None:
    try:
        return money.parse(form[name].data or "")
    except ValueError:
        form[name].errors = [*form[name].errors, _("An amount looks like 1500 or 1,500.50.")]
        return None


def _typed(cents: int) -> str:
    return f"{cents // 100}" if cents % 100 == 0 else f"{cents / 100:.2f}"


def _key() -> UUID | None:
    try:
        return UUID(request.args.get("before", ""))
    except ValueError:
        return None
