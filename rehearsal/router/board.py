"""The rehearsal's page: each router with its phones and lines, what state they are in, and buttons to play with.

Works without JavaScript and asks no other host for anything. It refreshes itself only where nobody types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from rehearsal.simulation import Unknown, page

from .people import Device, Outcome

if TYPE_CHECKING:
    from .fleet import Fleet
    from .router import VirtualRouter

_REFRESH_SECONDS = 3
# What people do, in bit/s (up, down).
TRAFFIC = {
    "nothing": (0, 0),
    "chat": (40_000, 160_000),
    "video": (200_000, 2_500_000),
    "download": (500_000, 40_000_000),
}
_ACTIONS: dict[str, Callable[[VirtualRouter, str], object]] = {
    "join": lambda router, mac: router.join(mac),
    "leave": lambda router, mac: router.leave(mac),
    "logout": lambda router, mac: router.logout(mac),
    "dial": lambda router, mac: router.dial_again(mac),
    "hang_up": lambda router, mac: router.hang_up(mac),
}


def blueprint(fleet: Fleet) -> Blueprint:
    pages = Blueprint("board", __name__)

    @pages.get("/")
    def routers() -> AnyResponse:
        shown = [_router(router) for router in fleet.routers.values()]
        return page("board.html", routers=shown, traffic=list(TRAFFIC), refresh=_REFRESH_SECONDS)

    @pages.get("/packets")
    def packets() -> AnyResponse:
        return page("packets.html", lines=list(fleet.journal.lines)[:-61:-1], refresh=None)

    @pages.get("/router/<name>/<form>")
    def form(name: str, form: str) -> AnyResponse:
        router = _found(fleet, name)
        return _form(router, form, request.args.get("mac", ""))

    @pages.post("/router/<name>/device")
    def device(name: str) -> AnyResponse:
        router = _found(fleet, name)
        try:
            router.add_device(request.form.get("mac", "").strip(), request.form.get("name", "").strip()[:40])
        except ValueError as refusal:
            return _form(router, "device", error=f"{refusal}")
        return redirect("/", 303)

    @pages.post("/router/<name>/line")
    def line(name: str) -> AnyResponse:
        router, typed = _found(fleet, name), request.form
        mac = typed.get("mac", "")
        try:
            router.dial(
                typed.get("username", ""), typed.get("password", ""), mac, typed.get("method", "chap"), redial=5.0
            )
        except ValueError as refusal:
            return _form(router, "line", mac, error=f"{refusal}")
        return redirect("/", 303)

    @pages.post("/router/<name>/do")
    def do(name: str) -> AnyResponse:
        router = _found(fleet, name)
        try:
            _act(router, request.form.get("action", ""), request.form.get("mac", ""))
        except Unknown:
            abort(404)
        except ValueError as refusal:
            return page("board.html", 409, routers=[_router(router)], traffic=list(TRAFFIC), error=f"{refusal}")
        return redirect("/", 303)

    return pages


def _act(router: VirtualRouter, action: str, mac: str) -> None:
    if action in ("reboot", "power_cut"):
        router.reboot(power_cut=action == "power_cut")
    elif action in TRAFFIC:
        router.traffic_of(mac, *TRAFFIC[action])
    elif action in _ACTIONS:
        _ACTIONS[action](router, mac)
    else:
        abort(400)


def _found(fleet: Fleet, name: str) -> VirtualRouter:
    try:
        return fleet.router(name)
    except Unknown:
        abort(404)


def _form(router: VirtualRouter, form: str, mac: str = "", error: str = "") -> AnyResponse:
    if form not in ("device", "line"):
        abort(404)
    known = router.devices.get(mac)
    user = known.line[0] if known and known.line else request.form.get("username", "")
    return page(
        f"{form}.html", 409 if error else 200, router=router.name, mac=known.mac if known else "", user=user,
        name=known.name if known else "", error=error, refresh=None,
    )  # fmt: skip


def _router(router: VirtualRouter) -> dict[str, Any]:
    with router.clock.lock:
        now = router.clock.now()
        return {
            "name": router.name, "tenant": router.tenant, "address": router.box.address, "up": router.up,
            "stats": dict(router.uplink.stats), "devices": [_device(router, d, now) for d in router.devices.values()],
        }  # fmt: skip


def _device(router: VirtualRouter, device: Device, now: float) -> dict[str, Any]:
    shown = device.as_json(now) | {"line": bool(device.line), "told": _told(device.last)}
    shown["using"] = next((name for name, want in TRAFFIC.items() if want == device.want), "other")
    if device.session is not None:
        session = shown["session"]
        session["left"] = span(session["time_left"]) if session["time_left"] is not None else "no limit"
        session["up"], session["down"] = size(session["upload"]), size(session["download"])
    elif ended := next((s for s in reversed(router.history) if s.mac == device.mac), None):
        shown["ended"] = ended.as_json(now)
    if device.kind == "phone" and router.hotspot is not None:
        shown["browser"] = f"{router.hotspot.url}/?{urlencode({'device': device.mac})}"
    return shown


def _told(outcome: Outcome | None) -> dict[str, str] | None:
    if outcome is None:
        return None
    return {"reply": outcome.reply, "text": outcome.message or outcome.error}


def span(seconds: int) -> str:
    """11 d 23:59:08, 1:02:03, 4:09: it is seen to tick."""
    days, hours, minutes = seconds // 86_400, seconds % 86_400 // 3600, seconds % 3600 // 60
    if not days and not hours:
        return f"{minutes}:{seconds % 60:02d}"
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02d}:{seconds % 60:02d}"


def size(count: int) -> str:
    value, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
