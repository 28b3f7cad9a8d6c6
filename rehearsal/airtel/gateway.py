"""The API as a client meets it: tokens, the push in both its versions, the enquiry; and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

if TYPE_CHECKING:
    from .simulator import AirtelApp, AirtelSimulator

_HTML = "<html><head><title>503 Service Temporarily Unavailable</title></head><body><h1>503</h1></body></html>"


def blueprint(sim: AirtelSimulator) -> Blueprint:
    api = Blueprint("api", __name__)

    @api.post("/auth/oauth2/token")
    def token() -> Response:
        return _met_by_faults(sim, lambda: _token(sim))

    @api.post("/merchant/v1/payments/")
    @api.post("/merchant/v2/payments/")
    def push() -> Response:
        return _met_by_faults(sim, lambda: _push(sim), executes=True)

    @api.get("/standard/v1/payments/<name>")
    def enquiry(name: str) -> Response:
        return _met_by_faults(sim, lambda: _enquiry(sim, name))

    return api


def _met_by_faults(sim: AirtelSimulator, work: Callable[[], Response], *, executes: bool = False) -> Response:
    knobs, released = sim.knobs, sim.released
    sim.requests.append(request.path)
    if knobs.gateway_slow:
        released.wait(knobs.gateway_slow)
    fault = knobs.gateway_fault
    if executes and fault in {"hang_after_exec", "error_after_exec"}:
        work()
    if fault == "html_503":
        return Response(_HTML, 503, mimetype="text/html")
    if fault == "internal_error" or (executes and fault == "error_after_exec"):
        return _answer(500, "ESB000001", "Something went wrong", "DP00800001005")
    if executes and fault == "ambiguous_500":
        return _answer(500, "ESB000004", "An error occurred while initiating the payment", "DP00800001000")
    if fault == "rate_limit":
        return _answer(429, "", "Too many requests")
    if executes and fault in {"hang_before_exec", "hang_after_exec"}:
        released.wait(knobs.gateway_hang)
        # The connection is cut: there is no whole answer.
        return Response(iter([b""]), 200, headers={"Content-Length": "1000"})
    return work()


def _answer(status: int, result: str, message: str, code: str = "", data: dict[str, Any] | None = None) -> Response:
    said: dict[str, Any] = {"code": str(status), "message": message, "success": status == 200}
    if result:
        said["result_code"] = result
    if code:
        said["response_code"] = code
    made = jsonify({"data": data, "status": said} if data is not None else {"status": said})
    made.status_code = status
    return made


def _token(sim: AirtelSimulator) -> Response:
    body = request.get_json(silent=True)
    asked = body if isinstance(body, dict) else {}
    app = sim.apps.get(str(asked.get("client_id")))
    known = app is not None and app.client_secret == asked.get("client_secret")
    if not known or app is None or asked.get("grant_type") != "client_credentials" or sim.knobs.token_refused:
        refusal = jsonify(error="invalid_client", error_description="Invalid client authentication")
        refusal.status_code = 401
        return refusal
    lasts = str(sim.knobs.token_ttl)
    return jsonify({"access_token": sim.make_token(app), "expires_in": lasts, "token_type": "bearer"})


def _caller(sim: AirtelSimulator) -> AirtelApp | Response:
    """Whose request it is, or why it goes no further."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    app = sim.app_of(token) if scheme == "Bearer" else None
    if app is None:
        refusal = jsonify(error="invalid_token", error_description="The access token is invalid or has expired")
        refusal.status_code = 401
        return refusal
    country, currency = request.headers.get("X-Country"), request.headers.get("X-Currency")
    if not country or not currency:
        return _answer(400, "ROUTER003", "Missing header/body params")
    if country != "KE":
        return _answer(400, "ROUTER006", "Invalid Country")
    if currency != "KES":
        return _answer(400, "ROUTER112", "Invalid Currency")
    if sim.knobs.gateway_country == "not_allowed":
        return _answer(403, "ROUTER007", "User Not authorized for provided country")
    if sim.knobs.gateway_country == "no_wallet":
        return _answer(400, "ROUTER001", "Wallet is not configured")
    return app


def _push(sim: AirtelSimulator) -> Response:
    app = _caller(sim)
    if isinstance(app, Response):
        return app
    body = request.get_json(silent=True)
    asked: dict[str, Any] = body if isinstance(body, dict) else {}
    subscriber, transaction = asked.get("subscriber"), asked.get("transaction")
    if not isinstance(subscriber, dict) or not isinstance(transaction, dict) or not asked.get("reference"):
        return _answer(400, "ROUTER003", "Missing header/body params")
    msisdn, amount, name = str(subscriber.get("msisdn")), transaction.get("amount"), transaction.get("id")
    if len(msisdn) != 9 or not msisdn.isdigit():
        return _answer(400, "ESB000033", "Invalid MSISDN Length. MSISDN Length should be 9")
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1 or not isinstance(name, str) or not name:
        return _answer(400, "ESB000008", "Field validation")
    if {subscriber.get("country"), transaction.get("country")} - {"KE"}:
        return _answer(400, "ESB000034", "Invalid Country Name")
    if {subscriber.get("currency"), transaction.get("currency")} - {"KES"}:
        return _answer(400, "ESB000035", "Invalid Currency Code")
    if name in sim.payments:
        return _answer(400, "ESB000041", "External Transaction ID already exists.")
    sim.begin(app, name, msisdn, amount, str(asked["reference"]))
    done = {"transaction": {"id": name, "status": "SUCCESS"}}
    return _answer(200, "ESB000010", "SUCCESS", "DP00800001006", done)


def _enquiry(sim: AirtelSimulator, name: str) -> Response:
    app = _caller(sim)
    if isinstance(app, Response):
        return app
    with sim.lock:
        payment = sim.payments.get(name)
        if payment is None or payment.app is not app:
            return _answer(400, "ESB000045", "No Transaction Found With Provided Transaction Id.", "DP00800001025")
        if payment.status == "TIP" or sim.knobs.enquiry_stuck:
            told: dict[str, Any] = {"id": name, "message": "In process", "status": "TIP"}
            return _answer(200, "ESB000010", "Success", "DP00800001006", {"transaction": told})
        told = {"id": name, "message": "Success" if payment.status == "TS" else "FAILED", "status": payment.status}
        if payment.status == "TS" and not sim.knobs.enquiry_no_id:
            told["airtel_money_id"] = payment.money_id
        return _answer(200, "ESB000010", told["message"], payment.code, {"transaction": told})
