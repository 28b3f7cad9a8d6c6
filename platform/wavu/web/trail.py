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
    "promo.granted": (N_("Promotional credit given"), N_("%(amount)s. Reason: %(reason)s")),
    "promo.limit_set": (N_("Limit for promotional credit changed"), "%(amount)s"),
    "renewal.on": (N_("Auto-renew switched on"), "%(package)s"),
    "renewal.off": (N_("Auto-renew switched off"), ""),
    "desk.sold": (N_("Package sold at the desk"), N_("Sale %(number)s: %(package)s, %(amount)s")),
    "outbox.revived": (N_("Failed jobs tried again"), "%(job)s"),
    "outbox.closed": (N_("Failed job given up"), "%(job)s"),
    "vault.rotated": (N_("Encryption keys renewed"), ""),
    "mpesa.account_added": (N_("M-Pesa account added"), N_("Shortcode %(shortcode)s")),
    "mpesa.initiator_set": (N_("M-Pesa initiator set"), N_("%(name)s of %(account)s")),
    "mpesa.initiator_frozen": (N_("M-Pesa initiator frozen"), "%(name)s"),
    "payouts.requested": (N_("Refund asked for"), N_("%(amount)s of receipt %(receipt)s")),
    "payouts.approved": (N_("Refund approved"), "%(amount)s"),
    "payouts.withdrawn": (N_("Refund withdrawn"), "%(amount)s"),
    "payouts.paid": (N_("Refund paid"), "%(amount)s"),
    "payouts.failed": (N_("Refund failed"), "%(amount)s"),
    "payouts.decided": (N_("Refund settled by hand"), N_("%(amount)s, receipt %(receipt)s")),
    "payouts.to_wallet": (N_("Package given back to the wallet"), N_("%(amount)s of receipt %(receipt)s")),
    "payouts.limit_set": (N_("Limit for refunds changed"), "%(amount)s"),
    "mpesa.draft_started": (N_("Setting up of an M-Pesa account begun"), N_("Shortcode %(shortcode)s")),
    "mpesa.draft_dropped": (N_("Setting up of an M-Pesa account given up"), "%(account)s"),
    "mpesa.organisation_confirmed": (N_("M-Pesa account confirmed as ours"), "%(name)s"),
    "mpesa.trial_paid": (N_("KES 1 asked for, to try an M-Pesa account"), "%(account)s"),
    "mpesa.account_used": (N_("M-Pesa account takes payments"), "%(account)s"),
    "mpesa.standing_orders_on": (N_("Standing orders turned on"), "%(account)s"),
    "mpesa.standing_orders_off": (N_("Standing orders turned off"), "%(account)s"),
    "mpesa.change_asked": (N_("Change of where M-Pesa payments go asked for"), N_("From %(before)s to %(account)s")),
    "mpesa.change_made": (N_("Change of where M-Pesa payments go took effect"), "%(account)s"),
    "mpesa.change_cancelled": (N_("Change of where M-Pesa payments go cancelled"), "%(account)s"),
    "airtel.account_added": (N_("Airtel Money account added"), "%(account)s"),
    "airtel.draft_started": (N_("Setting up of an Airtel Money account begun"), "%(account)s"),
    "airtel.draft_dropped": (N_("Setting up of an Airtel Money account given up"), "%(account)s"),
    "airtel.change_asked": (N_("Change of where Airtel Money payments go asked for"), "%(account)s"),
    "airtel.change_made": (N_("Change of where Airtel Money payments go took effect"), "%(account)s"),
    "airtel.change_cancelled": (N_("Change of where Airtel Money payments go cancelled"), "%(account)s"),
    "airtel.switched_on": (N_("Airtel Money switched on"), "%(account)s"),
    "airtel.switched_off": (N_("Airtel Money switched off"), "%(account)s"),
    "books.statement_imported": (N_("Statement imported"), N_("%(shortcode)s, %(rows)s movements")),
    "books.credited_from_statement": (N_("Payment credited from a statement"), "%(receipt)s"),
    "books.difference_accepted": (N_("Difference explained"), "%(day)s, %(about)s: %(note)s"),
    "books.case_opened": (N_("Case opened"), "%(day)s, %(about)s: %(note)s"),
    "books.case_resolved": (N_("Case closed"), "%(day)s, %(about)s: %(note)s"),
    "books.reversal_booked": (N_("Outside reversal booked"), "%(day)s, %(about)s"),
    "books.day_closed": (N_("Day closed"), "%(day)s"),
    "books.report_exported": (N_("Payments exported"), N_("%(first)s to %(last)s")),
    "access.ended": (N_("Access ended: the payment was taken back"), "%(receipt)s"),
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
        # The staff's trail tells of all ISPs: whose owner was invited is said first.
        said = [entry.facts.get("isp"), _(detail) % entry.facts if detail else None]
        shown.append(
            {
                "action": _(action),
                "detail": ": ".join(filter(None, said)) or None,
                "actor": entry.actor,
                "at": entry.created_at,
            }
        )
    return shown
