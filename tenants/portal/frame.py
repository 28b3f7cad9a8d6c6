"""What all pages of a portal share: the theme's frame, the policy of the browser, links that keep the language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request
from flask_babel import get_locale, get_translations

from tenants.checkout import PromptOpen
from tenants.portal import themes
from wavu.errors import N_, Refused
from wavu.phone import Phone
from wavu.tenancy import Tenant
from wavu.web.assets import asset_url
from wavu.web.errors import Problem
from wavu.web.i18n import LOCALES
from wavu.web.templating import initials

bp = Blueprint("portal", __name__)

# (code, name, address of this page in it, whether it is this one) for each language.
LanguageLinks = tuple[tuple[str, str, str, bool], ...]
Arguments = Iterable[tuple[str, str]]

# Style is inlined, since a captive browser empties its cache at each opening; its hash takes the place of a nonce.
_CSP = (
    "default-src 'none'; style-src {style}; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_OPEN = N_("This phone was asked a moment ago. Finish that request if it is open, or wait %(time)s.")


def gettext(message: str, /, **values: object) -> str:
    """A text in the reader's language."""
    text = str(get_translations().gettext(message))
    return text % values if values else text


def ngettext(one: str, many: str, num: int) -> str:
    """As gettext, for a number of things; the text names it %(num)d."""
    return str(get_translations().ngettext(one, many, num)) % {"num": num}


def refusal(no: Refused) -> str:
    """A business no in the reader's language."""
    if isinstance(no, PromptOpen):
        return gettext(_OPEN, time=_wait(int(no.facts["seconds"])))
    return gettext(no.message) % no.facts


def _wait(seconds: int) -> str:
    if seconds < 60:
        return ngettext("%(num)d second", "%(num)d seconds", seconds)
    return ngettext("%(num)d minute", "%(num)d minutes", -(-seconds // 60))


def address(path: str, arguments: Arguments = ()) -> str:
    """A page of this portal. The language goes along where the address names it: a captive browser may drop cookies."""
    pairs = [(key, value) for key, value in arguments if value]
    if request.args.get("lang") in LOCALES:
        pairs.append(("lang", request.args["lang"]))
    return f"{path}?{urlencode(pairs)}" if pairs else path


def links(path: str, arguments: Arguments = ()) -> LanguageLinks:
    """A page of this portal in each language."""
    kept = urlencode([(key, value) for key, value in arguments if value and key != "lang"])
    here, current = f"{path}?{kept}&lang=" if kept else f"{path}?lang=", str(get_locale())
    return tuple((code, name, here + code, code == current) for code, name in LOCALES.items())


def page(name: str, *, home_url: str = "/", language_links: LanguageLinks | None = None, **data: Any) -> Response:
    """A page of the theme's, with its policy."""
    html, policy = render(name, home_url=home_url, language_links=language_links, **data)
    return respond(html, policy)


def respond(html: str, policy: str) -> Response:
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = policy
    return response


def render(
    name: str, *, home_url: str = "/", language_links: LanguageLinks | None = None, **data: Any
) -> tuple[str, str]:
    """(the page, its Content-Security-Policy). `data` is what portal_themes/README.md promises to the page."""
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
        home_url=home_url,
        language_links=links("/") if language_links is None else language_links,
        script_url=asset_url("portal.js"),
        css=css,
        theme_color=tenant.brand_color,
        **data,
    )
    return html, _CSP.format(style=source)


def error_page(problem: Problem) -> Response:
    """An error in the ISP's own look; for a suspended ISP, a page for its customers that does not say why."""
    here = links(request.path, request.args.items(multi=True)) if request.method == "GET" else links("/")
    if problem.code == "tenant_suspended":
        return page("suspended.html", home_url=address("/"), language_links=here)
    return page(
        "error.html",
        home_url=address("/"),
        language_links=here,
        title=problem.title,
        message=problem.message,
        reference=problem.reference,
        retry_after=problem.retry_after,
    )
