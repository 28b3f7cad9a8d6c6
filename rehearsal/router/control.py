"""The control API: JSON under /control/, the same as the methods of `Fleet` and `VirtualRouter`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from .knobs import BadKnob, describe
from .people import NotPossible, Unknown

if TYPE_CHECKING:
    from .fleet import Fleet
    from .router import VirtualRouter

Json = dict[str, Any]
Handler = Callable[..., Any]


def blueprint(fleet: Fleet) -> Blueprint:
    pages = Blueprint("control", __name__, url_prefix="/control")
    handlers = _fleet_routes(fleet) + _router_routes(fleet)

    def index() -> Response:
        return jsonify(
            about="Router simulator: control API. Every POST takes a JSON object. Rates are bit/s, sizes bytes.",
            routes=[f"{verb} /control{path}" for verb, path, _ in handlers],
            knobs=describe(),
        )

    pages.add_url_rule("/", "index", index)
    for verb, path, handler in handlers:
        pages.add_url_rule(path, f"{verb} {path}".replace(".", " "), _view(handler), methods=[verb])
    return pages


def _view(handler: Handler) -> Handler:
    def view(**path: str) -> tuple[Response, int]:
        body: Json = {}
        if request.method == "POST" and request.content_length:
            # Asking for the JSON content type also keeps plain web forms of other pages out.
            parsed = request.get_json(silent=True)
            if not isinstance(parsed, dict):
                return jsonify(error="send a JSON object with Content-Type application/json"), 400
            body = parsed
        try:
            answer = handler(body, **path)
            return jsonify({"ok": True} if answer is None else answer), 200
        except Unknown as error:
            return jsonify(error=str(error)), 404
        except NotPossible as error:
            return jsonify(error=str(error)), 409
        except KeyError as error:
            return jsonify(error=f"the body lacks {error}"), 400
        except (BadKnob, ValueError, TypeError, AttributeError) as error:
            return jsonify(error=f"{error}"), 400

    return view


def _fleet_routes(fleet: Fleet) -> list[tuple[str, str, Handler]]:
    return [
        ("GET", "/state", lambda _: state(fleet)),
        ("GET", "/routers", lambda _: [router.as_json() for router in fleet.routers.values()]),
        ("POST", "/routers", lambda body: fleet.add(**body).as_json()),
        ("GET", "/sessions", lambda _: _all_sessions(fleet)),
        ("GET", "/packets", lambda _: _packets(fleet)),
        ("GET", "/clock", lambda _: clock(fleet)),
        ("POST", "/clock", lambda body: _turn(fleet, body)),
        ("POST", "/wait", lambda body: {"idle": fleet.wait_idle(float(body.get("timeout", 10)))}),
    ]


def _router_routes(fleet: Fleet) -> list[tuple[str, str, Handler]]:
    def one(action: Callable[[VirtualRouter, Json], Any]) -> Handler:
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


def _turn(fleet: Fleet, body: Mapping[str, Any]) -> Json:
    """`frozen`, then `advance` (seconds) or `to` (ISO time with zone, not before now)."""
    if unknown := set(body) - {"frozen", "advance", "to"}:
        raise BadKnob(f"the clock has no {', '.join(sorted(unknown))}")
    if "frozen" in body:
        fleet.clock.freeze(bool(body["frozen"]))
    if "to" in body:
        target = datetime.fromisoformat(body["to"])
        if target.tzinfo is None:
            raise BadKnob("`to` needs a zone, such as +03:00")
        fleet.advance(target.timestamp() - fleet.clock.now())
    fleet.advance(float(body.get("advance", 0)))
    return clock(fleet)


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
