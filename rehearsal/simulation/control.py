"""The control API: JSON under /control/ that describes itself, the same as the methods of the simulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request

from .clock import Clock
from .knobs import BadKnob, KnobSet

Json = dict[str, Any]
Handler = Callable[..., Any]
Route = tuple[str, str, Handler]


class Unknown(LookupError):
    """There is no such thing in the simulator; the message says which."""


class NotPossible(ValueError):
    """What is asked cannot be done now; the message says why."""


def blueprint(about: str, routes: list[Route], knobs: type[KnobSet]) -> Blueprint:
    """Serves (verb, path, handler). A handler gets the body and the parts of the path.

    It returns JSON, a response, or None for {"ok": true}. Unknown is answered with 404, NotPossible with 409, every
    other way to ask wrongly with 400.
    """
    pages = Blueprint("control", __name__, url_prefix="/control")

    def index() -> Response:
        return jsonify(
            about=f"{about} Every POST takes a JSON object.",
            routes=[f"{verb} /control{path}" for verb, path, _ in routes],
            knobs=knobs.described(),
        )

    pages.add_url_rule("/", "index", index)
    for verb, path, handler in routes:
        pages.add_url_rule(path, f"{verb} {path}", _view(handler), methods=[verb])
    return pages


def clock_routes(clock: Clock, advance: Callable[[float], None], shown: Callable[[], Json]) -> list[Route]:
    """Read and turn the clock: `frozen`, then `to` (ISO time with zone, not before now) and `advance` (seconds)."""

    def turn(body: Json) -> Json:
        if unknown := set(body) - {"frozen", "advance", "to"}:
            raise BadKnob(f"the clock has no {', '.join(sorted(unknown))}")
        if "frozen" in body:
            clock.freeze(bool(body["frozen"]))
        if "to" in body:
            target = datetime.fromisoformat(body["to"])
            if target.tzinfo is None:
                raise BadKnob("`to` needs a zone, such as +03:00")
            advance(target.timestamp() - clock.now())
        advance(float(body.get("advance", 0)))
        return shown()

    return [("GET", "/clock", lambda _: shown()), ("POST", "/clock", turn)]


def _view(handler: Handler) -> Handler:
    def view(**path: str) -> Response | tuple[Response, int]:
        body: Json = {}
        if request.method == "POST" and request.content_length:
            # Asking for the JSON content type also keeps plain web forms of other pages out.
            parsed = request.get_json(silent=True)
            if not isinstance(parsed, dict):
                return jsonify(error="send a JSON object with Content-Type application/json"), 400
            body = parsed
        try:
            answer = handler(body, **path)
            if isinstance(answer, Response):
                return answer
            return jsonify({"ok": True} if answer is None else answer), 200
        except Unknown as error:
            return jsonify(error=f"{error}"), 404
        except NotPossible as error:
            return jsonify(error=f"{error}"), 409
        except KeyError as error:
            return jsonify(error=f"the body lacks {error}"), 400
        except (ValueError, TypeError, AttributeError) as error:
            return jsonify(error=f"{error}"), 400

    return view
