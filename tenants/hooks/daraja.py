from __future__ import annotations

from uuid import UUID

import structlog
from flask import Blueprint, Response, abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tenants import payments
from tenants.hooks.spool import RECEIVERS, Callback, Spool, SpoolFull
from wavu.db import is_outage
from wavu.web.access import public
from wavu.web.errors import bug_or_outage
from wavu.web.security import limiter

log = structlog.get_logger(__name__)

bp = Blueprint("hooks", __name__)


def _knew_no_token(response: Response) -> bool:
    return response.status_code == 404


@bp.post("/h/<any(s, a, c, r, q, o):kind>/<uuid:tenant_id>/<token>")
@public(scope="tenant")
# A dozen addresses of Safaricom's speak for every tenant: only guesses are counted, so that money is never turned away.
@limiter.limit("600 per minute", deduct_when=_knew_no_token)
def receive(kind: str, tenant_id: UUID, token: str) -> ResponseReturnValue:
    """The answer to one STK push (`s`), to one of an Airtel account's pushes (`a`), word of a payment that was made by
    hand (`c`), what came of a request (`r`), that M-Pesa does not know (`q`), or what became of a standing order (`o`).
    Answered before it is read: 200 says that it is stored, whatever it says."""
    del tenant_id  # it has named the scope of this request; the token must be that tenant's
    if not RECEIVERS[kind](token, _body(), request.remote_addr):
        abort(404)
    return _accepted()


@bp.post("/h/v/<uuid:tenant_id>/<token>")
@public(scope="tenant")
@limiter.limit("600 per minute", deduct_when=_knew_no_token)
def validate(tenant_id: UUID, token: str) -> ResponseReturnValue:
    """M-Pesa asks whether to take a payment, and waits. Answered at once, by one look-up (build sheet 6.3)."""
    del tenant_id
    verdict = payments.validate(token, _body())
    if verdict is None:
        abort(404)
    return jsonify(ResultCode=verdict, ResultDesc="Accepted" if verdict == "0" else "Rejected")


def _body() -> bytes:
    if (request.content_length or 0) > payments.MAX_BODY_BYTES:
        abort(413)
    # Kept: where the commit fails, the spool takes it.
    body = request.get_data()
    if len(body) > payments.MAX_BODY_BYTES:
        abort(413)
    return body


def _accepted() -> Response:
    return jsonify(ResultCode=0, ResultDesc="Accepted")


@bp.errorhandler(DBAPIError)
@bp.errorhandler(PoolTimeout)
def spool_while_the_database_is_away(error: Exception) -> ResponseReturnValue:
    """An outage before or at the commit: the callback goes to the disk."""
    spool: Spool | None = current_app.extensions.get("spool")
    said = request.view_args or {}
    if request.endpoint == "hooks.validate" and is_outage(error):
        # Nobody can look: a payment is never turned away for that.
        return jsonify(ResultCode="0", ResultDesc="Accepted")
    if spool is None or not is_outage(error) or not payments.may_be_token(said.get("token", "")):
        return bug_or_outage(error)
    try:
        spool.keep(Callback(said["kind"], said["tenant_id"], said["token"], request.get_data(), request.remote_addr))
    except (SpoolFull, OSError) as refusal:
        log.critical("a callback was turned away: the spool does not take it", error=type(refusal).__name__)
        return bug_or_outage(error)
    log.warning("callback spooled")
    return _accepted()
