"""What the Airtel Money page says of setting an account up, in plain words."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from tenants import airtel
from tenants.airtel import AirtelAccount, setup
from wavu.errors import N_

ENVIRONMENTS = {"rehearsal": N_("Rehearsal"), "production": N_("Production"), "staging": N_("Staging")}

_STEPS = {"keys": N_("Client id and secret"), "application": N_("Collection in Kenya")}
_STATES = {
    "waiting": (N_("Being tested"), ""),
    "ok": (N_("Right"), "ok"),
    "wrong": (N_("Wrong"), "bad"),
    "skipped": (N_("Not tested"), "warn"),
    "unknown": (N_("No answer"), "warn"),
}
_CODES = {
    "keys": N_(
        "Airtel does not know this client id and secret. Copy both again from your application in the developer "
        "portal, and check the environment: keys of staging do not work in production."
    ),
    "no_token": N_("This needs a right client id and secret first."),
    "no_answer": N_("Airtel gave no answer. Test again."),
}


def steps(account: AirtelAccount) -> list[dict[str, Any]]:
    """A line for each step that was begun."""
    return [_step(name, account.checks[name]) for name in setup.STEPS if name in account.checks]


def _step(name: str, found: dict[str, Any]) -> dict[str, Any]:
    label, tone = _STATES[found["state"]]
    code = found["code"]
    text = _CODES.get(code) or airtel.FIXES.get(code) if code else None
    return {
        "label": _(_STEPS[name]), "pill": _(label), "tone": tone, "text": _(text) if text else None,
        "waits": found["state"] == "waiting",
    }  # fmt: skip
