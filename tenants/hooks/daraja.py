from __future__ import annotations

from uuid import UUID

from flask import Blueprint, abort, jsonify, request
from flask.typing import ResponseReturnValue

from tenants import payments
from wavu.web.access import public

bp = Blueprint("hooks", __name__)


@bp.post("/h/s/<uuid:tenant_id>/<token>")
@public(scope="tenant")
def stk_callback(tenant_id: UUID, token: str) -> ResponseReturnValue:
    """The answer to one STK push. Answered before it is read: 200 says that it is stored, whatever it says."""
    del tenant_id  # it has named the scope of this request; the token must be that tenant's
    if (request.content_length or 0) > payments.MAX_BODY_BYTES:
        abort(413)
    body = request.get_data(cache=False)
    if len(body) > payments.MAX_BODY_BYTES:
        abort(413)
    if not payments.receive(token, body, request.remote_addr):
        abort(404)
    return jsonify(ResultCode=0, ResultDesc="Accepted")
