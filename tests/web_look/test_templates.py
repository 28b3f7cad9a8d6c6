"""What every template keeps to: translated, safe under the Content-Security-Policy, guarded, no dead parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import nodes

from tests.web_look import reading
from tests.web_look.reading import CSRF, Page

TEMPLATES = [*reading.staff_templates(), *reading.portal_templates()]
PORTAL_SKELETON = reading.THEMES / "_base/base.html"
SPOKEN = ("alt", "aria-label", "placeholder", "title", "data-label", "data-copied")

each = pytest.mark.parametrize("path", TEMPLATES, ids=reading.name)


def test_there_are_templates() -> None:
    assert len(TEMPLATES) > 40


@each
def test_it_begins_by_saying_what_it_shows(path: Path) -> None:
    assert path.read_text().startswith("{#-")


@each
def test_no_text_escapes_translation(path: Path) -> None:
    page = Page(reading.flat(path))
    literal = [text.strip() for text in (*page.texts, *page.values(*SPOKEN)) if reading.has_letters(text)]
    spoken = [text for text in reading.strings(reading.tree(path)) if re.search(r"^[A-Z]|[a-z] [a-z]", text)]
    assert literal + spoken == []


@each
def test_nothing_is_inline(path: Path) -> None:
    page = Page(reading.flat(path))
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert not [key for key in attributes if key.startswith("on")]
        assert tag != "style" or path == PORTAL_SKELETON
        assert tag != "script" or attributes.get("src")
    assert not [text for text in page.inside if reading.has_letters(text)]


# A portal has no cookie to guard a form with (tenants/portal/ticket.py): its forms carry a signed field, or go to the
# address of a purchase, which no other site knows.
@pytest.mark.parametrize("path", reading.portal_templates(), ids=reading.name)
def test_every_post_of_a_portal_is_guarded(path: Path) -> None:
    for form in re.findall(r"<form\b.*?</form>", path.read_text(), flags=re.DOTALL):
        head = form[: form.index(">")]
        assert 'method="post"' in head
        goes_to_a_purchase = any(f'action="{{{{ {url} }}}}"' in head for url in ("again_url", "one.url", "other.url"))
        assert ('name="state"' in form) != goes_to_a_purchase


@pytest.mark.parametrize("path", reading.staff_templates(), ids=reading.name)
def test_every_post_is_guarded(path: Path) -> None:
    for form in re.findall(r"<form\b.*?</form>", reading.flat(path), flags=re.DOTALL):
        head = form[: form.index(">")]
        assert ('method="post"' in head) == (CSRF in form), head


@each
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    addresses = Page(reading.flat(path)).values("href", "src", "action", "srcset", "content")
    assert not [address for address in addresses if re.match(r"(https?:)?//|javascript:", address)]


@each
def test_everything_is_escaped(path: Path) -> None:
    unsafe = [filtered.name for filtered in reading.tree(path).find_all(nodes.Filter) if filtered.name == "safe"]
    assert unsafe == (["safe"] if path == PORTAL_SKELETON else [])
    assert not list(reading.tree(path).find_all(nodes.ScopedEvalContextModifier))


def test_icons_and_their_users_agree() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (reading.STATIC / "icons.svg").read_text()))
    asked = {icon for path in TEMPLATES for macro in ("icon", "empty") for icon in reading.arguments(path, macro)}
    mentioned = {text for path in TEMPLATES for text in reading.strings(reading.tree(path))}
    assert asked <= drawn
    assert drawn <= mentioned


def test_every_macro_is_used() -> None:
    macros = {macro.name for path in TEMPLATES for macro in reading.tree(path).find_all(nodes.Macro)}
    assert macros <= {name for path in TEMPLATES for name in reading.called(reading.tree(path))}
