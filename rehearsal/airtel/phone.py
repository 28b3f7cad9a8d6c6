"""The virtual phone, which answers a push with a PIN, and the developer portal's page of an application's settings.

Works without JavaScript and asks no other host for anything.
"""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from rehearsal.simulation import NotPossible, Unknown, page

if TYPE_CHECKING:
    from .simulator import AirtelSimulator, Payment

_REFRESH_SECONDS = 3
_WHY = {
    "TS": "Paid.",
    "DP00800001002": "Wrong PIN. Nothing was paid.",
    "DP00800001007": "Not enough money. Nothing was paid.",
    "DP00800001008": "You refused. Nothing was paid.",
    "DP00800001024": "Nobody answered in time. Nothing was paid.",
}


def normalised(typed: str) -> str | None:
    """A Kenyan mobile number as nine digits."""
    match = re.fullmatch(r"(?:\+?254|0)?([17][0-9]{8})", re.sub(r"[\s-]", "", typed))
    return match[1] if match else None


def blueprint(sim: AirtelSimulator) -> Blueprint:
    pages = Blueprint("phone", __name__)

    @pages.get("/phone/")
    def phones() -> AnyResponse:
        typed = request.args.get("number", "")
        if msisdn := normalised(typed):
            return redirect(f"/phone/{msisdn}", 303)
        with sim.lock:
            known = [(msisdn, bool(sim.open_prompts(msisdn))) for msisdn in sim.owners]
        known.sort(key=lambda one: (not one[1], one[0]))
        return page("phones.html", phones=known, typed=typed, refresh=None if typed else _REFRESH_SECONDS)

    @pages.get("/phone/<number>")
    def phone(number: str) -> AnyResponse:
        msisdn = normalised(number) or abort(404)
        return _handset(sim, msisdn) if msisdn == number else redirect(f"/phone/{msisdn}", 303)

    @pages.post("/phone/<number>/answer")
    def answer(number: str) -> AnyResponse:
        msisdn = normalised(number) or abort(404)
        pin, action = request.form.get("pin", ""), request.form.get("action", "")
        outcome = action if action in {"refuse", "ignore"} else "wrong_pin" if pin == "0000" else "pay"
        if outcome == "pay" and not re.fullmatch(r"[0-9]{4}", pin):
            return _handset(sim, msisdn, "a PIN has four digits", 409)
        try:
            payment = sim.payment(request.form.get("prompt", ""))
            if payment.msisdn != msisdn:
                abort(404)
            sim.answer(payment.id, outcome)
        except Unknown:
            abort(404)
        except NotPossible as refusal:
            return _handset(sim, msisdn, f"{refusal}", 409)
        return redirect(f"/phone/{msisdn}", 303)

    @pages.get("/portal/")
    def portal() -> AnyResponse:
        return page("portal.html", apps=list(sim.apps.values()))

    @pages.post("/portal/<client_id>")
    def settings(client_id: str) -> AnyResponse:
        if client_id not in sim.apps:
            abort(404)
        sim.set_callback(client_id, request.form.get("url", "").strip(), request.form.get("hash_key", "").strip())
        return redirect("/portal/", 303)

    return pages


def _handset(sim: AirtelSimulator, msisdn: str, error: str = "", status: int = 200) -> AnyResponse:
    with sim.lock:
        owner = sim.owner(msisdn)
        prompt = next((each for each in sim.open_prompts(msisdn) if not each.ignored), None)
        left = max(0, ceil(prompt.began_at + sim.knobs.push_seconds - sim.clock.now())) if prompt else 0
        over = [each for each in sim.payments.values() if each.msisdn == msisdn and each.status != "TIP"]
        return page(
            "phone.html", status, msisdn=msisdn, local=f"0{msisdn}", owner=owner, prompt=prompt, left=left,
            refresh=left + 1 if prompt else _REFRESH_SECONDS, last=_told(over[-1]) if over else None, error=error,
            messages=owner.messages[::-1][:8], time=f"{sim.clock.eat():%H:%M}",
        )  # fmt: skip


def _told(payment: Payment) -> dict[str, object]:
    why = _WHY.get("TS" if payment.status == "TS" else payment.code, payment.code)
    return {
        "good": payment.status == "TS",
        "title": f"KES {payment.amount:,} to {payment.app.name}",
        "text": f"{why} {payment.money_id}",
    }
