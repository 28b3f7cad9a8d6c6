"""The style sheets and the script stay small, take their colours from the palette, and have no dead rules."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from tests.web_look import reading
from wavu.web.assets import source
from wavu.web.palette import compact, palette

CONSOLE = reading.STATIC / "console.css"
PORTAL = reading.THEMES / "_base/static/portal.css"
THEME_SHEETS = [theme / "static/theme.css" for theme in reading.themes()]

# Classes that templates put together from a state: pills, notices and confirmations.
STATES = {"ok", "warn", "bad", "danger", "primary"}


def _zipped(text: str) -> int:
    return len(gzip.compress(text.encode(), 9))


@pytest.mark.parametrize(("path", "limit"), [(CONSOLE, 14_000), (PORTAL, 4_000)], ids=["console", "portal"])
def test_a_style_sheet_stays_light(path: Path, limit: int) -> None:
    assert _zipped(compact(source(path))) <= limit


@pytest.mark.parametrize("name", ["app.js", "portal.js"])
def test_the_script_stays_light(name: str) -> None:
    assert _zipped((reading.STATIC / name).read_text()) <= 3_000


def test_old_web_views_understand_the_portals_script() -> None:
    source = (reading.STATIC / "portal.js").read_text()
    assert len(source.encode()) <= 3 * 1024
    code = re.sub(r"//[^\n]*|\"[^\"\n]*\"", "", source)
    assert not re.findall(r"=>|`|\b(?:let|const|class|async|await|import|export|fetch)\b|\?\.|\?\?|\.\.\.", code)


@pytest.mark.parametrize("path", [CONSOLE, PORTAL, *THEME_SHEETS], ids=reading.name)
def test_only_known_tokens(path: Path) -> None:
    known = {*palette("#00853e").light, "r", "r2"}
    assert set(re.findall(r"var\(--([\w-]+)", source(path))) <= known


@pytest.mark.parametrize("path", [PORTAL, *THEME_SHEETS], ids=reading.name)
def test_colours_come_from_the_palette(path: Path) -> None:
    css = re.sub(r"/\*.*?\*/", "", source(path), flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|oklch|color-mix)a?\(", css)
    for value in re.findall(r"(?:color|background|border|outline|fill|stroke)\S*:([^;}]+)", css):
        assert not re.findall(r"\b(?:white|black|gr[ae]y|red|green|blue|yellow|orange|purple)\b", value)


def test_console_has_no_dead_rules() -> None:
    words = set(STATES)
    for path in reading.staff_templates():
        words |= reading.classes(path)
        words |= {word for text in reading.strings(reading.tree(path)) for word in text.split()}
    assert reading.styled(source(CONSOLE)) <= words


def test_console_styles_what_templates_ask_for() -> None:
    asked = {name for path in reading.staff_templates() for name in reading.classes(path)}
    assert asked <= reading.styled(source(CONSOLE))


def test_portal_has_no_dead_rules() -> None:
    written = {name for path in reading.portal_templates() for name in reading.classes(path)}
    assert reading.styled(source(PORTAL)) == written


def test_old_web_views_understand_the_portal() -> None:
    too_new = re.compile(r"(?<![\w-])gap:|:has\(|:is\(|:where\(|\binset:|@container|@layer|\d[sld]vh\b")
    assert not [path.name for path in (PORTAL, *THEME_SHEETS) if too_new.search(source(path))]
