"""Everything that people read is there in Swahili too, with the same names and marks in it."""

from __future__ import annotations

import re

from babel.messages.catalog import Message
from flask import Flask
from flask_babel import gettext, lazy_gettext
from wtforms import Form, StringField
from wtforms.validators import Length

from wavu.web.i18n import (
    LOCALES,
    SOURCE_LOCALE,
    FormTexts,
    catalogue,
    init_i18n,
    messages_in_source,
    read_catalogue,
    untranslated,
)

TRANSLATED = [locale for locale in LOCALES if locale != SOURCE_LOCALE]


def _forms(text: object) -> list[str]:
    return [text] if isinstance(text, str) else [str(form) for form in text] if isinstance(text, (list, tuple)) else []


def _marks(text: str) -> list[str]:
    """What a translation must carry over: places for values, tags, and line breaks that are paragraphs."""
    return sorted(re.findall(r"%\(\w+\)\w|</?\w+>|\n\n", text))


def test_every_text_is_translated_and_none_is_stale() -> None:
    # Mend it with: ./run manage translations, then fill in what it names.
    source = {message.id for message in messages_in_source() if message.id}
    for locale in TRANSLATED:
        messages = read_catalogue(locale)
        known = {message.id for message in messages if message.id}
        assert source - known == set(), "texts that the catalogue does not have"
        assert known - source == set(), "texts that nothing shows any more"
        assert untranslated(messages) == []


def test_translations_keep_values_and_tags() -> None:
    def broken(message: Message) -> bool:
        wanted = [_marks(form) for form in _forms(message.id)]
        return any(_marks(form) not in wanted for form in _forms(message.string))

    assert [message.id for locale in TRANSLATED for message in read_catalogue(locale) if broken(message)] == []


def test_extraction_sees_templates_and_code() -> None:
    places = {place for message in messages_in_source() for place, _line in message.locations}
    assert {place.rsplit(".", 1)[-1] for place in places} >= {"html", "py"}
    assert {place.split("/")[0] for place in places} >= {"platform", "tenants", "portal_themes"}


def test_a_request_speaks_its_language() -> None:
    app, spoken = Flask("a"), ["sw"]
    init_i18n(app, lambda: spoken[0])
    with app.test_request_context():
        assert gettext("Sign in") == "Ingia"
        assert str(lazy_gettext("Join %(name)s", name="Pendo")) == "Jiunge na Pendo"
        template = "{% trans count=n %}{{ count }} person{% pluralize %}{{ count }} people{% endtrans %}"
        count = app.jinja_env.from_string(template)
        assert (count.render(n=1), count.render(n=3)) == ("Mtu 1", "Watu 3")
    spoken[0] = "en"
    with app.test_request_context():
        assert gettext("Sign in") == "Sign in"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert catalogue("fr").gettext("Sign in") == "Sign in"


def test_the_forms_own_messages_are_translated() -> None:
    class Named(Form):
        name = StringField(validators=[Length(max=3)])

        class Meta:
            def get_translations(self, form: Form) -> FormTexts:
                return FormTexts()

    app = Flask("a")
    init_i18n(app, lambda: "sw")
    with app.test_request_context():
        form = Named(data={"name": "Wanjiku"})
        assert not form.validate()
        assert form.name.errors == ["Isizidi herufi 3."]
