"""The control API: JSON under /control/, the same as the methods of the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint

from rehearsal import simulation
from rehearsal.simulation import Route

from .knobs import Knobs

if TYPE_CHECKING:
    from .simulator import AirtelSimulator

Json = dict[str, Any]


def blueprint(sim: AirtelSimulator) -> Blueprint:
    def knobs(body: Json) -> Json:
        sim.set_knobs(body)
        return sim.knobs.as_json()

    def script(body: Json, msisdn: str) -> None:
        sim.script(msisdn, *body["outcomes"])

    def owner(body: Json, msisdn: str) -> None:
        sim.owner(msisdn, balance=int(body["balance"]))

    def answer(body: Json, name: str) -> None:
        sim.answer(name, str(body["outcome"]))

    def callback(body: Json, client_id: str) -> None:
        sim.set_callback(client_id, str(body["url"]), body.get("hash_key"))

    def shown() -> Json:
        return {"now": sim.clock.eat().isoformat(), "frozen": sim.clock.frozen}

    routes: list[Route] = [
        ("GET", "/state", lambda _: sim.state()),
        ("GET", "/knobs", lambda _: sim.knobs.as_json()),
        ("POST", "/knobs", knobs),
        ("POST", "/phones/<msisdn>/script", script),
        ("POST", "/phones/<msisdn>", owner),
        ("POST", "/payments/<name>/answer", answer),
        ("POST", "/payments/<name>/resend", lambda _, name: sim.resend(name)),
        ("POST", "/apps/<client_id>/callback", callback),
        *simulation.clock_routes(sim.clock, sim.advance, shown),
    ]
    return simulation.blueprint("A virtual Airtel Money with play money; not Airtel.", routes, Knobs)
