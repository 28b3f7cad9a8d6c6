"""One-time log-in codes: how a browser that has just paid gets from the portal back through its router.

The code travels as User-Name and as password, so PAP and CHAP are both checked against what the packet itself says.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update

from tenants.access.models import LoginCode
from wavu import clock, ids
from wavu.db import db

LIFETIME = timedelta(seconds=120)
_KEPT = timedelta(days=40)
_LENGTH = 24
# No 0 O 1 I L, and no small letters: a code is read aloud easily and never looks like a digest in hex.
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


def make_login_code(subscriber_id: UUID, mac: str) -> str:
    """A code for one log-in of one device within 120 seconds. `mac` is 12 upper-case hex digits."""
    code = _spell(int(ids.new_token(), 16))
    _forget_old()
    db.session.add(
        LoginCode(
            id=ids.new_id(),
            code_fingerprint=ids.fingerprint(code),
            subscriber_id=subscriber_id,
            mac=mac,
            expires_at=clock.now() + LIFETIME,
        )
    )
    db.session.flush()
    return code


def _spell(number: int) -> str:
    letters = []
    for _ in range(_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)


def _forget_old() -> None:
    """Some of those that nobody will be asked about any more: accounting may name a code for as long as it is kept."""
    old = select(LoginCode.id).where(LoginCode.expires_at < clock.now() - _KEPT).limit(10)
    gone = delete(LoginCode).where(LoginCode.id.in_(old.with_for_update(skip_locked=True)))
    db.session.execute(gone.execution_options(synchronize_session=False))


def find_code(code: str) -> LoginCode | None:
    """The current tenant's code, used or not."""
    return db.session.scalar(select(LoginCode).where(LoginCode.code_fingerprint == ids.fingerprint(code)))


def use_code(code_id: UUID) -> bool:
    """Uses a code up. False where somebody else did: of any number who try at once, one gets it."""
    query = update(LoginCode).where(LoginCode.id == code_id, LoginCode.used_at.is_(None))
    used = query.values(used_at=clock.now()).returning(LoginCode.id)
    return db.session.scalar(used) is not None
