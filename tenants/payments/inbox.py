"""The inbox: what machines say is stored as it comes and answered at once; what it means is settled later.

There is no signature. The path's token proves whom it is about; everything in the body is a claim (build sheet 21).
"""

from __future__ import annotations

import hashlib
import json
import re
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from tenants.payments.models import InboundEvent
from wavu import clock, ids
from wavu.db import db
from wavu.failpoint import failpoint, failpoint_at_commit

MAX_BODY_BYTES = 64 * 1024


def may_be_token(token: str) -> bool:
    """Whether it looks like one of ours."""
    return re.fullmatch(r"[0-9a-f]{64}", token, re.ASCII) is not None


# Made once: callbacks come by the hundred.
_EVENTS = InboundEvent.metadata.tables[InboundEvent.__tablename__]
_STORE = insert(_EVENTS).values(tenant_id=func.app.tenant_id()).on_conflict_do_nothing().returning(_EVENTS.c.id)


def store(
    kind: str, body: bytes, peer: str | None, *, intent_id: UUID | None = None, mpesa_account_id: UUID | None = None,
    airtel_account_id: UUID | None = None,
) -> UUID | None:  # fmt: skip
    """Stores an event of the current tenant and returns its id; None where the same body of the same owner is stored
    already: it counts once."""
    failpoint("cp8.before", kind)
    said = {
        "id": ids.new_id(), "kind": kind, "intent_id": intent_id, "mpesa_account_id": mpesa_account_id,
        "airtel_account_id": airtel_account_id, "body_digest": hashlib.sha256(_canonical(body)).digest(), "body": body,
        "peer": peer, "created_at": clock.now(),
    }  # fmt: skip
    event_id: UUID | None = db.session.scalar(_STORE, said)
    failpoint("cp8.after", kind)
    failpoint_at_commit(db.session(), "cp9", kind)
    return event_id


def _canonical(body: bytes) -> bytes:
    """The same for two copies that differ in spaces and order only."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body
