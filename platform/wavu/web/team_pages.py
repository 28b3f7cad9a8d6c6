"""The pages of a team, alike for an ISP's people and for platform staff: each surface adds them to its blueprint."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import SelectField

from wavu import accounts, clock
from wavu.db import savepoint
from wavu.errors import Refused
from wavu.web.access import needs
from wavu.web.forms import BaseForm, choices, email_field
from wavu.web.guard import current_tenant


class InviteForm(BaseForm):
    email = email_field(_l("E-mail"))
    role = SelectField(_l("Role"))


def role_choices() -> list[tuple[str, str]]:
    return [(name, _(role.label)) for name, role in accounts.roles_of(current_tenant().kind).items()]


def invitation_rows() -> list[dict[str, Any]]:
    """Open invitations for ui/people.html."""
    labels, now = dict(role_choices()), clock.now()
    return [
        {
            "id": invitation.id,
            "email": invitation.email,
            "role_label": labels.get(invitation.role, invitation.role),
            "expires_at": invitation.expires_at,
            "expired": invitation.expires_at <= now,
        }
        for invitation in accounts.invitations()
    ]


def add_team_pages(bp: Blueprint, *, path: str, index: str, template: str) -> None:
    """Adds the list, inviting, resending, withdrawing, changing a role and removing. `index` names the list's view."""

    def show(form: InviteForm | None = None, status: int = 200) -> ResponseReturnValue:
        labels = dict(role_choices())
        form = form or InviteForm()
        form.role.choices = form.role.choices or choices(labels.items())
        page = render_template(
            template,
            members=[
                {
                    "id": membership.id,
                    "name": person.name,
                    "email": person.email,
                    "role": membership.role,
                    "role_label": labels.get(membership.role, membership.role),
                    "second_factor": person.second_factor_on,
                    "last_seen_at": person.seen_at,
                    "is_you": person.id == g.signed_in.person.id,
                }
                for membership, person in accounts.members()
            ],
            roles=list(labels.items()),
            invitations=invitation_rows(),
            manage="team.manage" in g.permissions,
            invite_form=form,
        )
        return page, status

    def back() -> ResponseReturnValue:
        return redirect(url_for(f"{bp.name}.{index}"))

    def say_no(refusal: Refused) -> ResponseReturnValue:
        flash(_(refusal.message) % refusal.facts, "bad")
        return back()

    def team() -> ResponseReturnValue:
        return show()

    def invite() -> ResponseReturnValue:
        form = InviteForm(request.form)
        form.role.choices = choices(role_choices())
        if not form.validate():
            return show(form, 422)
        try:
            with savepoint():
                accounts.invite(
                    email=form.email.data or "",
                    role=form.role.data,
                    invited_by=g.signed_in.person.name,
                    tenant=current_tenant(),
                )
        except Refused as refusal:
            form.email.errors = [_(refusal.message) % refusal.facts]
            return show(form, 409)
        flash(_("The invitation is on its way to %(email)s.", email=form.email.data), "ok")
        return back()

    def resend_invitation(invitation_id: UUID) -> ResponseReturnValue:
        invitation = accounts.resend(invitation_id)
        flash(_("A new link is on its way to %(email)s.", email=invitation.email), "ok")
        return back()

    def revoke_invitation(invitation_id: UUID) -> ResponseReturnValue:
        accounts.revoke(invitation_id)
        flash(_("The invitation is withdrawn."), "ok")
        return back()

    def change_role(member_id: UUID) -> ResponseReturnValue:
        try:
            with savepoint():
                accounts.change_role(member_id, request.form.get("role", ""), kind=current_tenant().kind)
        except (accounts.LastOwner, accounts.UnknownRole) as refusal:
            return say_no(refusal)
        flash(_("The role is changed."), "ok")
        return back()

    def remove_member(member_id: UUID) -> ResponseReturnValue:
        try:
            with savepoint():
                accounts.remove(member_id, kind=current_tenant().kind)
        except accounts.LastOwner as refusal:
            return say_no(refusal)
        flash(_("They are no longer in the team."), "ok")
        return back()

    bp.add_url_rule(path, index, needs("team.see")(team))
    for rule, view in (
        ("/invite", invite),
        ("/invitations/<uuid:invitation_id>/resend", resend_invitation),
        ("/invitations/<uuid:invitation_id>/revoke", revoke_invitation),
        ("/<uuid:member_id>/role", change_role),
        ("/<uuid:member_id>/remove", remove_member),
    ):
        bp.add_url_rule(path + rule, view.__name__, needs("team.manage")(view), methods=["POST"])
