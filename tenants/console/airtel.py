"""The ISP's Airtel Money account: setting it up, how it fares, switching it on and off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, PasswordField, SelectField, StringField
from wtforms.validators import Length, Optional, Regexp

from tenants import airtel
from tenants.airtel import AirtelAccount, changes, setup
from tenants.airtel.setup import Values
from tenants.console import airtel_words as words
from tenants.console import mpesa_words
from tenants.console.blueprint import bp
from tenants.console.proof import has_second_factor, prove_first
from wavu.db import savepoint
from wavu.errors import Refused
from wavu.web.access import needs
from wavu.web.errors import STATUS, words_of
from wavu.web.forms import BaseForm, Email, choices, required, show_refusal

_NUMBER = Regexp(r"^[0-9A-Za-z]{4,15}$", message=_l("This is a number or code of 4 to 15 characters."))


class AirtelForm(BaseForm):
    environment = SelectField(_l("Environment"))
    merchant_number = StringField(_l("Merchant or till number"), [required(), _NUMBER])
    client_id = PasswordField(_l("Client id"), [Length(max=200)])
    client_secret = PasswordField(_l("Client secret"), [Length(max=200)])
    hash_key = PasswordField(_l("Private key of callback authentication"), [Length(max=500)])
    contact_email = EmailField(_l("E-mail told of changes"), [Optional(), Length(max=254), Email()])

    @property
    def values(self) -> Values:
        fields = (self.client_id, self.client_secret, self.hash_key)
        client_id, client_secret, hash_key = [(field.data or "").strip() or None for field in fields]
        return Values(
            self.environment.data,
            self.merchant_number.data or "",
            client_id,
            client_secret,
            hash_key,
            self.contact_email.data or None,
        )


@bp.get("/money/airtel")
@needs("mpesa.see")
def airtel_accounts() -> ResponseReturnValue:
    accounts = airtel.list_accounts()
    rows = [_row(account, accounts) for account in accounts]
    return render_template(
        "console/money/airtel.html",
        rows=rows,
        waits=any(step["waits"] for row in rows for step in row["steps"]),
        may_begin=not any(account.state in {"on", "off"} for account in accounts),
        second_factor_on=has_second_factor(),
    )


def _row(account: AirtelAccount, accounts: list[AirtelAccount]) -> dict[str, Any]:
    # Other keys of an account go into its row, whose address Airtel knows already.
    same = (account.environment, account.merchant_number)
    known = next((a for a in accounts if a.state in {"on", "off"} and (a.environment, a.merchant_number) == same), None)
    steps = words.steps(account) if account.state in {"draft", "waiting"} else []
    return {
        "account": account,
        "environment": _(words.ENVIRONMENTS[account.environment]),
        "fares": mpesa_words.fares(account) if account.state in {"on", "off"} else None,
        "marks": account.fingerprints(),
        "steps": steps,
        "tested": setup.is_tested(account),
        "callback_url": airtel.callback_url(known or account),
        "called_back_at": (known or account).called_back_at,
        "asked_by_you": account.requested_by == g.signed_in.person.id,
    }


@bp.route("/money/airtel/new", methods=["GET", "POST"])
@needs("mpesa.manage")
def airtel_new() -> ResponseReturnValue:
    return prove_first(url_for(".airtel_new")) or _fill(_form(), None, None)


@bp.route("/money/airtel/<uuid:airtel_id>/edit", methods=["GET", "POST"])
@needs("mpesa.manage")
def airtel_edit(airtel_id: UUID) -> ResponseReturnValue:
    """Types over a draft; for an account that takes payments it begins a draft that shall follow it."""
    account = airtel.get_account(airtel_id)
    first = prove_first(url_for(".airtel_edit", airtel_id=account.id))
    if first:
        return first
    form = _form(
        account,
        environment=account.environment,
        merchant_number=account.merchant_number,
        contact_email=account.contact_email or "",
    )
    return _fill(form, account if account.state == "draft" else None, account)


def _form(like: AirtelAccount | None = None, **values: Any) -> AirtelForm:
    form = AirtelForm(request.form, **values)
    settings = current_app.extensions["settings"]
    offered = [name for name in words.ENVIRONMENTS if name != "rehearsal" or settings.airtel_rehearsal_url]
    form.environment.choices = choices((name, _(words.ENVIRONMENTS[name])) for name in offered)
    for field in (form.client_id, form.client_secret):
        field.flags.required = like is None
    return form


def _fill(form: AirtelForm, draft: AirtelAccount | None, like: AirtelAccount | None) -> ResponseReturnValue:
    status = 200
    if request.method == "POST":
        status = 422
        if _is_whole(form, like):
            try:
                with savepoint():
                    if draft is None:
                        draft = setup.start_draft(form.values, like)
                    else:
                        setup.fill_draft(draft, form.values)
                    setup.start_checks(draft)
            except Refused as refusal:
                show_refusal(form, refusal)
                status = STATUS[refusal.kind]
            else:
                return redirect(url_for(".airtel_accounts"))
    return render_template("console/money/airtel_form.html", form=form, like=like), status


def _is_whole(form: AirtelForm, like: AirtelAccount | None) -> bool:
    valid = form.validate()
    for field in (form.client_id, form.client_secret):
        if like is None and not (field.data or "").strip():
            field.errors = [_("Fill this in.")]
            valid = False
    return valid


@bp.post("/money/airtel/<uuid:airtel_id>/check")
@needs("mpesa.manage")
def airtel_check(airtel_id: UUID) -> ResponseReturnValue:
    account = airtel.get_account(airtel_id)
    return _act(lambda: setup.start_checks(account))


@bp.post("/money/airtel/<uuid:airtel_id>/use")
@needs("mpesa.manage")
def airtel_use(airtel_id: UUID) -> ResponseReturnValue:
    account, person = airtel.get_account(airtel_id), g.signed_in.person
    return _act(
        lambda: changes.use(account, by_id=person.id, by=person.name),
        _("All owners are being told. It takes effect in 24 hours, or when somebody else approves."),
    )


@bp.post("/money/airtel/<uuid:airtel_id>/approve")
@needs("mpesa.approve")
def airtel_approve(airtel_id: UUID) -> ResponseReturnValue:
    account, person = airtel.get_account(airtel_id), g.signed_in.person
    return _act(lambda: changes.approve(account.id, by_id=person.id), _("It has taken effect."))


@bp.post("/money/airtel/<uuid:airtel_id>/cancel")
@needs("mpesa.manage")
def airtel_cancel(airtel_id: UUID) -> ResponseReturnValue:
    # Without the proof that a change needs: stopping one must be quick.
    account = airtel.get_account(airtel_id)
    return _act(
        lambda: changes.cancel(account.id), _("The change is cancelled. Nothing has changed."), needs_proof=False
    )


@bp.post("/money/airtel/<uuid:airtel_id>/switch")
@needs("mpesa.manage")
def airtel_switch(airtel_id: UUID) -> ResponseReturnValue:
    account, on = airtel.get_account(airtel_id), request.form.get("on") == "yes"
    said = _("Customers can pay with Airtel Money.") if on else _("Customers are not offered Airtel Money any more.")
    return _act(lambda: changes.switch(account, on=on), said)


@bp.post("/money/airtel/<uuid:airtel_id>/discard")
@needs("mpesa.manage")
def airtel_discard(airtel_id: UUID) -> ResponseReturnValue:
    account = airtel.get_account(airtel_id)
    return _act(lambda: changes.discard(account))


def _act(act: Callable[[], object], said: str | None = None, *, needs_proof: bool = True) -> ResponseReturnValue:
    """Does it, with the proof that it is them, and shows the page again."""
    here = url_for(".airtel_accounts")
    first = prove_first(here) if needs_proof else None
    if first:
        return first
    try:
        with savepoint():
            act()
    except Refused as refusal:
        flash(words_of(refusal), "bad")
    else:
        if said is not None:
            flash(said, "ok")
    return redirect(here)
