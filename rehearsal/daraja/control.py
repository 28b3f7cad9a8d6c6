"""The control API: JSON under /control/, the same as the methods of `Simulator`.

The build sheet calls it `/_sim/`; the rule that matters is that it is never under a Daraja path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from .express import NotPossible
from .knobs import BadKnob, describe
from .world import App, Subscriber, Unknown

if TYPE_CHECKING:
    from .simulator import Simulator

Json = dict[str, Any]


def blueprint(sim: Simulator) -> Blueprint:
    pages = Blueprint("control", __name__, url_prefix="/control")
    handlers = _routes(sim)

    def index() -> Response:
        return jsonify(
            about="Daraja simulator: control API. Every POST takes a JSON object.",
            routes=[f"{verb} /control{path}" for verb, path, _ in handlers],
            knobs=describe(),
        )

    pages.add_url_rule("/", "index", index)
    for verb, path, handler in handlers:
        pages.add_url_rule(path, f"{verb} {path}", _view(sim, handler), methods=[verb])
    return pages


def _view(sim: Simulator, handler: Any) -> Any:
    def view(**path: str) -> tuple[Response, int]:
        body: Json = {}
        if request.method == "POST" and request.content_length:
            # Asking for the JSON content type also keeps plain web forms of other pages out.
            parsed = request.get_json(silent=True)
            if not isinstance(parsed, dict):
                return jsonify(error="send a JSON object with Content-Type application/json"), 400
            body = parsed
        try:
            with sim.world.lock:
                answer = handler(body, **path)
                return jsonify({"ok": True} if answer is None else answer), 200
        except Unknown as error:
            return jsonify(error=str(error)), 404
        except NotPossible as error:
            return jsonify(error=str(error)), 409
        except (BadKnob, ValueError, TypeError, KeyError) as error:
            return jsonify(error=f"{error}"), 400

    return view


def _routes(sim: Simulator) -> list[tuple[str, str, Any]]:
    world = sim.world
    return [
        ("GET", "/state", lambda _: state(sim)),
        ("POST", "/reset", lambda body: sim.reset(body.get("seed"))),
        ("GET", "/apps", lambda _: [_app(app) for app in world.apps.values()]),
        ("POST", "/apps", lambda body: _app(sim.add_app(**body))),
        ("POST", "/apps/<key>/products", lambda body, key: sim.set_products(key, body["products"])),
        ("POST", "/apps/<key>/revoke", lambda _, key: sim.revoke_tokens(key)),
        ("GET", "/subscribers", lambda _: [_subscriber(s) for s in world.subscribers.values()]),
        ("POST", "/subscribers", lambda body: _subscriber(sim.subscriber(**body))),
        ("GET", "/knobs", lambda _: world.knobs.as_json()),
        ("POST", "/knobs", lambda body: _knobs(sim, body)),
        ("DELETE", "/knobs", lambda _: sim.reset_knobs()),
        ("GET", "/rules", lambda _: [vars(rule) for rule in world.rules]),
        ("POST", "/rules", lambda body: vars(sim.rule(**body))),
        ("DELETE", "/rules", lambda _: world.rules.clear()),
        ("POST", "/script", lambda body: sim.script(body["msisdn"], *body["outcomes"])),
        ("GET", "/prompts", lambda _: [a.as_json() for a in sim.prompts(request.args.get("msisdn"))]),
        ("POST", "/prompts/<who>/answer", lambda body, who: sim.answer(who, **body).as_json()),
        ("GET", "/attempts", lambda _: [a.as_json() for a in sim.attempts()]),
        ("GET", "/attempts/<checkout>", lambda _, checkout: _attempt(sim, checkout)),
        ("POST", "/attempts/<checkout>/forge", lambda body, checkout: sim.forge(checkout, body["forgery"])),
        ("POST", "/attempts/<checkout>/resend", lambda _, checkout: sim.resend(checkout)),
        ("GET", "/callbacks", lambda _: [letter.as_json() for letter in sim.letters()]),
        ("POST", "/callbacks/flush", lambda _: sim.flush_callbacks()),
        ("POST", "/callbacks/wait", lambda body: {"idle": sim.wait_idle(float(body.get("timeout", 10)))}),
        ("POST", "/release", lambda _: sim.gateway.release()),
        ("GET", "/book", lambda _: book(sim, request.args.get("shortcode"))),
        ("GET", "/clock", lambda _: clock(sim)),
        ("POST", "/clock", lambda body: _turn(sim, body)),
        ("GET", "/log", lambda _: list(sim.journal.lines)),
    ]


def state(sim: Simulator) -> Json:
    with sim.world.lock:
        return {
            "seed": sim.world.seed,
            "clock": clock(sim),
            "apps": len(sim.world.apps),
            "attempts": len(sim.world.attempts),
            "open_prompts": len(sim.world.prompts()),
            "receipts": len(sim.world.book),
            "total": sim.total(),
            "held_callbacks": len(sim.courier.held),
        }


def book(sim: Simulator, shortcode: str | None) -> Json:
    lines = sim.book(shortcode)
    return {"receipts": [dataclasses.asdict(line) for line in lines], "total": sum(line.amount for line in lines)}


def clock(sim: Simulator) -> Json:
    return {"eat": sim.clock.eat().isoformat(), "epoch": sim.clock.epoch(), "frozen": sim.clock.frozen}


def _turn(sim: Simulator, body: Mapping[str, Any]) -> Json:
    """`frozen`, then `advance` (seconds) or `to` (ISO time with zone, not before now)."""
    if unknown := set(body) - {"frozen", "advance", "to"}:
        raise BadKnob(f"the clock has no {', '.join(sorted(unknown))}")
    if "frozen" in body:
        sim.clock.freeze(bool(body["frozen"]))
    if "to" in body:
        target = datetime.fromisoformat(body["to"])
        if target.tzinfo is None:
            raise BadKnob("`to` needs a zone, such as +03:00")
        sim.advance(target.timestamp() - sim.clock.epoch())
    sim.advance(float(body.get("advance", 0)))
    return clock(sim)


def _knobs(sim: Simulator, body: Json) -> Json:
    sim.set_knobs(body)
    return sim.world.knobs.as_json()


def _attempt(sim: Simulator, checkout: str) -> Json:
    letters = [letter.as_json() for letter in sim.letters(checkout)]
    return sim.attempt(checkout).as_json() | {"callbacks": letters}


def _app(app: App) -> Json:
    return {"consumer_key": app.consumer_key, "shortcode": app.shortcode, "products": sorted(app.products)}


def _subscriber(subscriber: Subscriber) -> Json:
    spent = {day.isoformat(): amount for day, amount in subscriber.spent.items()}
    messages = [dataclasses.asdict(message) for message in subscriber.messages]
    return {k: v for k, v in vars(subscriber).items() if k != "pin"} | {"spent": spent, "messages": messages}
