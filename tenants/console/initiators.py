"""The API initiators of an ISP's M-Pesa accounts: what is set, how old it is, and a form that takes and never shows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.exc import NoResultFound
from wtforms import DateField, FileField, PasswordField, StringField, TextAreaField
from wtforms.validators import Length

from tenants import mpesa
from tenants.console.blueprint import bp
from tenants.console.proof import has_second_factor, prove_first
from tenants.mpesa import MpesaAccount, MpesaInitiator, credential
from wavu import clock
from wavu.errors import NotFound
from wavu.web.access import needs
from wavu.web.forms import BaseForm, required
from wavu.web.guard import current_tenant

_LONGEST_CERTIFICATE = 64 * 1024


class InitiatorForm(BaseForm):
    """Either a password and a certificate, or a ready credential."""

    name = StringField(_l("User name of the API initiator"), [required(), Length(max=60)])
    password_set_on = DateField(_l("Day on which its password was set"), [required()])
    password = PasswordField(_l("Password"), [Length(max=60)])
    certificate = FileField(_l("Safaricom's certificate"))
    ready = TextAreaField(_l("Ready SecurityCredential"), [Length(max=2000)])


@bp.get("/money/initiators")
@needs("mpesa.see")
def initiators() -> ResponseReturnValue:
    """Each account with its initiator and what it last held."""
    return render_template("console/money/initiators.html", accounts=[_shown(a) for a in mpesa.list_accounts()])


def _shown(account: MpesaAccount) -> dict[str, Any]:
    found, held = mpesa.initiator_of(account.id), mpesa.latest_balance(account.id)
    return {
        "account": account,
        "initiator": found,
        "age": mpesa.age(found, _today()) if found is not None else None,
        "fault": _(found.fault) if found is not None and found.fault else None,
        "certificate": _certificate(found),
        "balance": held,
    }


def _certificate(found: MpesaInitiator | None) -> dict[str, Any] | None:
    if found is None or found.certificate is None:
        return None
    read = credential.read_certificate(found.certificate.encode())
    return read._asdict() | {"valid": read.is_valid(clock.now())}


@bp.route("/money/initiators/<uuid:account_id>", methods=["GET", "POST"])
@needs("mpesa.manage")
def initiator(account_id: UUID) -> ResponseReturnValue:
    account = _account(account_id)
    found, back = mpesa.initiator_of(account_id), url_for(".initiator", account_id=account_id)
    if request.method == "GET":
        first = prove_first(back) if has_second_factor() else None
        form = InitiatorForm(name=found.name if found is not None else "", password_set_on=_today())
        return first or _show(account, form, 200)
    if (first := prove_first(back)) is not None:
        return first
    form = InitiatorForm(request.form)
    if not form.validate() or not _fits(form):
        return _show(account, form, 422)
    certificate = _uploaded(form)
    if form.errors or not _is_complete(form, found, certificate):
        return _show(account, form, 422)
    mpesa.set_initiator(
        account_id,
        name=form.name.data or "",
        password_set_on=form.password_set_on.data or _today(),
        password=form.password.data or None,
        certificate=certificate.pem if certificate is not None else None,
        ready="".join((form.ready.data or "").split()) or None,
    )
    if certificate is not None and not certificate.is_valid(clock.now()):
        flash(_("Saved. The certificate has expired: M-Pesa may refuse what is encrypted with it."), "warn")
    else:
        flash(_("Saved. Nobody can read it here again."), "ok")
    return redirect(url_for(".initiators"))


def _fits(form: InitiatorForm) -> bool:
    day: date = form.password_set_on.data or _today()
    if day > _today() or day < _today() - timedelta(days=3660):
        form.password_set_on.errors = [_("Choose a day up to today.")]
    if bool(form.password.data) == bool(form.ready.data):
        form.password.errors = [_("Enter a password, or paste a ready credential: one of the two.")]
    elif form.ready.data and not credential.is_credential(form.ready.data):
        form.ready.errors = [_("This is no SecurityCredential: that is a long text of letters and digits.")]
    return not form.errors


def _uploaded(form: InitiatorForm) -> credential.Certificate | None:
    """The certificate that came along, if any did; what is wrong with it goes to its field."""
    file = request.files.get("certificate")
    data = file.read(_LONGEST_CERTIFICATE) if file is not None and file.filename else b""
    try:
        return credential.read_certificate(data) if data else None
    except ValueError:
        form.certificate.errors = [_("This is no certificate: upload the .cer or .pem file from the Daraja portal.")]
        return None


def _is_complete(form: InitiatorForm, found: MpesaInitiator | None, certificate: credential.Certificate | None) -> bool:
    known = certificate is not None or (found is not None and found.certificate is not None)
    if form.password.data and not known:
        form.certificate.errors = [_("A password needs Safaricom's certificate: upload it too.")]
        return False
    return True


def _show(account: MpesaAccount, form: InitiatorForm, status: int) -> ResponseReturnValue:
    page = render_template(
        "console/money/initiator.html", form=form, second_factor_on=has_second_factor(), **_shown(account)
    )
    return page, status


@bp.post("/money/initiators/<uuid:account_id>/balance")
@needs("mpesa.manage")
def refresh_balance(account_id: UUID) -> ResponseReturnValue:
    """Has M-Pesa asked what the account holds; once a minute, however often pressed."""
    _account(account_id)
    found = mpesa.initiator_of(account_id)
    if found is None or found.frozen_at is not None:
        flash(_("M-Pesa can be asked once the API initiator is set."), "warn")
    else:
        mpesa.ask_balance(account_id, f"{clock.now():%Y%m%dT%H%M}")
        flash(_("M-Pesa is being asked. Look again in a minute."), "ok")
    return redirect(url_for(".initiators"))


def _account(account_id: UUID) -> MpesaAccount:
    try:
        return mpesa.find_account(account_id)
    except NoResultFound:
        raise NotFound from None


def _today() -> date:
    return clock.local_date(clock.now(), current_tenant().timezone)
