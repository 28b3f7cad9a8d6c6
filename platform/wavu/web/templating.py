"""What every template of the staff's pages may use: globals, filters, and the language."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Flask, g, request, session
from flask_babel import format_datetime, get_locale
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from wavu import money, phone
from wavu.web.assets import asset_url, palette_url
from wavu.web.hosts import Site
from wavu.web.i18n import LOCALES

PLATFORM_BRAND = "#0f766e"


def init_templating(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(money=money.show, phone_masked=phone.mask, when=when, initials=initials)
    app.jinja_env.globals.update(asset=asset_url, csrf=_csrf)
    app.context_processor(_context)


def _csrf() -> Markup:
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(generate_csrf())


def _context() -> dict[str, Any]:
    site: Site | None = request.environ.get("wavu.site")
    tenant, signed_in = g.get("tenant"), g.get("signed_in")
    person = signed_in.person if signed_in is not None and signed_in.is_complete else None
    shown = tenant if tenant is not None and tenant.kind == "isp" else None
    return {
        "surface": site.surface if site else "front",
        "tenant": shown,
        "person": person,
        "can_switch": g.get("can_switch", False),
        "locale": str(get_locale()),
        "language_links": language_links(),
        "palette_url": palette_url(shown.brand_color if shown else PLATFORM_BRAND),
    }


def pick_locale() -> str:
    """The address's `lang`, else the person's own, else the cookie's, else the browser's, else the tenant's."""
    asked = request.args.get("lang", "")
    if asked in LOCALES:
        if session.get("locale") != asked:
            session["locale"] = asked
        return asked
    signed_in, tenant = g.get("signed_in"), g.get("tenant")
    if session.get("locale") in LOCALES:
        return str(session["locale"])
    if signed_in is not None and signed_in.is_complete:
        return str(signed_in.person.locale)
    default = tenant.locale if tenant is not None else "en"
    return _browsers_own(request.headers.get("Accept-Language", "")[:200]) or default


@functools.lru_cache(1000)
def _browsers_own(accepted: str) -> str | None:
    return parse_accept_header(accepted, LanguageAccept).best_match(list(LOCALES))


def language_links() -> list[tuple[str, str, str, bool]]:
    """(code, name, address of this page in it, whether it is this one) for each language."""
    current = str(get_locale())
    arguments = [(key, value) for key, value in request.args.items(multi=True) if key != "lang"]
    return [
        (code, name, f"{request.path}?{urlencode([*arguments, ('lang', code)])}", code == current)
        for code, name in LOCALES.items()
    ]


def when(instant: datetime) -> Markup:
    """An instant as people here read it, in the tenant's zone, with the exact one for machines."""
    return Markup('<time datetime="{}">{}</time>').format(
        instant.isoformat(), format_datetime(instant, "d MMM y, HH:mm")
    )


def pick_timezone() -> str:
    tenant = g.get("tenant")
    return str(tenant.timezone) if tenant is not None else "Africa/Nairobi"


def initials(name: str) -> str:
    """Up to two letters that stand for a name."""
    words = [word for word in name.split() if word[:1].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "•"
