"""QR posters: a picture to pay by with the M-Pesa app, to print and hang up."""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import SelectField, StringField
from wtforms.validators import Length

from tenants import catalog, mpesa
from tenants.console.blueprint import bp
from tenants.mpesa import MpesaQr
from wavu import money
from wavu.db import savepoint
from wavu.errors import Refused
from wavu.tenancy import current_tenant
from wavu.web.access import needs
from wavu.web.errors import STATUS
from wavu.web.forms import BaseForm, choices, show_refusal

_OTHER = "other"
_MOST_CENTS = 25_000_000


class PosterForm(BaseForm):
    account = SelectField(_l("PayBill or Till"))
    package = SelectField(_l("Package"))
    amount = StringField(_l("Amount in KES"), [Length(max=12)])
    title = StringField(_l("What stands above it"), [Length(max=60)])


def _form() -> PosterForm:
    form = PosterForm(request.form)
    form.account.choices = choices([(str(one.id), one.label) for one in mpesa.list_accounts()])
    packages = {package.id: package for package in [*catalog.on_sale("hotspot"), *catalog.on_sale("pppoe")]}
    currency = current_tenant().currency
    form.package.choices = choices(
        [
            *((str(one.id), f"{one.name}, {money.show(one.price_cents, currency)}") for one in packages.values()),
            (_OTHER, _("Another amount")),
        ]
    )
    return form


@bp.get("/money/posters")
@needs("mpesa.see")
def posters() -> ResponseReturnValue:
    return _list(_form(), 200)


def _list(form: PosterForm, status: int) -> ResponseReturnValue:
    labels = {account.id: account.label for account in mpesa.all_accounts()}
    return render_template(
        "console/money/posters.html", form=form, codes=mpesa.list_codes(), labels=labels, accounts=mpesa.list_accounts()
    ), status


@bp.post("/money/posters")
@needs("mpesa.see")
def make_poster() -> ResponseReturnValue:
    form = _form()
    if not form.validate():
        return _list(form, 422)
    account = mpesa.get_account(UUID(form.account.data))
    try:
        with savepoint():
            if form.package.data == _OTHER:
                cents = _typed(form)
                if cents is None:
                    return _list(form, 422)
                reference, title, subject = _reference(account.id), form.title.data or current_tenant().name, None
            else:
                package = _package(UUID(form.package.data))
                cents, subject = package.price_cents, package.id
                reference, title = _reference(package.id), form.title.data or package.name
            code = mpesa.code_to_pay(account, reference=reference, amount_cents=cents, title=title, subject_id=subject)
    except Refused as refusal:
        show_refusal(form, refusal)
        return _list(form, STATUS[refusal.kind])
    return redirect(url_for(".poster", code_id=code.id))


def _package(package_id: UUID) -> catalog.Package:
    """Raises NotOnSale."""
    on_sale = {package.id: package for package in catalog.on_sale("hotspot")}
    return on_sale.get(package_id) or catalog.find_on_sale(package_id, "pppoe")


def _typed(form: PosterForm) -> int | None:
    try:
        cents = money.parse(form.amount.data or "")
    except ValueError:
        cents = 0
    if 0 < cents <= _MOST_CENTS and cents % 100 == 0:
        return cents
    form.amount.errors = [_("Enter whole shillings, from 1 to 250,000.")]
    return None


def _reference(of: UUID) -> str:
    """The account number of a poster: the same for the same thing, so that its payments are told from others."""
    digest = hashlib.blake2s(of.bytes, digest_size=5, person=b"poster").digest()
    return "Q" + base64.b32encode(digest).decode()


@bp.get("/money/posters/<uuid:code_id>")
@needs("mpesa.see")
def poster(code_id: UUID) -> ResponseReturnValue:
    code = mpesa.find_code(code_id)
    account = mpesa.find_account(code.mpesa_account_id)
    return render_template("console/money/poster.html", code=code, account=account)


@bp.post("/money/posters/<uuid:code_id>/again")
@needs("mpesa.see")
def poster_again(code_id: UUID) -> ResponseReturnValue:
    """Asks M-Pesa once more for a code that it refused."""
    code = mpesa.find_code(code_id)
    account = mpesa.find_account(code.mpesa_account_id)
    mpesa.code_to_pay(account, reference=code.reference, amount_cents=code.amount_cents, title=code.title)
    return redirect(url_for(".poster", code_id=code.id))


@bp.get("/money/posters/<uuid:code_id>/code.png")
@needs("mpesa.see")
def poster_picture(code_id: UUID) -> ResponseReturnValue:
    code: MpesaQr = mpesa.find_code(code_id)
    if code.picture is None:
        return redirect(url_for(".poster", code_id=code.id))
    response = Response(code.picture, mimetype="image/png")
    if "download" in request.args:
        response.headers["Content-Disposition"] = f'attachment; filename="qr-{code.reference}.png"'
    return response
