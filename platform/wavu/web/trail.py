"""The audit trail in words, and the page that lists it. An action that has no words here shows as its code, and a test
names it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from wavu import audit
from wavu.audit import AuditEntry
from wavu.errors import N_
from wavu.web.access import needs

# (what happened, a sentence about it filled from the facts)
ACTIONS: dict[str, tuple[str, str]] = {
    "tenant.created": (N_("ISP added"), "%(name)s"),
    "tenant.suspended": (N_("ISP suspended"), N_("%(name)s. Reason: %(reason)s")),
    "tenant.resumed": (N_("ISP resumed"), "%(name)s"),
    "team.invited": (N_("Invitation sent"), "%(email)s"),
    "team.invitation_revoked": (N_("Invitation withdrawn"), "%(email)s"),
    "team.joined": (N_("Joined the team"), "%(email)s"),
    "team.role_changed": (N_("Role changed"), "%(name)s"),
    "team.removed": (N_("Removed from the team"), "%(name)s"),
    "account.second_factor_cleared": (N_("Two-step sign-in turned off for a person"), "%(email)s"),
    "payment.matched": (N_("Payment matched to a customer"), "%(receipt)s"),
    "payment.entered": (N_("Payment entered by hand"), "%(receipt)s"),
    "payment.taken": (N_("Payment taken at the desk"), N_("Receipt %(number)s")),
    "payment.voided": (N_("Payment at the desk taken back"), N_("Receipt %(number)s. Reason: %(reason)s")),
    "outbox.revived": (N_("Failed jobs tried again"), "%(job)s"),
    "outbox.closed": (N_("Failed job given up"), "%(job)s"),
    "vault.rotated": (N_("Encryption keys renewed"), ""),
    "mpesa.account_added": (N_("M-Pesa account added"), N_("Shortcode %(shortcode)s")),
    "router.added": (N_("Router added"), N_("%(name)s at %(address)s")),
}


PAGE = 50


def add_activity_page(bp: Blueprint, *, lead: Any, nothing: Any) -> None:
    """Adds the page /activity, `audit`, to a surface's blueprint. `lead` and `nothing`, said of an empty trail, are
    lazy texts. The surface has a `layout.html` in a folder of its name."""

    @bp.get("/activity", endpoint="audit")
    @needs("audit.see")
    def activity() -> ResponseReturnValue:
        before, index = _asked_before(), f"{bp.name}.audit"
        lines = audit.trail(before=before, limit=PAGE + 1)
        return render_template(
            "activity/show.html",
            surface_name=bp.name,
            active=index,
            lead=lead,
            nothing=nothing,
            entries=entries(lines[:PAGE]),
            next_url=url_for(index, before=lines[PAGE - 1].sequence) if len(lines) > PAGE else None,
            first_url=url_for(index) if before is not None else None,
        )


def _asked_before() -> int | None:
    """The query's `before`: the line after which a page of the trail begins. None where it can be none."""
    before = request.args.get("before", type=int)
    return before if before is not None and 0 < before < 2**63 else None


def entries(trail: list[AuditEntry]) -> list[dict[str, Any]]:
    """Lines for the timeline macro."""
    shown = []
    for entry in trail:
        action, detail = ACTIONS.get(entry.action, (entry.action, ""))
        shown.append(
            {
                "action": _(action),
                "detail": _(detail) % entry.facts if detail else None,
                "actor": entry.actor,
                "at": entry.created_at,
            }
        )
    return shown
