"""The contract between portal pages and themes, see portal_themes/README.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tenants.portal import themes
from tests.web_look import reading
from tests.web_look.reading import Page
from wavu.web.i18n import LOCALES
from wavu.web.palette import palette

OVERRIDABLE = {"header", "hero", "notice", "help", "footer"}
PAGES = ("home", "suspended", "error")

each_theme = pytest.mark.parametrize("theme", reading.themes(), ids=lambda path: path.name)


def _manifest(theme: Path) -> dict[str, Any]:
    return tomllib.loads((theme / "theme.toml").read_text())


def _render(theme: Path, page: str, locale: str, help_phone: str | None = "+254712345678") -> str:
    manifest = _manifest(theme)
    isp: dict[str, str | None] = {"name": "Mama <b>Njeri</b> Net", "initials": "MN", "help_phone_shown": "0712 345678"}
    texts = {key: manifest[key][locale] for key in ("headline", "sub")}
    data: Mapping[str, Any] = {
        "isp": MappingProxyType(isp | {"help_phone": help_phone}),
        "theme": MappingProxyType(texts | {"id": theme.name}),
        "locale": locale,
        "language_links": tuple((code, name, f"/?lang={code}", code == locale) for code, name in LOCALES.items()),
        "css": "body{margin:0}",
        "theme_color": manifest["default_brand"],
        "title": "A title",
        "message": "A message",
        "reference": "R-1",
        "retry_after": 5,
    }
    return themes.render(theme.name, locale, f"{page}.html", **data)


@each_theme
def test_the_manifest_is_whole(theme: Path) -> None:
    manifest = _manifest(theme)
    assert themes.load(theme.name).id == theme.name  # which refuses missing and unknown keys
    assert re.fullmatch(r"[a-z]+", theme.name)
    assert palette(manifest["default_brand"])
    assert set(manifest["headline"]) == set(manifest["sub"]) == set(LOCALES)
    assert all(re.fullmatch(r"\d+px", manifest[key]) for key in ("radius", "radius_small"))


@each_theme
def test_a_theme_styles_only_itself(theme: Path) -> None:
    css = (theme / "static/theme.css").read_text()
    assert len(css.encode()) <= 2048
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    assert not re.findall(r"url\(|@import|!important|position:\s*fixed|expression\(|</", css)
    selectors = [part.strip() for rule in re.findall(r"([^{}]+)\{", css) for part in rule.split(",")]
    assert selectors
    for selector in selectors:
        assert selector.startswith((f".th-{theme.name} ", "@media ")), selector


@each_theme
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_keeps_the_contract(theme: Path, page: str, locale: str) -> None:
    html = _render(theme, page, locale)
    seen = Page(html)
    tags = [tag for tag, _attributes in seen.tags]
    assert tags.count("h1") == 1
    assert ("html", {"lang": locale}) in seen.tags
    assert ("body", {"class": f"th-{theme.name}"}) in seen.tags
    assert "script" not in tags
    assert "<style>body{margin:0}</style>" in html  # exactly the bytes whose hash the policy names
    assert "Mama &lt;b&gt;Njeri&lt;/b&gt; Net" in html
    addresses = seen.values("href")
    assert "tel:+254712345678" in addresses
    assert [address for address in addresses if address.startswith("/?lang=")] == [
        f"/?lang={code}" for code in LOCALES if code != locale
    ]


@each_theme
def test_without_a_help_phone_there_is_no_empty_link(theme: Path) -> None:
    for page in PAGES:
        assert "tel:" not in _render(theme, page, "sw", help_phone=None)


@each_theme
def test_a_theme_overrides_only_what_it_may(theme: Path) -> None:
    for path in sorted(theme.glob("templates/*.html")):
        text = path.read_text()
        assert f'{{% extends "_base/{path.name}" %}}' in text
        assert set(re.findall(r"{%-? block (\w+)", text)) <= OVERRIDABLE
