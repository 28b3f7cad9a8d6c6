from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from flask import Blueprint, current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, SelectField, StringField, TextAreaField
from wtforms.validators import Length

from wavu import accounts, audit, outbox, tenancy
from wavu.db import savepoint
from wavu.errors import Refused
from wavu.tenancy import BadSlug, NameKind, NameTaken, Tenant
from wavu.texts import one_line
from wavu.web import health
from wavu.web.access import gathers, needs
from wavu.web.errors import STATUS, words_of
from wavu.web.forms import BaseForm, Color, choices, email_field, name_field, required, show_refusal
from wavu.web.team_pages import add_team_pages, invitation_rows
from wavu.web.trail import add_activity_page, entries

bp = Blueprint("backoffice", __name__, template_folder="templates")
add_team_pages(
    bp,
    path="/staff",
    index="staff",
    title=_l("Staff"),
    lead=_l("They can open every ISP's page here. Two-step sign-in is required."),
)
add_activity_page(
    bp,
    lead=_l("Every act of the staff. Nothing here can be changed or removed."),
    nothing=_l("What platform staff do will be listed here."),
)

PAGE = 50


class TenantForm(BaseForm):
    name = name_field(_l("Name"))
    slug = StringField(_l("Short name"), [required(), Length(max=40)])
    brand_color = StringField(_l("Brand colour"), [required(), Color()], default="#00853e")
    timezone = SelectField(_l("Time zone"), default="Africa/Nairobi")
    owner_name = name_field(_l("Owner's name"))
    owner_email = email_field(_l("Owner's e-mail"))


class SuspendForm(BaseForm):
    reason = TextAreaField(_l("Reason"), [required(), Length(max=300)])
    confirm = BooleanField(_l("Close its portal and console now"), [required(_l("Tick this to confirm."))])


def _domain() -> str:
    return str(current_app.extensions["settings"].platform_domain)


def _status(tenant: Tenant) -> dict[str, Any]:
    return {
        "status_label": _("Active") if tenant.is_active else _("Suspended"),
        "tone": "ok" if tenant.is_active else "bad",
        "is_active": tenant.is_active,
    }


@bp.get("/")
@needs("home.see")
@gathers(health.report)
def home() -> ResponseReturnValue:
    counts = tenancy.count_by_status()
    backlog = outbox.backlog()
    return render_template(
        "backoffice/home.html",
        counts=[
            {
                "label": _("Active ISPs"),
                "value": counts["active"],
                "url": url_for("backoffice.tenants", status="active"),
            },
            {
                "label": _("Suspended ISPs"),
                "value": counts["suspended"],
                "url": url_for("backoffice.tenants", status="suspended"),
            },
        ],
        outbox=backlog,
        troubles=tenancy.payment_troubles(),
        components=[
            {"name": name, "ok": state == health.OK, "detail": _(state.message) % state.facts}
            for name, state in ((_(health.NAMES[part]), state) for part, state in g.gathered.items())
        ],
        entries=entries(audit.trail(limit=8)),
    )


@bp.get("/isps")
@needs("tenants.see")
def tenants() -> ResponseReturnValue:
    search, status = one_line(request.args.get("q", ""))[:80], request.args.get("status", "")
    status = status if status in ("active", "suspended") else ""
    found = tenancy.list_tenants(search=search, status=status or None, after=_after(), limit=PAGE + 1)
    summaries = tenancy.summaries([tenant.id for tenant in found[:PAGE]])
    statuses = (("", _("All")), ("active", _("Active")), ("suspended", _("Suspended")))

    def page_url(after: UUID | None) -> str:
        return url_for("backoffice.tenants", q=search or None, status=status or None, after=after)

    return render_template(
        "backoffice/tenants.html",
        q=search,
        status=status,
        status_choices=[
            {
                "value": value,
                "label": label,
                "url": url_for("backoffice.tenants", q=search or None, status=value or None),
                "current": value == status,
            }
            for value, label in statuses
        ],
        rows=[
            {
                "id": tenant.id,
                "name": tenant.name,
                "host": summaries[tenant.id].host,
                "members": summaries[tenant.id].members,
                "created_at": tenant.created_at,
                **_status(tenant),
            }
            for tenant in found[:PAGE]
        ],
        next_url=page_url(found[PAGE - 1].id) if len(found) > PAGE else None,
        first_url=page_url(None) if _after() else None,
    )


def _after() -> UUID | None:
    try:
        return UUID(request.args["after"])
    except (KeyError, ValueError):
        return None


@bp.route("/isps/new", methods=["GET", "POST"])
@needs("tenants.manage")
def tenant_new() -> ResponseReturnValue:
    form, status = TenantForm(request.form), 200
    form.timezone.choices = choices((name, name) for name in [*sorted(_africa()), "UTC"])
    if request.method == "POST":
        status = 422
        if form.validate():
            try:
                with savepoint():
                    tenant = _create(form)
            except Refused as refusal:
                about_name = isinstance(refusal, NameTaken | BadSlug)
                show_refusal(form, refusal, "slug" if about_name else "owner_email")
                status = STATUS[refusal.kind]
            else:
                flash(_("%(name)s is ready. Its owner has been invited.", name=tenant.name), "ok")
                return redirect(url_for("backoffice.tenant", tenant_id=tenant.id))
    return render_template("backoffice/tenant_new.html", form=form, domain=_domain()), status


def _africa() -> set[str]:
    return {name for name in available_timezones() if name.startswith("Africa/")}


def _create(form: TenantForm) -> Tenant:
    slug = form.slug.data or ""
    tenant = tenancy.create_tenant(
        name=form.name.data or "",
        slug=slug,
        host=f"{slug}.{_domain()}",
        timezone=form.timezone.data,
        brand_color=form.brand_color.data or "",
    )
    accounts.invite_owner(
        tenant,
        email=form.owner_email.data or "",
        name=form.owner_name.data or "",
        invited_by=g.signed_in.person.name,
    )
    return tenant


@bp.get("/isps/<uuid:tenant_id>")
@needs("tenants.see")
def tenant(tenant_id: UUID) -> ResponseReturnValue:
    return _tenant_page(tenant_id, SuspendForm())


def _tenant_page(tenant_id: UUID, form: SuspendForm, status: int = 200) -> ResponseReturnValue:
    found = tenancy.find_isp(tenant_id)
    settings = current_app.extensions["settings"]
    with tenancy.visiting(found.id):
        hosts, team = tenancy.names(NameKind.HOST), accounts.members()
    isp = {
        **{
            name: getattr(found, name)
            for name in ("id", "name", "slug", "suspended_because", "created_at", "timezone", "brand_color")
        },
        **_status(found),
        "portal_url": settings.origin(hosts[0]) if hosts else None,
        "members": len(team),
    }
    page = render_template(
        "backoffice/tenant.html",
        isp=isp,
        hosts=[{"kind_label": _("Portal"), "name": host} for host in hosts],
        invitations=invitation_rows(accounts.owner_invitations(found.id), found.kind),
        suspend_form=form,
        manage="tenants.manage" in g.permissions,
        entries=entries(audit.trail(subject=found.id, limit=20)),
    )
    return page, status


@bp.post("/isps/<uuid:tenant_id>/invitations/<uuid:invitation_id>/resend")
@needs("tenants.manage")
def resend_owner_invitation(tenant_id: UUID, invitation_id: UUID) -> ResponseReturnValue:
    isp = tenancy.find_isp(tenant_id)
    try:
        with savepoint():
            invitation = accounts.resend_to_owner(isp.id, invitation_id)
    except (accounts.InvitedTooOften, accounts.TooManyInvitations) as refusal:
        flash(words_of(refusal), "bad")
    else:
        flash(_("A new link is on its way to %(email)s.", email=invitation.email), "ok")
    return redirect(url_for("backoffice.tenant", tenant_id=isp.id))


@bp.post("/isps/<uuid:tenant_id>/invitations/<uuid:invitation_id>/revoke")
@needs("tenants.manage")
def revoke_owner_invitation(tenant_id: UUID, invitation_id: UUID) -> ResponseReturnValue:
    isp = tenancy.find_isp(tenant_id)
    accounts.revoke_from_owner(isp.id, invitation_id)
    flash(_("The invitation is withdrawn."), "ok")
    return redirect(url_for("backoffice.tenant", tenant_id=isp.id))


@bp.post("/isps/<uuid:tenant_id>/suspend")
@needs("tenants.manage")
def suspend(tenant_id: UUID) -> ResponseReturnValue:
    form = SuspendForm(request.form)
    if not form.validate():
        return _tenant_page(tenant_id, form, 422)
    try:
        tenant = tenancy.suspend(tenant_id, form.reason.data or "")
    except tenancy.AlreadySuspended as refusal:
        flash(words_of(refusal), "bad")
    else:
        flash(_("%(name)s is suspended.", name=tenant.name), "ok")
    return redirect(url_for("backoffice.tenant", tenant_id=tenant_id))


@bp.post("/isps/<uuid:tenant_id>/resume")
@needs("tenants.manage")
def resume(tenant_id: UUID) -> ResponseReturnValue:
    try:
        tenant = tenancy.resume(tenant_id)
    except tenancy.AlreadyOpen as refusal:
        flash(words_of(refusal), "bad")
    else:
        flash(_("%(name)s is open again.", name=tenant.name), "ok")
    return redirect(url_for("backoffice.tenant", tenant_id=tenant_id))
