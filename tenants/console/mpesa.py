"""The ISP's M-Pesa accounts: how they fare, setting one up, and changing where money goes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, PasswordField, SelectField, StringField
from wtforms.validators import Length, Optional, Regexp

from tenants import mpesa, payments, subscribers
from tenants.console import mpesa_words as words
from tenants.console.blueprint import bp
from tenants.mpesa import MpesaAccount, changes, setup
from tenants.mpesa.changes import Asker
from tenants.mpesa.setup import Numbers
from wavu import audit
from wavu.db import savepoint
from wavu.errors import Refused
from wavu.phone import Phone
from wavu.web.access import needs
from wavu.web.errors import STATUS, words_of
from wavu.web.forms import BaseForm, Email, choices, required, show_refusal

_DIGITS = Regexp(r"^\d{5,7}$", message=_l("This is a number of 5 to 7 digits."))
_TRIAL, _TRIAL_CENTS = "trial-", 100


class AccountForm(BaseForm):
    environment = SelectField(_l("Environment"))
    kind = SelectField(_l("Kind"))
    number = StringField(_l("PayBill or Till number"), [required(), _DIGITS])
    store = StringField(_l("Store number"), [Optional(), _DIGITS])
    consumer_key = PasswordField(_l("Consumer key"), [Length(max=200)])
    consumer_secret = PasswordField(_l("Consumer secret"), [Length(max=200)])
    passkey = PasswordField(_l("Passkey"), [Length(max=200)])
    contact_email = EmailField(_l("E-mail told of changes"), [Optional(), Length(max=254), Email()])

    @property
    def numbers(self) -> Numbers:
        till = self.kind.data == "till"
        number = self.number.data or ""
        return Numbers(self.environment.data, self.kind.data, (self.store.data or "") if till else number, number)

    @property
    def secrets(self) -> dict[str, str | None]:
        typed = {"key": self.consumer_key, "secret": self.consumer_secret, "passkey": self.passkey}
        return {name: (field.data or "").strip() or None for name, field in typed.items()}


class PhoneForm(BaseForm):
    phone = StringField(_l("Your M-Pesa phone number"), [required(), Length(max=24)])


@bp.get("/money/mpesa")
@needs("mpesa.see")
def mpesa_accounts() -> ResponseReturnValue:
    change = changes.waiting_change()
    return render_template(
        "console/money/mpesa.html",
        accounts=[_row(account) for account in mpesa.list_accounts()],
        drafts=[_row(draft) for draft in mpesa.list_drafts() if change is None or draft.id != change.account_id],
        change=change,
        change_to=mpesa.get_account(change.account_id) if change else None,
        asked_by_you=change is not None and change.requested_by == g.signed_in.person.id,
    )


def _row(account: MpesaAccount) -> dict[str, Any]:
    return {
        "account": account,
        "environment": _(words.ENVIRONMENTS[account.environment]),
        "fares": words.fares(account) if account.active else None,
        "marks": account.fingerprints(),
    }


@bp.route("/money/mpesa/new", methods=["GET", "POST"])
@needs("mpesa.manage")
def mpesa_new() -> ResponseReturnValue:
    first = _proven(url_for(".mpesa_new"))
    return first or _fill(_form(), None, None)


@bp.route("/money/mpesa/<uuid:account_id>/edit", methods=["GET", "POST"])
@needs("mpesa.manage")
def mpesa_edit(account_id: UUID) -> ResponseReturnValue:
    """Types over a draft; for an account that takes payments it begins a draft that shall follow it."""
    account = mpesa.get_account(account_id)
    first = _proven(url_for(".mpesa_edit", account_id=account.id))
    if first:
        return first
    form = _form(
        account,
        environment=account.environment,
        kind=account.kind,
        number=account.party_b,
        store=account.business_short_code if account.kind == "till" else "",
        contact_email=account.contact_email or "",
    )
    return _fill(form, account if account.draft else None, account)


def _form(like: MpesaAccount | None = None, **values: Any) -> AccountForm:
    form = AccountForm(request.form, **values)
    settings = current_app.extensions["settings"]
    offered = [name for name in words.ENVIRONMENTS if name != "rehearsal" or settings.daraja_rehearsal_url]
    form.environment.choices = choices((name, _(words.ENVIRONMENTS[name])) for name in offered)
    for field in (form.consumer_key, form.consumer_secret, form.passkey):
        field.flags.required = like is None
    form.kind.choices = choices([("paybill", "PayBill"), ("till", "Till")])
    return form


def _fill(form: AccountForm, draft: MpesaAccount | None, like: MpesaAccount | None) -> ResponseReturnValue:
    status = 200
    if request.method == "POST":
        status = 422
        if _is_whole(form, like):
            asked: dict[str, Any] = {"contact_email": form.contact_email.data or None, **form.secrets}
            try:
                with savepoint():
                    if draft is None:
                        draft = setup.start_draft(form.numbers, like=like, **asked)
                    else:
                        setup.fill_draft(draft, form.numbers, **asked)
                    setup.start_checks(draft, setup.BEFORE)
            except Refused as refusal:
                show_refusal(form, refusal)
                status = STATUS[refusal.kind]
            else:
                return redirect(url_for(".mpesa_account", account_id=draft.id))
    return render_template("console/money/mpesa_form.html", form=form, like=like), status


def _is_whole(form: AccountForm, like: MpesaAccount | None) -> bool:
    """Checks what depends on more than one field."""
    valid = form.validate()
    if form.kind.data == "till" and not form.store.data:
        form.store.errors = [_("A Till has a store number too: it stands in Safaricom's letter.")]
        valid = False
    for name, field in (("key", form.consumer_key), ("secret", form.consumer_secret), ("passkey", form.passkey)):
        if like is None and form.secrets[name] is None:
            field.errors = [_("Fill this in.")]
            valid = False
    return valid


@bp.get("/money/mpesa/<uuid:account_id>")
@needs("mpesa.manage")
def mpesa_account(account_id: UUID) -> ResponseReturnValue:
    """A draft on its way. An account that takes payments has no page of its own."""
    account = mpesa.get_account(account_id)
    return _show(account) if account.draft else redirect(url_for(".mpesa_accounts"))


def _show(
    account: MpesaAccount, *, form: PhoneForm | None = None, trial_form: PhoneForm | None = None, status: int = 200
) -> ResponseReturnValue:
    checks = setup.checks_of(account.id)
    trial = words.trial(payments.latest_intent(account.id))
    change = changes.waiting_change()
    tested, told = setup.is_tested(account), all(step in checks for step in setup.AFTER)
    waits = any(check.state == "waiting" for check in checks.values())
    page = render_template(
        "console/money/mpesa_setup.html",
        row=_row(account),
        steps=words.steps(checks),
        stage=1 if not tested else 2 if not told else 3,
        waits=waits,
        refresh=waits or (trial is not None and trial["state"] == "waiting"),
        name=checks["organisation"].facts.get("name") if "organisation" in checks else None,
        again=told and any(checks[step].state in {"skipped", "unknown"} for step in setup.AFTER),
        trial=trial,
        change=change if change and change.account_id == account.id else None,
        replaces=mpesa.list_accounts(),
        form=form or PhoneForm(),
        trial_form=trial_form or PhoneForm(prefix=_TRIAL),
    )
    return page, status


@bp.post("/money/mpesa/<uuid:account_id>/check")
@needs("mpesa.manage")
def mpesa_check(account_id: UUID) -> ResponseReturnValue:
    account = mpesa.get_account(account_id)
    return _act(account, lambda: setup.start_checks(account, setup.BEFORE))


@bp.post("/money/mpesa/<uuid:account_id>/confirm")
@needs("mpesa.manage")
def mpesa_confirm(account_id: UUID) -> ResponseReturnValue:
    """The number is theirs; now M-Pesa is told where to report."""
    account = mpesa.get_account(account_id)
    form, phone = _phone("")
    if phone is None:
        return _show(account, form=form, status=422)
    return _act(account, lambda: setup.confirm_organisation(account, phone.e164))


@bp.post("/money/mpesa/<uuid:account_id>/try")
@needs("mpesa.manage")
def mpesa_try(account_id: UUID) -> ResponseReturnValue:
    """Asks the owner's phone for KES 1: money like any other, in that phone's balance."""
    account = mpesa.get_account(account_id)
    form, phone = _phone(_TRIAL)
    if phone is None:
        return _show(account, trial_form=form, status=422)

    def ask() -> None:
        payer = subscribers.by_phone(phone)
        payments.request_stk(
            purchase_id=account.id, subscriber_id=payer.id, phone=phone, amount_cents=_TRIAL_CENTS, description="Test",
            account=account,
        )  # fmt: skip
        audit.record("mpesa.trial_paid", subject=account.id, account=account.label)

    return _act(account, ask)


def _phone(prefix: str) -> tuple[PhoneForm, Phone | None]:
    form = PhoneForm(request.form, prefix=prefix)
    if form.validate():
        try:
            phone = Phone.parse(form.phone.data or "")
        except ValueError:
            phone = None
        if phone is not None and phone.is_kenyan_mobile:
            return form, phone
        form.phone.errors = [_("That is not a Kenyan mobile number. Enter it like 0712 345 678.")]
    return form, None


@bp.post("/money/mpesa/<uuid:account_id>/use")
@needs("mpesa.manage")
def mpesa_use(account_id: UUID) -> ResponseReturnValue:
    account = mpesa.get_account(account_id)
    here = url_for(".mpesa_account", account_id=account.id)
    first = _proven(here)
    if first:
        return first
    try:
        with savepoint():
            change = changes.use(account, _asker())
    except Refused as refusal:
        flash(words_of(refusal), "bad")
        return redirect(here)
    flash(
        _("%(account)s now takes payments.", account=account.label)
        if change is None
        else _("All owners are being told. It takes effect in 24 hours, or when somebody else approves."),
        "ok",
    )
    return redirect(url_for(".mpesa_accounts"))


@bp.post("/money/mpesa/<uuid:account_id>/discard")
@needs("mpesa.manage")
def mpesa_discard(account_id: UUID) -> ResponseReturnValue:
    account = mpesa.get_account(account_id)
    return _act(account, lambda: changes.discard(account), back=url_for(".mpesa_accounts"))


@bp.post("/money/mpesa/<uuid:account_id>/register")
@needs("mpesa.manage")
def mpesa_register(account_id: UUID) -> ResponseReturnValue:
    """Tells M-Pesa again where to report payments made by hand, once another system's addresses are gone."""
    account = mpesa.get_account(account_id)
    return _act(account, lambda: mpesa.ask_to_register(account), back=url_for(".mpesa_accounts"))


@bp.post("/money/mpesa/changes/<uuid:change_id>/approve")
@needs("mpesa.approve")
def mpesa_approve(change_id: UUID) -> ResponseReturnValue:
    return _decide(change_id, changes.approve, _("It has taken effect."))


@bp.post("/money/mpesa/changes/<uuid:change_id>/cancel")
@needs("mpesa.manage")
def mpesa_cancel(change_id: UUID) -> ResponseReturnValue:
    # Without the proof that a change needs: stopping one must be quick.
    return _end(change_id, changes.cancel, _("The change is cancelled. Nothing has changed."))


def _decide(change_id: UUID, decide: Any, said: str) -> ResponseReturnValue:
    changes.find_change(change_id)
    return _proven(url_for(".mpesa_accounts")) or _end(change_id, decide, said)


def _end(change_id: UUID, decide: Any, said: str) -> ResponseReturnValue:
    changes.find_change(change_id)
    try:
        with savepoint():
            decide(change_id, _asker())
    except Refused as refusal:
        flash(words_of(refusal), "bad")
    else:
        flash(said, "ok")
    return redirect(url_for(".mpesa_accounts"))


def _asker() -> Asker:
    person = g.signed_in.person
    return Asker(person.id, person.name)


def _act(account: MpesaAccount, act: Any, back: str | None = None) -> ResponseReturnValue:
    """Does it, with the proof that it is the owner, and shows the draft again."""
    here = url_for(".mpesa_account", account_id=account.id)
    first = _proven(here)
    if first:
        return first
    try:
        with savepoint():
            act()
    except Refused as refusal:
        if account.draft:
            form = PhoneForm(request.form, prefix=_TRIAL)
            show_refusal(form, refusal)
            return _show(account, trial_form=form, status=STATUS[refusal.kind])
        flash(words_of(refusal), "bad")
    return redirect(back or here)


def _proven(back: str) -> ResponseReturnValue | None:
    """None where it surely is them: a second factor at sign-in, and the password within the last minutes."""
    if not g.signed_in.person.second_factor_on:
        flash(_("Turn on two-step sign-in first: where money goes is changed with it alone."), "bad")
        return redirect(url_for(".mpesa_accounts"))
    if not g.signed_in.is_fresh:
        return redirect(url_for("auth.reauthenticate", next=back))
    return None
