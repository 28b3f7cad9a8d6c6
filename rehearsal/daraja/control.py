"""The control API: JSON under /control/, the same as the methods of `Simulator`.

The build sheet calls it `/_sim/`; the rule that matters is that it is never under a Daraja path.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from rehearsal import simulation

from .knobs import Knobs
from .parties import Merchant, Subscriber
from .world import App, Payout

if TYPE_CHECKING:
    from .simulator import Simulator

Json = dict[str, Any]


def blueprint(sim: Simulator) -> Blueprint:
    routes = [(verb, path, _locked(sim, handler)) for verb, path, handler in _routes(sim)]
    # Waits for the validation URL, which must not stop everything else.
    routes.append(("POST", "/c2b", lambda body: dataclasses.asdict(sim.pay(**body))))
    return simulation.blueprint("Daraja simulator: control API.", routes, Knobs)


def _locked(sim: Simulator, handler: Any) -> Any:
    """All that one request asks for happens at one moment."""

    def handle(*args: Any, **path: str) -> Any:
        with sim.world.lock:
            return handler(*args, **path)

    return handle


def _routes(sim: Simulator) -> list[simulation.Route]:
    world = sim.world
    return [
        ("GET", "/state", lambda _: state(sim)),
        ("POST", "/reset", lambda body: sim.reset(body.get("seed"))),
        ("GET", "/apps", lambda _: [_app(app) for app in world.apps.values()]),
        ("POST", "/apps", lambda body: _app(sim.add_app(**body))),
        ("POST", "/apps/<key>/products", lambda body, key: sim.set_products(key, body["products"])),
        ("POST", "/apps/<key>/revoke", lambda _, key: sim.revoke_tokens(key)),
        ("GET", "/merchants", lambda _: [_merchant(merchant) for merchant in world.merchants.values()]),
        ("POST", "/merchants/<shortcode>", lambda body, shortcode: _merchant(sim.merchant(shortcode, **body))),
        ("DELETE", "/merchants/<shortcode>/urls", lambda _, shortcode: sim.delete_urls(shortcode)),
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
        ("GET", "/orders", lambda _: [o.as_json() for o in sim.standing_orders(request.args.get("msisdn"))]),
        ("POST", "/orders/<who>/answer", lambda body, who: sim.answer_order(who, **body).as_json()),
        ("GET", "/attempts", lambda _: [a.as_json() for a in sim.attempts()]),
        ("GET", "/attempts/<checkout>", lambda _, checkout: _attempt(sim, checkout)),
        ("POST", "/attempts/<checkout>/forge", lambda body, checkout: sim.forge(checkout, body["forgery"])),
        ("POST", "/attempts/<checkout>/resend", lambda _, checkout: sim.resend(checkout)),
        ("GET", "/transactions/<receipt>", lambda _, receipt: _transaction(sim, receipt)),
        ("POST", "/transactions/<receipt>/forge", lambda body, receipt: sim.forge(receipt, body["forgery"])),
        ("POST", "/transactions/<receipt>/resend", lambda _, receipt: sim.resend(receipt)),
        ("POST", "/transactions/<receipt>/reverse", lambda _, receipt: dataclasses.asdict(sim.reverse(receipt))),
        ("GET", "/payouts", lambda _: [_payout(payout) for payout in world.payouts.values()]),
        ("GET", "/certificate", lambda _: Response(sim.certificate(), content_type="application/x-pem-file")),
        ("GET", "/callbacks", lambda _: [letter.as_json() for letter in sim.letters()]),
        ("POST", "/callbacks/flush", lambda _: sim.flush_callbacks()),
        ("POST", "/callbacks/wait", lambda body: {"idle": sim.wait_idle(float(body.get("timeout", 10)))}),
        ("POST", "/release", lambda _: sim.gateway.release()),
        ("GET", "/book", lambda _: book(sim, request.args.get("shortcode"))),
        ("GET", "/statement", lambda _: _statement(sim)),
        *simulation.clock_routes(sim.clock, sim.advance, lambda: clock(sim)),
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
            "receipts": len(sim.world.book.lines),
            "total": sim.total(),
            "held_callbacks": len(sim.courier.held),
        }


def book(sim: Simulator, shortcode: str | None) -> Json:
    lines = sim.book(shortcode)
    return {"receipts": [dataclasses.asdict(line) for line in lines], "total": sum(line.amount for line in lines)}


def clock(sim: Simulator) -> Json:
    return {"eat": sim.clock.eat().isoformat(), "epoch": sim.clock.now(), "frozen": sim.clock.frozen}


def _knobs(sim: Simulator, body: Json) -> Json:
    sim.set_knobs(body)
    return sim.world.knobs.as_json()


def _attempt(sim: Simulator, checkout: str) -> Json:
    letters = [letter.as_json() for letter in sim.letters(checkout)]
    return sim.attempt(checkout).as_json() | {"callbacks": letters}


def _statement(sim: Simulator) -> Response:
    """`shortcode`, and `from` and `to` as ISO times with a zone."""
    period = [datetime.fromisoformat(asked) if (asked := request.args.get(end)) else None for end in ("from", "to")]
    shortcode = request.args["shortcode"]
    content = sim.statement(shortcode, *period)
    headers = {"Content-Disposition": f'attachment; filename="statement-{shortcode}.csv"'}
    return Response(content, content_type="text/csv; charset=utf-8", headers=headers)


def _transaction(sim: Simulator, receipt: str) -> Json:
    letters = [letter.as_json() for letter in sim.letters(receipt)]
    return dataclasses.asdict(sim.transaction(receipt)) | {"callbacks": letters}


def _merchant(merchant: Merchant) -> Json:
    shown = {k: v for k, v in dataclasses.asdict(merchant).items() if k not in ("passkey", "initiators")}
    named = {i.name: {"roles": i.roles, "wrong": i.wrong} for i in merchant.initiators.values()}
    return shown | {"initiators": named}


def _payout(payout: Payout) -> Json:
    return vars(payout) | {"merchant": payout.merchant.shortcode}


def _app(app: App) -> Json:
    return {"consumer_key": app.consumer_key, "shortcode": app.shortcode, "products": sorted(app.products)}


def _subscriber(subscriber: Subscriber) -> Json:
    spent = {day.isoformat(): amount for day, amount in subscriber.spent.items()}
    messages = [dataclasses.asdict(message) for message in subscriber.messages]
    return {k: v for k, v in vars(subscriber).items() if k != "pin"} | {"spent": spent, "messages": messages}
