"""The control API: JSON under /control/, the same as the methods of `Fleet` and `VirtualRouter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from rehearsal import simulation

from .knobs import Knobs

if TYPE_CHECKING:
    from .fleet import Fleet
    from .router import VirtualRouter

Json = dict[str, Any]


def blueprint(fleet: Fleet) -> Blueprint:
    about = "Router simulator: control API. Rates are bit/s, sizes bytes."
    return simulation.blueprint(about, _fleet_routes(fleet) + _router_routes(fleet), Knobs)


def _fleet_routes(fleet: Fleet) -> list[simulation.Route]:
    return [
        ("GET", "/state", lambda _: state(fleet)),
        ("GET", "/routers", lambda _: [router.as_json() for router in fleet.routers.values()]),
        ("POST", "/routers", lambda body: fleet.add(**body).as_json()),
        ("GET", "/sessions", lambda _: _all_sessions(fleet)),
        ("GET", "/packets", lambda _: _packets(fleet)),
        *simulation.clock_routes(fleet.clock, fleet.advance, lambda: clock(fleet)),
        ("POST", "/wait", lambda body: {"idle": fleet.wait_idle(float(body.get("timeout", 10)))}),
    ]


def _router_routes(fleet: Fleet) -> list[simulation.Route]:
    def one(action: Callable[[VirtualRouter, Json], Any]) -> Callable[..., Any]:
        return lambda body, name: action(fleet.router(name), body)

    here = "/routers/<name>"
    return [
        ("GET", here, one(lambda router, _: router.as_json())),
        ("POST", f"{here}/reboot", one(lambda router, body: router.reboot(**body))),
        ("GET", f"{here}/knobs", one(lambda router, _: router.knobs.as_json())),
        ("POST", f"{here}/knobs", one(_knobs)),
        ("DELETE", f"{here}/knobs", one(lambda router, _: router.reset_knobs())),
        ("GET", f"{here}/devices", one(lambda router, _: _devices(router))),
        ("POST", f"{here}/devices", one(lambda router, body: router.add_device(**body).as_json(router.clock.now()))),
        ("POST", f"{here}/join", one(_join)),
        ("POST", f"{here}/leave", one(lambda router, body: router.leave(body["mac"]))),
        ("POST", f"{here}/login", one(lambda router, body: router.login(**body).as_json())),
        ("POST", f"{here}/logout", one(lambda router, body: router.logout(body["mac"]))),
        ("POST", f"{here}/dial", one(lambda router, body: router.dial(**body).as_json())),
        ("POST", f"{here}/hang_up", one(lambda router, body: router.hang_up(body["mac"]))),
        ("POST", f"{here}/traffic", one(lambda router, body: router.traffic_of(**body))),
        ("POST", f"{here}/transfer", one(lambda router, body: router.transfer(**body))),
        ("GET", f"{here}/sessions", one(lambda router, _: _sessions(router))),
    ]


def state(fleet: Fleet) -> Json:
    return {"clock": clock(fleet), "routers": len(fleet.routers), "sessions": len(fleet.sessions())}


def clock(fleet: Fleet) -> Json:
    return {"utc": fleet.clock.iso(), "epoch": fleet.clock.now(), "frozen": fleet.clock.frozen}


def _packets(fleet: Fleet) -> list[Json]:
    """Newest last; `?router=` and `?limit=` narrow it."""
    wanted, limit = request.args.get("router"), int(request.args.get("limit", "200"))
    lines = [line for line in list(fleet.journal.lines) if wanted in (None, line.get("router"))]
    return lines[-limit:] if limit > 0 else []


def _all_sessions(fleet: Fleet) -> list[Json]:
    return [session.as_json(fleet.clock.now()) | {"router": router.name} for router, session in fleet.sessions()]


def _knobs(router: VirtualRouter, body: Json) -> Json:
    router.set_knobs(body)
    return router.knobs.as_json()


def _devices(router: VirtualRouter) -> list[Json]:
    with router.clock.lock:
        return [device.as_json(router.clock.now()) for device in router.devices.values()]


def _join(router: VirtualRouter, body: Json) -> Json:
    outcome = router.join(body["mac"])
    device = router.device(body["mac"]).as_json(router.clock.now())
    return device | {"outcome": outcome.as_json() if outcome else None}


def _sessions(router: VirtualRouter) -> list[Json]:
    """The open ones; `?all=1` adds the ended ones before them."""
    with router.clock.lock:
        ended = list(router.history) if request.args.get("all") else []
        return [session.as_json(router.clock.now()) for session in [*ended, *router.sessions()]]
