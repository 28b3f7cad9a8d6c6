"""The pages of a team, alike for an ISP's people and for platform staff: each surface adds them to its blueprint."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
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
from wavu.web.errors import STATUS, words_of
from wavu.web.forms import BaseForm, choices, email_field, show_refusal
from wavu.web.guard import current_tenant


class InviteForm(BaseForm):
    email = email_field(_l("E-mail"))
    role = SelectField(_l("Role"))


def role_choices() -> list[tuple[str, str]]:
    return [(name, _(role.label)) for name, role in accounts.roles_of(current_tenant().kind).items()]


def invitation_rows(invitations: list[accounts.Invitation], kind: str) -> list[dict[str, Any]]:
    """Invitations into a tenant of this kind, for ui/people.html."""
    roles, now = accounts.roles_of(kind), clock.now()
    return [
        {
            "id": invitation.id,
            "email": invitation.email,
            "role_label": _(roles[invitation.role].label),
            "expires_at": invitation.expires_at,
            "expired": invitation.expires_at <= now,
        }
        for invitation in invitations
    ]


class TeamPages:
    """The list, inviting, resending, withdrawing, changing a role, removing."""

    def __init__(self, surface: str, index: str, title: Any, lead: Any) -> None:
        self._index = f"{surface}.{index}"
        self._head = {"surface_name": surface, "title": title, "lead": lead, "active": self._index}

    def team(self) -> ResponseReturnValue:
        # The role that may do the least: who wants to give more must say so.
        return self._show(InviteForm(role=role_choices()[-1][0]), 200)

    def invite(self) -> ResponseReturnValue:
        form = InviteForm(request.form)
        form.role.choices = choices(role_choices())
        if not form.validate():
            return self._show(form, 422)
        try:
            with savepoint():
                accounts.invite(
                    email=form.email.data or "",
                    role=form.role.data,
                    invited_by=g.signed_in.person.name,
                    tenant=current_tenant(),
                )
        except Refused as refusal:
            show_refusal(form, refusal, "email")
            return self._show(form, STATUS[refusal.kind])
        flash(_("The invitation is on its way to %(email)s.", email=form.email.data), "ok")
        return self._back()

    def resend_invitation(self, invitation_id: UUID) -> ResponseReturnValue:
        try:
            with savepoint():
                invitation = accounts.resend(invitation_id)
        except (accounts.InvitedTooOften, accounts.TooManyInvitations) as refusal:
            return self._say_no(refusal)
        flash(_("A new link is on its way to %(email)s.", email=invitation.email), "ok")
        return self._back()

    def revoke_invitation(self, invitation_id: UUID) -> ResponseReturnValue:
        accounts.revoke(invitation_id)
        flash(_("The invitation is withdrawn."), "ok")
        return self._back()

    def change_role(self, member_id: UUID) -> ResponseReturnValue:
        try:
            with savepoint():
                accounts.change_role(member_id, request.form.get("role", ""), kind=current_tenant().kind)
        except (accounts.LastOwner, accounts.UnknownRole) as refusal:
            return self._say_no(refusal)
        flash(_("The role is changed."), "ok")
        return self._back()

    def remove_member(self, member_id: UUID) -> ResponseReturnValue:
        try:
            with savepoint():
                accounts.remove(member_id, kind=current_tenant().kind)
        except accounts.LastOwner as refusal:
            return self._say_no(refusal)
        flash(_("They are no longer in the team."), "ok")
        return self._back()

    def _show(self, form: InviteForm, status: int) -> ResponseReturnValue:
        labels = dict(role_choices())
        form.role.choices = choices(labels.items())
        page = render_template(
            "team/show.html",
            **self._head,
            members=[_member_row(member, labels) for member in accounts.members()],
            roles=list(labels.items()),
            invitations=invitation_rows(accounts.invitations(), current_tenant().kind),
            manage="team.manage" in g.permissions,
            invite_form=form,
        )
        return page, status

    def _back(self) -> ResponseReturnValue:
        return redirect(url_for(self._index))

    def _say_no(self, refusal: Refused) -> ResponseReturnValue:
        flash(words_of(refusal), "bad")
        return self._back()


def _member_row(member: accounts.Member, labels: dict[str, str]) -> dict[str, Any]:
    membership, person = member
    return {
        "id": membership.id,
        "name": person.name,
        "email": person.email,
        "role": membership.role,
        "role_label": labels.get(membership.role, membership.role),
        "second_factor": person.second_factor_on,
        "last_seen_at": membership.seen_at,
        "is_you": person.id == g.signed_in.person.id,
    }


def add_team_pages(bp: Blueprint, *, path: str, index: str, title: Any, lead: Any) -> None:
    """Adds the pages to a surface's blueprint, below a path. `index` names the view of the list; title and lead are
    lazy texts. The surface has a `layout.html` in a folder of its name."""
    pages = TeamPages(bp.name, index, title, lead)
    _add(bp, path, index, "team.see", pages.team, "GET")
    for rule, view in (
        ("/invite", pages.invite),
        ("/invitations/<uuid:invitation_id>/resend", pages.resend_invitation),
        ("/invitations/<uuid:invitation_id>/revoke", pages.revoke_invitation),
        ("/<uuid:member_id>/role", pages.change_role),
        ("/<uuid:member_id>/remove", pages.remove_member),
    ):
        _add(bp, path + rule, view.__name__, "team.manage", view, "POST")


def _add(bp: Blueprint, rule: str, name: str, permission: str, view: Callable[..., Any], method: str) -> None:
    # A method cannot carry a declaration of its own; a function around it can.
    bp.add_url_rule(rule, name, needs(permission)(update_wrapper(partial(view), view)), methods=[method])
