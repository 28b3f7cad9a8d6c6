"""One access token per account, shared by all processes: kept sealed in the account's row, fetched by one of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import or_, select, update

from tenants.gateway import Meaning, NotAccepted, Verdict
from wavu import clock
from wavu.db import db, transaction

_FETCH_SECONDS = 12
_LOOKS = 60


class Token(NamedTuple):
    value: str
    lasts_seconds: int


def shared_token(
    table: type[Any],
    account_id: UUID,
    fetch: Callable[[], Token | NotAccepted],
    *,
    spare: timedelta,
    on_refusal: Callable[[NotAccepted], None],
    not_this: str | None = None,
) -> str | NotAccepted:
    """A valid token: the shared one, or a new one that this process fetches for all. Call outside a transaction.

    `table` has the columns token, token_expires_at and token_fetched_by; a token is dropped `spare` before its end.
    `not_this` is one that was just refused: it is dropped, unless another process has replaced it already.
    `on_refusal` runs in a transaction of the account's tenant.
    """
    for _ in range(_LOOKS):
        with transaction():
            known = _usable(table, account_id, not_this)
            mine = known is None and _claim_fetch(table, account_id)
        if known is not None:
            return known
        if mine:
            got = fetch()
            with transaction():
                account = _row(table, account_id)
                account.token_fetched_by = None
                if isinstance(got, NotAccepted):
                    on_refusal(got)
                    return got
                account.token = got.value
                account.token_expires_at = clock.now() + timedelta(seconds=got.lasts_seconds) - spare
            return got.value
        time.sleep(_FETCH_SECONDS / _LOOKS)
    return NotAccepted(Meaning(Verdict.UNKNOWN), "unreachable", sent=False)


def _row(table: type[Any], account_id: UUID) -> Any:
    return db.session.scalars(select(table).where(table.id == account_id)).one()


def _usable(table: type[Any], account_id: UUID, not_this: str | None) -> str | None:
    account = _row(table, account_id)
    fresh = account.token_expires_at is not None and account.token_expires_at > clock.now()
    token: str | None = account.token if fresh else None
    return token if token != not_this else None


def _claim_fetch(table: type[Any], account_id: UUID) -> bool:
    now = clock.now()
    claimed = db.session.execute(
        update(table)
        .where(table.id == account_id, or_(table.token_fetched_by.is_(None), table.token_fetched_by < now))
        .values(token_fetched_by=now + timedelta(seconds=_FETCH_SECONDS))
        .returning(table.id)
    )
    return claimed.first() is not None
