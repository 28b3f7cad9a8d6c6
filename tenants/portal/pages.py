from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from tenants.portal import themes
from wavu.phone import Phone
from wavu.tenancy import Tenant
from wavu.web.access import public
from wavu.web.errors import Problem
from wavu.web.templating import initials, language_links

bp = Blueprint("portal", __name__)

# Style is inlined, since a captive browser empties its cache at each opening; its hash takes the place of a nonce.
_CSP = (
    "default-src 'none'; style-src {style}; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@bp.get("/")
@public(scope="tenant")
def home() -> ResponseReturnValue:
    return _page("home.html")


def _page(name: str, **data: Any) -> Response:
    tenant: Tenant = g.tenant
    locale = str(get_locale())
    theme = themes.load(tenant.theme)
    css, source = themes.compiled_css(theme.id, tenant.brand_color)
    phone = Phone(tenant.help_phone) if tenant.help_phone else None
    html = themes.render(
        theme.id,
        locale,
        name,
        isp={
            "name": tenant.name,
            "initials": initials(tenant.name),
            "help_phone": phone.e164 if phone else None,
            "help_phone_shown": phone.national if phone else None,
        },
        theme={"id": theme.id, "headline": theme.headline[locale], "sub": theme.sub[locale]},
        locale=locale,
        language_links=tuple(language_links()),
        css=css,
        theme_color=tenant.brand_color,
        **data,
    )
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _CSP.format(style=source)
    return response


def error_page(problem: Problem) -> Response:
    """An error in the ISP's own look; for a suspended ISP, a page for its customers that does not say why."""
    if problem.code == "tenant_suspended":
        return _page("suspended.html")
    return _page(
        "error.html",
        title=problem.title,
        message=problem.message,
        reference=problem.reference,
        retry_after=problem.retry_after,
    )
