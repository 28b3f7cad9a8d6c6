"""Themes: one sandboxed environment per theme and language, so that no tenant can ever meet another's page.

portal_themes/README.md is the contract. Everything is read once; a theme that breaks its contract refuses to load.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from wavu.web.assets import source
from wavu.web.i18n import catalogue
from wavu.web.palette import compact, stylesheet

ROOT = Path(__file__).parents[2] / "portal_themes"

_KEYS = {
    "id", "name", "version", "engine", "suits", "default_brand", "radius", "radius_small", "headline", "sub",
}  # fmt: skip


class BadTheme(ValueError):
    """A theme breaks the contract of portal_themes/README.md."""


@dataclass(frozen=True)
class Theme:
    id: str
    name: str
    suits: tuple[str, ...]
    default_brand: str
    radius: str
    radius_small: str
    headline: dict[str, str]
    sub: dict[str, str]
    css: str


@functools.cache
def load(theme_id: str) -> Theme:
    """Raises BadTheme, or KeyError where there is no such theme."""
    if theme_id not in available():
        raise KeyError(theme_id)
    folder = ROOT / theme_id
    manifest = tomllib.loads((folder / "theme.toml").read_text())
    if set(manifest) != _KEYS:
        raise BadTheme(f"{theme_id}/theme.toml: missing or unknown {sorted(set(manifest) ^ _KEYS)}")
    if manifest["id"] != theme_id:
        raise BadTheme(f"{theme_id}/theme.toml: the id is not the folder's name")
    css = folder / "static" / "theme.css"
    fields = {name: manifest[name] for name in _KEYS - {"version", "engine", "suits"}}
    return Theme(**fields, suits=tuple(manifest["suits"]), css=css.read_text() if css.exists() else "")


@functools.cache
def available() -> tuple[str, ...]:
    """The ids of all themes."""
    return tuple(sorted(path.parent.name for path in ROOT.glob("*/theme.toml")))


@functools.lru_cache(2048)
def compiled_css(theme_id: str, brand: str) -> tuple[str, str]:
    """(the whole style sheet of a theme in a brand colour, the source expression that a CSP names it by)."""
    theme = load(theme_id)
    base = source(ROOT / "_base" / "static" / "portal.css")
    corners = f":root{{--r:{theme.radius};--r2:{theme.radius_small}}}"
    css = stylesheet(brand) + corners + compact(base) + compact(theme.css)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return css, f"'sha256-{digest}'"


@functools.cache
def environment(theme_id: str, locale: str) -> Environment:
    """The templates of one theme in one language: the theme's own first, then `_base/`."""
    base, own = FileSystemLoader(ROOT / "_base"), FileSystemLoader(ROOT / load(theme_id).id / "templates")
    made = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([own, base, PrefixLoader({"_base": base})]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    messages = catalogue(locale)
    made.install_gettext_callables(  # type: ignore[attr-defined]
        messages.gettext, messages.ngettext, newstyle=True
    )
    return made


def render(theme_id: str, locale: str, page: str, /, **data: Any) -> str:
    """A page of a theme. `data` is plain and frozen: texts, numbers, tuples; never an object of the database."""
    return environment(theme_id, locale).get_template(page).render(**data)
