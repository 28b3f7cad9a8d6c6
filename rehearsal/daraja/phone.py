"""The virtual phone: a person answers the STK prompt with a PIN, cancels or ignores it, or pays from the M-PESA menu.

Works without JavaScript and asks no other host for anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, TypeVar

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from rehearsal.simulation import NotPossible, page

from .callbacks import description
from .ratiba import StandingOrder
from .world import Attempt, World

if TYPE_CHECKING:
    from .simulator import Simulator

_REFRESH_SECONDS = 3
_OUTCOMES = {"0": "Paid.", "1032": "You cancelled this request.", "2001": "Wrong PIN. Nothing was paid."}


def normalised(typed: str) -> str | None:
    """Build sheet 2.7: 07.., 01.., +254.., 254.., 7.., 1.. to the 12-digit form."""
    match = re.fullmatch(r"(?:\+?254|0)?([17][0-9]{8})", re.sub(r"[\s-]", "", typed))
    return f"254{match[1]}" if match else None


def blueprint(sim: Simulator) -> Blueprint:
    pages = Blueprint("phone", __name__, url_prefix="/phone")

    @pages.get("/")
    def phones() -> AnyResponse:
        typed = request.args.get("number", "")
        if msisdn := normalised(typed):
            return redirect(f"/phone/{msisdn}", 303)
        with sim.world.lock:
            known = [_summary(sim.world, msisdn) for msisdn in sim.world.subscribers]
        known.sort(key=lambda one: (not one["prompt"], one["msisdn"]))
        refresh = None if typed else _REFRESH_SECONDS
        return page("phones.html", phones=known, typed=typed, refresh=refresh)

    @pages.get("/<number>")
    def phone(number: str) -> AnyResponse:
        msisdn = normalised(number) or abort(404)
        return _handset(sim, msisdn) if msisdn == number else redirect(f"/phone/{msisdn}", 303)

    @pages.post("/<number>/answer")
    def answer(number: str) -> AnyResponse:
        def act(action: str, pin: str) -> None:
            attempt = sim.attempt(request.form.get("prompt", ""))
            sim.desk.answer(_own(attempt, number), action, pin)

        return _acted(sim, number, act)

    @pages.post("/<number>/order")
    def order(number: str) -> AnyResponse:
        def act(action: str, pin: str) -> None:
            found = sim.ratiba.find(request.form.get("order", ""))
            sim.answer_order(_own(found, number).reference, action, pin)

        return _acted(sim, number, act)

    @pages.post("/<number>/pay")
    def pay(number: str) -> AnyResponse:
        msisdn = normalised(number) or abort(404)
        typed = {name: request.form.get(name, "").strip() for name in ("shortcode", "account", "amount")}
        try:
            amount = int(typed["amount"]) if re.fullmatch(r"[0-9]{1,9}", typed["amount"]) else 0
            sim.pay(msisdn, typed["shortcode"], amount, typed["account"], request.form.get("pin", ""))
        except NotPossible as refusal:
            return _handset(sim, msisdn, error=f"{refusal}", status=409, typed=typed)
        return redirect(f"/phone/{msisdn}", 303)

    @pages.post("/<number>/power")
    def power(number: str) -> AnyResponse:
        msisdn = normalised(number) or abort(404)
        sim.subscriber(msisdn, reachable=request.form.get("on") == "yes")
        return redirect(f"/phone/{msisdn}", 303)

    return pages


Asked = TypeVar("Asked", Attempt, StandingOrder)


def _own(asked: Asked, number: str) -> Asked:
    """Raises LookupError for what another phone was asked."""
    if asked.msisdn != normalised(number):
        raise LookupError
    return asked


def _acted(sim: Simulator, number: str, act: Callable[[str, str], None]) -> AnyResponse:
    """The page after a button of a prompt: 404 where there is none on this phone, 409 where it is over."""
    msisdn = normalised(number) or abort(404)
    try:
        act(request.form.get("action", ""), request.form.get("pin", ""))
    except LookupError:
        abort(404)
    except NotPossible as refusal:
        return _handset(sim, msisdn, error=f"{refusal}", status=409)
    return redirect(f"/phone/{msisdn}", 303)


def _handset(
    sim: Simulator, msisdn: str, error: str = "", status: int = 200, typed: dict[str, str] | None = None
) -> AnyResponse:
    """`typed` is what stands in the Lipa na M-Pesa form; while it is open the page stays as it is."""
    world = sim.world
    with world.lock:
        owner = world.subscribers.get(msisdn)
        prompt = next((a for a in world.prompts(msisdn) if not a.ignored), None)
        left = _seconds_left(world, prompt) if prompt else 0
        orders = [o for o in sim.ratiba.orders.values() if o.msisdn == msisdn]
        asked = next((o for o in orders if o.prompting), None) if prompt is None else None
        paying = typed is not None or "pay" in request.args
        refresh = left + 1 if prompt else None if paying or asked else _REFRESH_SECONDS
        messages = [(f"{world.clock.eat(m.at):%d/%m %H:%M}", m.text) for m in (owner.messages[::-1] if owner else [])]
        return page(
            "phone.html", status, msisdn=msisdn, local="0" + msisdn[3:], owner=owner, prompt=prompt, left=left,
            refresh=refresh, messages=messages[:8], last=_last(world, msisdn), error=error,
            asked=asked, standing=[o for o in orders if o.stands], paying=paying, typed=typed or {},
            payees=list(world.merchants.values()), time=f"{world.clock.eat():%H:%M}",
        )  # fmt: skip


def _summary(world: World, msisdn: str) -> dict[str, object]:
    prompts = world.prompts(msisdn)
    return {
        "msisdn": msisdn,
        "local": "0" + msisdn[3:],
        "name": world.subscribers[msisdn].name,
        "prompt": prompts[0].prompt_text if prompts else "",
        "messages": len(world.subscribers[msisdn].messages),
    }


def _seconds_left(world: World, attempt: Attempt) -> int:
    return max(0, ceil(attempt.accepted_at + attempt.knobs.stk_prompt_seconds - world.clock.now()))


def _last(world: World, msisdn: str) -> dict[str, object] | None:
    """How the newest request to this phone ended."""
    done = [a for a in world.attempts_of(msisdn) if not a.open]
    if not done:
        return None
    newest = done[-1]
    code = newest.result_code or ""
    return {
        "good": code == "0",
        "title": f"KES {newest.amount:,} to {newest.merchant.name}",
        "text": _OUTCOMES.get(code, description(code)),
        "code": code,
        "receipt": newest.receipt,
    }
