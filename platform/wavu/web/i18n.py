"""English and Swahili. English is what stands in the source; translations/<locale>/LC_MESSAGES/messages.po is the rest.

The catalogues are compiled in memory as they are asked for, so that no binary file can be older than its source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from babel.support import NullTranslations, Translations
from flask import Flask
from flask_babel import Babel, Domain, get_locale, get_translations

SOURCE_LOCALE = "en"
LOCALES = {SOURCE_LOCALE: "English", "sw": "Kiswahili"}  # each by its own name

_ROOT = Path(__file__).resolve().parents[3]
_FOLDERS = ("platform/wavu", "tenants", "portal_themes", "workers")
_TRANSLATIONS = Path(__file__).resolve().parents[1] / "translations"
_KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None,
    "N_": None,
    "gettext": None,
    "lazy_gettext": None,
    "ngettext": (1, 2),
    "_l": None,
    "lazy_ngettext": (1, 2),
}

_NOISE = (b'"Project', b'"Report', b'"POT-Creation', b'"PO-Revision', b'"Last-', b'"Language-Team', b'"Generated')

# A message id: one text, or a singular and its plural.
MessageId = str | tuple[str, str]

# What WTForms says by itself, as it stands in its source.
_OF_FORMS: tuple[MessageId, ...] = (
    "Not a valid choice.",
    ("Field must be at least %(min)d character long.", "Field must be at least %(min)d characters long."),
    ("Field cannot be longer than %(max)d character.", "Field cannot be longer than %(max)d characters."),
)


class _InMemory(Domain):  # type: ignore[misc]
    """Flask-Babel's source of texts, out of our catalogues instead of a folder of binary ones."""

    def get_translations(self) -> NullTranslations:
        locale = get_locale()
        return catalogue(locale.language if locale else SOURCE_LOCALE)


class FormTexts:
    """WTForms' own messages in the reader's language: what a form's Meta.get_translations returns."""

    def gettext(self, text: str) -> str:
        return str(get_translations().gettext(text))

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        return str(get_translations().ngettext(singular, plural, number))


def init_i18n(app: Flask, pick_locale: Callable[[], str], pick_timezone: Callable[[], str] | None = None) -> None:
    """Sets up Flask-Babel; `pick_locale` names one of LOCALES and `pick_timezone` an IANA zone, for what is at hand."""
    # Parsed once: Flask-Babel would parse the name anew in each request.
    parsed = {name: Locale.parse(name) for name in LOCALES}
    babel = Babel(
        app,
        default_locale=SOURCE_LOCALE,
        locale_selector=lambda: parsed[pick_locale()],
        timezone_selector=pick_timezone,
    )
    babel.domain_instance = _InMemory()
    for locale in LOCALES:
        catalogue(locale)


@cache
def catalogue(locale: str) -> NullTranslations:
    """The texts of a locale, with `gettext` and `ngettext`; English as it stands for a locale that we do not have."""
    if locale == SOURCE_LOCALE or locale not in LOCALES:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read_catalogue(locale))
    compiled.seek(0)
    return Translations(compiled)


def read_catalogue(locale: str) -> Catalog:
    """The translators' file, as it stands in the source."""
    with _path(locale).open("rb") as file:
        return read_po(file, locale=locale)


def messages_in_source() -> Catalog:
    """Every text that templates and Python code show, with the files that use it."""
    found = Catalog(charset="utf-8")
    for path, method in _sources():
        name = path.relative_to(_ROOT).as_posix()
        extracted = extract_from_file(
            method, path, keywords=_KEYWORDS, comment_tags=("translators:",), options=_options(method)
        )
        for _line, message, comments, _context in extracted:
            found.add(message, locations=[(name, 0)], auto_comments=comments)
    for borrowed in _OF_FORMS:
        found.add(borrowed, locations=[("platform/wavu/web/i18n.py", 0)])
    return found


def update_catalogues() -> dict[str, list[MessageId]]:
    """Brings the translators' files up to date with the source and returns what each still lacks.

    A text that the source no longer has is dropped; a new one comes in without a translation, never with a guess.
    """
    source = messages_in_source()
    missing = {}
    for locale in LOCALES:
        if locale == SOURCE_LOCALE:
            continue
        messages = read_catalogue(locale)
        messages.update(source, no_fuzzy_matching=True)
        messages.obsolete.clear()
        _write_catalogue(locale, messages)
        missing[locale] = untranslated(messages)
    return missing


def _write_catalogue(locale: str, messages: Catalog) -> None:
    written = BytesIO()
    write_po(written, messages, width=120, sort_output=True, include_lineno=False)
    # Dates and names in the header would change with every run; the version control knows them better.
    lines = [line for line in written.getvalue().splitlines(keepends=True) if not line.startswith(_NOISE)]
    _path(locale).write_bytes(b"".join(lines))


def untranslated(messages: Catalog) -> list[MessageId]:
    """The texts, plurals with every form, that have no translation yet."""
    return [_id(message) for message in messages if message.id and not _is_translated(message)]


def _id(message: Message) -> MessageId:
    return message.id if isinstance(message.id, str) else (message.id[0], message.id[1])


def _is_translated(message: Message) -> bool:
    if isinstance(message.id, str):
        return bool(message.string)
    return isinstance(message.string, tuple) and all(message.string)


def _path(locale: str) -> Path:
    return _TRANSLATIONS / locale / "LC_MESSAGES" / "messages.po"


def _sources() -> Iterator[tuple[Path, str]]:
    for folder in _FOLDERS:
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.suffix == ".py":
                yield path, "python"
            elif path.suffix in {".html", ".txt"}:
                yield path, "jinja2"


def _options(method: str) -> dict[str, str]:
    return {"silent": "false"} if method == "jinja2" else {}
