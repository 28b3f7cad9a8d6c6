"""Who moves money or sets secrets proves again who they are (money-and-reliability 5, P5 and A1)."""

from __future__ import annotations

from flask import flash, g, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _


def has_second_factor() -> bool:
    """Whether the person signs in with a code from their phone too: without it no money is moved."""
    return bool(g.signed_in.person.second_factor_on)


def prove_first(back: str) -> ResponseReturnValue | None:
    """Where to send a person who must set up two-step sign-in or give the password again, and then goes on at `back`;
    None for one who has done both in the last quarter of an hour."""
    if not has_second_factor():
        flash(
            _("Set up two-step sign-in first: money moves and secrets change only with a code from your phone."), "warn"
        )
        return redirect(url_for("auth.enrol_second_factor"))
    if not g.signed_in.is_fresh:
        flash(_("Enter your password, then go on where you were."), "warn")
        return redirect(url_for("auth.reauthenticate", next=back))
    return None
