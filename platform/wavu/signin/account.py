"""One's own account: name, language, password, second factor, sessions, login history. In the platform's scope."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import PasswordField, SelectField

from wavu import accounts
from wavu.accounts import SecondFactorRequired, WeakPassword
from wavu.errors import N_, Refused
from wavu.signin.auth import show_codes
from wavu.web.access import signed_in
from wavu.web.devices import describe
from wavu.web.forms import BaseForm, choices, name_field, required, show_form, show_refusal
from wavu.web.i18n import LOCALES

bp = Blueprint("account", __name__, url_prefix="/account")

_OUTCOMES = {
    "signed in": (N_("Signed in"), "ok"),
    "refused": (N_("Wrong password"), "bad"),
    "wrong code": (N_("Wrong code"), "bad"),
    "throttled": (N_("Too many attempts"), "warn"),
}


class ProfileForm(BaseForm):
    name = name_field(_l("Name"))
    locale = SelectField(_l("Language"), choices=choices(LOCALES.items()))


class ChangePasswordForm(BaseForm):
    current_password = PasswordField(_l("Current password"), [required()])
    new_password = PasswordField(_l("New password"), [required()])


@bp.get("")
@signed_in()
def show() -> ResponseReturnValue:
    return _page()


def _page(
    profile: ProfileForm | None = None, password: ChangePasswordForm | None = None, refusal: Refused | None = None
) -> ResponseReturnValue:
    person, row = g.signed_in.person, g.signed_in.row
    credential = accounts.credential_of(person.id)
    page = render_template(
        "account/show.html",
        profile_form=profile or ProfileForm(obj=person),
        password_form=password or ChangePasswordForm(),
        second_factor={
            "enabled": credential.has_second_factor,
            "required": g.site.surface == "backoffice",
            "codes_left": len(credential.recovery_codes),
        },
        sessions=[
            {
                "id": other.id,
                "device": describe(other.user_agent),
                "address": other.address or "",
                "last_seen_at": other.seen_at,
                "current": other.id == row.id,
            }
            for other in accounts.sessions_of(person.id)
        ],
        logins=[
            {
                "at": attempt.created_at,
                "device": describe(attempt.user_agent),
                "address": attempt.address or "",
                "outcome_label": _(_OUTCOMES[attempt.outcome][0]),
                "tone": _OUTCOMES[attempt.outcome][1],
            }
            for attempt in accounts.login_history(person.id)
        ],
    )
    return show_form(page, refusal)


@bp.post("/profile")
@signed_in()
def save_profile() -> ResponseReturnValue:
    form = ProfileForm(request.form)
    if not form.validate():
        return _page(profile=form)
    person = g.signed_in.person
    person.name, person.locale = form.name.data, form.locale.data
    session.pop("locale", None)
    flash(_("Saved."), "ok")
    return redirect(url_for("account.show"))


@bp.post("/password")
@signed_in()
def change_password() -> ResponseReturnValue:
    form = ChangePasswordForm(request.form)
    if form.validate():
        refusal = accounts.prove_again(g.signed_in, form.current_password.data or "", g.place)
        if refusal is not None:
            show_refusal(form, refusal, "current_password")
            return _page(password=form, refusal=refusal)
        try:
            accounts.set_password(g.signed_in.person, form.new_password.data or "")
        except WeakPassword as weak:
            show_refusal(form, weak, "new_password")
        else:
            accounts.end_other_sessions(g.signed_in.person.id, keep=g.signed_in.row.id)
            flash(_("Your password is changed. You are signed out everywhere else."), "ok")
            return redirect(url_for("account.show"))
    return _page(password=form)


@bp.post("/recovery-codes")
@signed_in()
def new_recovery_codes() -> ResponseReturnValue:
    if not g.signed_in.is_fresh:
        return _prove_first()
    return show_codes(accounts.renew_recovery_codes(g.signed_in.person), enrolling=False)


@bp.post("/second-factor/off")
@signed_in()
def disable_second_factor() -> ResponseReturnValue:
    if g.site.surface == "backoffice" or accounts.is_staff(g.signed_in.person.id):
        raise SecondFactorRequired
    if not g.signed_in.is_fresh:
        return _prove_first()
    accounts.turn_off(g.signed_in.person)
    flash(_("Two-step sign-in is off."), "ok")
    return redirect(url_for("account.show"))


def _prove_first() -> ResponseReturnValue:
    return redirect(url_for("auth.reauthenticate", next=url_for("account.show")))


@bp.post("/sessions/<uuid:session_id>/end")
@signed_in()
def end_session(session_id: UUID) -> ResponseReturnValue:
    accounts.end_session(session_id, g.signed_in.person.id)
    return redirect(url_for("account.show"))


@bp.post("/sessions/end-others")
@signed_in()
def end_other_sessions() -> ResponseReturnValue:
    accounts.end_other_sessions(g.signed_in.person.id, keep=g.signed_in.row.id)
    flash(_("You are signed out everywhere else."), "ok")
    return redirect(url_for("account.show"))
