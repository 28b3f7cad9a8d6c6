from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app, g, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from tenants import airtel, mpesa
from tenants.console import airtel_words, mpesa_words
from tenants.console.blueprint import bp
from wavu import accounts, audit, clock, tenancy
from wavu.errors import N_
from wavu.tenancy import NameKind
from wavu.web.access import needs
from wavu.web.errors import Problem
from wavu.web.guard import current_tenant
from wavu.web.team_pages import add_team_pages
from wavu.web.trail import add_activity_page, entries

add_team_pages(
    bp,
    path="/team",
    index="team",
    title=_l("Team"),
    lead=_l("Each person signs in with their own e-mail, so that the activity log can tell who did what."),
)
add_activity_page(
    bp,
    lead=_l("Who did what, and when. Nothing here can be changed or removed."),
    nothing=_l("Nothing has happened yet. Sign-ins, invitations and changes by your team will be listed here."),
)


@bp.get("/")
@needs("home.see")
def home() -> ResponseReturnValue:
    hosts = tenancy.names(NameKind.HOST)
    settings = current_app.extensions["settings"]
    may_audit, may_mpesa = "audit.see" in g.permissions, "mpesa.see" in g.permissions
    return render_template(
        "console/home.html",
        greeting=_greeting(g.signed_in.person.name.split()[0]),
        portal_host=hosts[0] if hosts else "",
        portal_url=settings.origin(hosts[0]) if hosts else "",
        team_size=len(accounts.members()),
        waiting_invitations=len(accounts.invitations()),
        second_factor_on=g.signed_in.person.second_factor_on,
        may_mpesa=may_mpesa,
        mpesa=_mpesa_accounts() if may_mpesa else [],
        may_audit=may_audit,
        entries=entries(audit.trail(limit=8)) if may_audit else [],
    )


def _mpesa_accounts() -> list[dict[str, Any]]:
    """Where money comes in: M-Pesa's accounts, and Airtel Money's if it takes payments."""
    return [
        {
            "label": account.label,
            "store": account.business_short_code if account.kind == "till" else None,
            "environment": _(mpesa_words.ENVIRONMENTS[account.environment]),
            "fault": _(account.fault) if account.fault else None,
            "fares": mpesa_words.fares(account),
            "since": account.fault_since,
            **_initiator_of(account),
        }
        for account in mpesa.list_accounts()
    ] + [
        {
            "label": account.label,
            "environment": _(airtel_words.ENVIRONMENTS[account.environment]),
            "fares": mpesa_words.fares(account),
            **dict.fromkeys(("store", "fault", "since", "initiator_fault", "initiator_since", "balance")),
        }
        for account in airtel.list_accounts()
        if account.state == "on"
    ]


def _initiator_of(account: mpesa.MpesaAccount) -> dict[str, Any]:
    """What its initiator needs, and what M-Pesa last said that the account holds."""
    found, held = mpesa.initiator_of(account.id), mpesa.latest_balance(account.id)
    fault = _(found.fault) if found is not None and found.fault else None
    return {"initiator_fault": fault, "initiator_since": found.fault_since if found else None, "balance": held}


def _greeting(name: str) -> str:
    hour = clock.now().astimezone(ZoneInfo(current_tenant().timezone)).hour
    greeting = N_("Good evening, %(name)s")
    if hour < 12:
        greeting = N_("Good morning, %(name)s")
    elif hour < 17:
        greeting = N_("Good afternoon, %(name)s")
    return str(_(greeting, name=name))


def suspended_page(problem: Problem) -> str:
    """The console's error page: for a suspended ISP, why and whom to ask."""
    tenant = g.get("tenant")
    if problem.code == "tenant_suspended" and tenant is not None:
        settings = current_app.extensions["settings"]
        return render_template(
            "console/suspended.html", reason=tenant.suspended_because, support_email=settings.mail_from
        )
    return render_template("errors/error.html", **problem._asdict())
