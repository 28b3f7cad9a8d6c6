"""Forms: WTForms with our fields. CSRF is checked before any view, by CSRFProtect."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from email_validator import EmailNotValidError, validate_email
from flask import request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from wtforms import EmailField, Form, HiddenField, PasswordField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.validators import DataRequired, Length, StopValidation, ValidationError

from wavu.errors import Refused
from wavu.texts import is_seen, tidy
from wavu.web.errors import refused_on, words_of
from wavu.web.i18n import FormTexts

_UNSEEN = _l("This has a character that cannot be shown. Type it instead of pasting it.")


class BaseForm(Form):
    """Values are tidied and may hold no character that nobody sees (wavu.texts). A password is taken as it is typed,
    whatever is in it but NUL."""

    class Meta:
        def bind_field(self, form: Form, unbound_field: Any, options: dict[str, Any]) -> Any:
            filters = list(unbound_field.kwargs.get("filters", ()))
            if unbound_field.field_class is not PasswordField:
                filters.append(_tidy)
            field = unbound_field.bind(form=form, filters=filters, **options)
            if isinstance(field, PasswordField):
                field.validators = [_no_nul, *field.validators]
            # HiddenField: a complaint about it would stand nowhere.
            if isinstance(field, StringField) and not isinstance(field, PasswordField | HiddenField):
                field.validators = [_only_seen, *field.validators]
            return field

        def get_translations(self, form: Form) -> FormTexts:
            return FormTexts()


def _tidy(value: Any) -> Any:
    return tidy(value) if isinstance(value, str) else value


def _only_seen(form: Form, field: Any) -> None:
    """A text area may have line breaks and tabs."""
    if isinstance(field.data, str) and not is_seen(field.data, lines=isinstance(field, TextAreaField)):
        raise StopValidation(_UNSEEN)


def _no_nul(form: Form, field: Any) -> None:
    if "\0" in (field.data or ""):
        raise StopValidation(_UNSEEN)


class Email:
    """An address that mail can be sent to, as far as its form tells. Checks no DNS."""

    def __call__(self, form: Form, field: Any) -> None:
        try:
            field.data = validate_email(field.data or "", check_deliverability=False, test_environment=True).normalized
        except EmailNotValidError:
            raise ValidationError(_l("Enter an e-mail address, such as name@example.com.")) from None


class Color:
    def __call__(self, form: Form, field: Any) -> None:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", field.data or ""):
            raise ValidationError(_l("Enter a colour as # and six digits, such as #00853e."))


def show_refusal(form: BaseForm, refusal: Refused, field: str | None = None) -> None:
    """Puts a business no into a form: on a field, or above them all."""
    if field is None:
        form.form_errors.append(words_of(refusal))
    else:
        form[field].errors = [*form[field].errors, words_of(refusal)]


def show_form(page: str, refusal: Refused | None = None) -> ResponseReturnValue:
    """The answer with a form's page: as it was asked for, with what is wrong in its fields, or with the business no
    that show_refusal() put there. A machine reads the no as JSON."""
    if refusal is not None:
        return refused_on(page, refusal)
    return page, 422 if request.method == "POST" else 200


def choices(pairs: Iterable[tuple[str, str]]) -> list[SelectChoice]:
    """The options of a SelectField, out of (value, label) pairs."""
    return [SelectChoice(value, label) for value, label in pairs]


def required(message: Any = None) -> DataRequired:
    return DataRequired(message or _l("Fill this in."))


def name_field(label: Any, **options: Any) -> StringField:
    return StringField(label, [required(), Length(max=120)], **options)


def email_field(label: Any, **options: Any) -> EmailField:
    return EmailField(label, [required(), Length(max=254), Email()], **options)
