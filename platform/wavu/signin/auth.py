"""Signing in and out, the second factor, forgotten passwords, invitations. All in the platform's scope."""

from __future__ import annotations

import re
from uuid import UUID

import segno
from flask import Blueprint, abort, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from wtforms import BooleanField, HiddenField, PasswordField, StringField

from wavu import accounts, tenancy
from wavu.accounts import WeakPassword
from wavu.db import savepoint
from wavu.errors import Refused
from wavu.tenancy import Tenant
from wavu.web.access import public, signed_in
from wavu.web.forms import BaseForm, email_field, name_field, required, show_form, show_refusal
from wavu.web.sessions import forget, remember, remember_pending

bp = Blueprint("auth", __name__)


class SignInForm(BaseForm):
    email = email_field(_l("E-mail"))
    password = PasswordField(_l("Password"), [required()])
    next = HiddenField()


class CodeForm(BaseForm):
    code = StringField(_l("Code"), [required()])


class RecoveryCodesForm(BaseForm):
    confirm = BooleanField(_l("I have saved these codes"), [required(_l("Save the codes first."))])


class ForgotForm(BaseForm):
    email = email_field(_l("E-mail"))


class PasswordForm(BaseForm):
    password = PasswordField(_l("New password"), [required()])


class ProveForm(BaseForm):
    password = PasswordField(_l("Password"), [required()])


class JoinForm(BaseForm):
    name = name_field(_l("Your name"))
    password = PasswordField(_l("Choose a password"), [required()])


class ConfirmForm(BaseForm):
    """Joining with an account that exists: nothing to fill in."""


def home_url() -> str:
    return url_for("backoffice.home" if g.site.surface == "backoffice" else "console.home")


def local_path(target: str | None) -> str | None:
    """The target, if it is a path of this very host: never an open redirect."""
    if target and re.fullmatch(r"/(?![/\\])[^\\\x00-\x20]*", target):
        return target
    return None


@bp.route("/sign-in", methods=["GET", "POST"])
@public()
def sign_in() -> ResponseReturnValue:
    form = SignInForm(request.form if request.method == "POST" else request.args)
    if current_user.is_authenticated:
        return redirect(local_path(form.next.data) or home_url())
    if request.method != "POST" or not form.validate():
        return show_form(render_template("auth/sign_in.html", form=form))
    result = accounts.authenticate(form.email.data or "", form.password.data or "", g.place)
    if isinstance(result, Refused):
        show_refusal(form, result)
        return show_form(render_template("auth/sign_in.html", form=form), result)
    token, row = result
    target = local_path(form.next.data)
    if row.stage == "complete":
        person = accounts.person_of(row)
        remember(token, accounts.Session(row, person))
        return redirect(target or home_url())
    remember_pending(token)
    if target:
        session["next"] = target
    return redirect(url_for("auth.enrol_second_factor" if row.stage == "enrolment" else "auth.second_factor"))


def _pending(stage: str) -> accounts.Session | None:
    """The session that waits for this step, in this browser."""
    found: accounts.Session | None = g.signed_in
    return found if found is not None and found.row.stage == stage else None


def _enter(signed: accounts.Session, token: str) -> ResponseReturnValue:
    target = local_path(session.get("next"))
    remember(token, signed)
    return redirect(target or home_url())


@bp.route("/sign-in/code", methods=["GET", "POST"])
@public()
def second_factor() -> ResponseReturnValue:
    pending, using_recovery = _pending("second_factor"), "recovery" in request.args
    if pending is None:
        return redirect(url_for("auth.sign_in"))
    form, refusal = CodeForm(request.form), None
    if request.method == "POST" and form.validate():
        refusal = accounts.pass_second_factor(pending, form.code.data or "", g.place)
        if refusal is None:
            return _enter(pending, session["pending"])
        show_refusal(form, refusal, "code")
    switch = url_for("auth.second_factor", recovery=None if using_recovery else "1")
    page = render_template("auth/second_factor.html", form=form, using_recovery=using_recovery, switch_url=switch)
    return show_form(page, refusal)


@bp.route("/second-factor", methods=["GET", "POST"])
@public()
def enrol_second_factor() -> ResponseReturnValue:
    """Sets the second factor up: for staff while they sign in, for anyone else from their account, freshly proven."""
    pending = _pending("enrolment")
    signed = pending or (g.signed_in if current_user.is_authenticated else None)
    if signed is None:
        return redirect(url_for("auth.sign_in"))
    if pending is None and not signed.is_fresh:
        return redirect(url_for("auth.reauthenticate", next=url_for("auth.enrol_second_factor")))
    if pending is None and accounts.credential_of(signed.person.id).has_second_factor:
        return redirect(url_for("account.show"))
    form, refusal = CodeForm(request.form), None
    if request.method == "POST" and form.validate():
        codes = accounts.complete_enrolment(signed, form.code.data or "", g.place)
        if not isinstance(codes, Refused):
            if pending is not None:
                remember(session["pending"], signed)
            return show_codes(codes, enrolling=True)
        refusal = codes
        show_refusal(form, refusal, "code")
    secret, address = accounts.begin_enrolment(signed.person)
    page = render_template(
        "auth/enrol_second_factor.html",
        form=form,
        secret=" ".join(re.findall(".{1,4}", secret)),
        qr_src=segno.make(address, error="m").svg_data_uri(scale=4, border=2, dark="#000", light="#fff"),
        required=g.site.surface == "backoffice",
        cancel_url=None if pending is not None else url_for("account.show"),
    )
    return show_form(page, refusal)


def show_codes(codes: list[str], *, enrolling: bool) -> str:
    """The page that shows recovery codes, this once."""
    return render_template("auth/recovery_codes.html", codes=codes, enrolling=enrolling, form=RecoveryCodesForm())


@bp.post("/recovery-codes")
@signed_in()
def recovery_codes_saved() -> ResponseReturnValue:
    """The codes were shown once and are kept as hashes only: there is nothing to show again."""
    return redirect(home_url())


@bp.route("/prove", methods=["GET", "POST"])
@signed_in()
def reauthenticate() -> ResponseReturnValue:
    form, refusal = ProveForm(request.form), None
    target = local_path(request.args.get("next")) or url_for("account.show")
    if request.method == "POST" and form.validate():
        refusal = accounts.prove_again(g.signed_in, form.password.data or "", g.place)
        if refusal is None:
            return redirect(target)
        show_refusal(form, refusal, "password")
    page = render_template("auth/reauthenticate.html", form=form, cancel_url=url_for("account.show"))
    return show_form(page, refusal)


@bp.route("/forgot", methods=["GET", "POST"])
@public()
def forgot() -> ResponseReturnValue:
    form = ForgotForm(request.form)
    if request.method == "POST" and form.validate():
        accounts.ask_password_reset(form.email.data or "", g.site.surface)
        return render_template("auth/forgot_sent.html", email=form.email.data, valid_minutes=20)
    return show_form(render_template("auth/forgot.html", form=form))


@bp.route("/reset/<token>", methods=["GET", "POST"])
@public()
def reset(token: str) -> ResponseReturnValue:
    accounts.reset_of(token)
    form = PasswordForm(request.form)
    if request.method == "POST" and form.validate():
        try:
            with savepoint():
                accounts.reset_password(token, form.password.data or "")
        except WeakPassword as refusal:
            show_refusal(form, refusal, "password")
        else:
            forget()
            flash(_("Your new password is set. Sign in with it."), "ok")
            return redirect(url_for("auth.sign_in"))
    return show_form(render_template("auth/reset.html", form=form))


@bp.route("/join/<token>", methods=["GET", "POST"])
@public()
def join(token: str) -> ResponseReturnValue:
    offer = accounts.offer_of(token)
    known = offer.person is not None
    form = ConfirmForm(request.form) if known else JoinForm(request.form, name=offer.invitation.name)
    if request.method == "POST" and form.validate():
        try:
            with savepoint():
                accounts.accept(
                    token,
                    name="" if known else form["name"].data,
                    password="" if known else form["password"].data,
                )
        except WeakPassword as refusal:
            show_refusal(form, refusal, "password")
        else:
            flash(_("Welcome to the team. Sign in to begin."), "ok")
            return redirect(url_for("auth.sign_in"))
    role = accounts.roles_of(offer.tenant.kind)[offer.invitation.role]
    invitation = {
        "tenant_name": offer.tenant.name,
        "role_label": _(role.label),
        "inviter": offer.invitation.invited_by,
    }
    page = render_template("auth/accept_invitation.html", form=form, invitation=invitation, joining=offer.person)
    return show_form(page)


@bp.get("/choose")
@signed_in()
def choose_tenant() -> ResponseReturnValue:
    if g.site.surface != "console":
        abort(404)
    memberships = [
        {
            "tenant_name": tenant.name,
            "role_label": _role_in(tenant),
            "url": url_for("auth.enter_tenant", tenant_id=tenant.id),
        }
        for tenant in accounts.tenants_of(g.signed_in.person.id)
    ]
    return render_template("auth/choose_tenant.html", memberships=memberships)


def _role_in(tenant: Tenant) -> str:
    with tenancy.visiting(tenant.id):
        membership = accounts.membership_of(g.signed_in.person.id)
    return _(accounts.roles_of(tenant.kind)[membership.role].label) if membership else ""


@bp.post("/choose/<uuid:tenant_id>")
@signed_in()
def enter_tenant(tenant_id: UUID) -> ResponseReturnValue:
    if g.site.surface != "console" or not accounts.choose_tenant(g.signed_in, tenant_id):
        abort(404)
    return redirect(home_url())


@bp.post("/sign-out")
@public()
def sign_out() -> ResponseReturnValue:
    if g.signed_in is not None:
        accounts.end_session(g.signed_in.row.id, g.signed_in.person.id)
    forget()
    return redirect(url_for("auth.sign_in"))
