"""Reads templates without rendering them: as one run of HTML with marks where expressions stand, and as their syntax
tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, nodes

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "platform/wavu/web/static"
THEMES = ROOT / "portal_themes"

# Marks from Unicode's private area: they are no letters, and no template holds them.
EXPRESSION, CSRF = "\ue000", "\ue001"

_TRANSLATING = {"_", "gettext", "ngettext"}
_environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)


def staff_templates() -> list[Path]:
    return sorted(path for name in ("platform/wavu", "tenants") for path in (ROOT / name).rglob("templates/**/*.html"))


def portal_templates() -> list[Path]:
    return sorted(THEMES.rglob("*.html"))


def themes() -> list[Path]:
    return sorted(path.parent for path in THEMES.glob("*/theme.toml"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> nodes.Template:
    return _environment.parse(path.read_text())


@cache
def flat(path: Path) -> str:
    """The template's HTML, both branches of every condition, with a mark for each expression."""
    return "".join(_flatten(tree(path)))


def _flatten(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Expr):
        yield CSRF if "csrf" in called(node) else EXPRESSION
    elif isinstance(node, nodes.Output):
        for part in node.nodes:
            yield from _flatten(part)
    else:
        for child in node.iter_child_nodes():
            if isinstance(child, nodes.Stmt):
                yield from _flatten(child)


def _called(node: nodes.Node) -> str | None:
    """The name of the function or macro that a node calls."""
    return node.node.name if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) else None


def called(node: nodes.Node) -> set[str]:
    """The names of everything that is called in a node."""
    return {name for call in (node, *node.find_all(nodes.Call)) if (name := _called(call))}


def strings(node: nodes.Node) -> Iterator[str]:
    """Texts inside expressions that go through no translation and into no comparison."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Compare) or _called(child) in _TRANSLATING:
            continue
        if isinstance(child, nodes.Const) and isinstance(child.value, str):
            yield child.value
        yield from strings(child)


def arguments(path: Path, macro: str) -> set[str]:
    """The literal first arguments that a template calls a macro with."""
    firsts = (call.args[0] for call in tree(path).find_all(nodes.Call) if _called(call) == macro and call.args)
    return {first.value for first in firsts if isinstance(first, nodes.Const)}


class Page(HTMLParser):
    """What a flattened template says and links to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inside: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag in {"script", "style"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        (self.inside if self._open else self.texts).append(data)

    def values(self, *attributes: str) -> list[str]:
        return [value for _tag, attrs in self.tags for key, value in attrs.items() if key in attributes]


def has_letters(text: str) -> bool:
    return any(character.isalpha() for character in text)


def classes(path: Path) -> set[str]:
    """The class names that a template writes out."""
    tokens = (token for value in Page(flat(path)).values("class") for token in value.split())
    return {token for token in tokens if EXPRESSION not in token}


def styled(css: str) -> set[str]:
    """The class names that a style sheet has rules for."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    return {match for selector in re.findall(r"([^{}]+)\{", css) for match in re.findall(r"\.([a-z][\w-]*)", selector)}
