"""Where money goes changes slowly, or by two people, at Airtel as at M-Pesa (docs/adr/0018): an account that shall take
payments, or other keys that shall be used, waits a day, or for a second owner or manager; all owners and the contact
are told at once, and any owner can cancel. Switching off is done at once, and on again what was agreed to before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tenants.account_changes import AlreadyInUse, ChangeOver, ChangeWaiting, NeedsAnother, NotTested
from tenants.airtel.accounts import find_account
from tenants.airtel.events import AirtelChangeTold
from tenants.airtel.models import AirtelAccount
from tenants.airtel.setup import is_tested
from wavu import accounts, audit, clock, outbox
from wavu.db import db
from wavu.errors import NotFound
from wavu.events import announce
from wavu.outbox import Queue

DELAY = timedelta(hours=24)


def waiting() -> AirtelAccount | None:
    """The current tenant's account that waits to take effect; there is one at most."""
    return db.session.scalar(select(AirtelAccount).where(AirtelAccount.state == "waiting"))


def use(account: AirtelAccount, *, by_id: UUID, by: str) -> None:
    """Has a tested draft take the payments, by a change. Audited. Raises AlreadyInUse, NotTested or ChangeWaiting."""
    if account.state != "draft":
        raise AlreadyInUse
    if not is_tested(account):
        raise NotTested
    if waiting() is not None:
        raise ChangeWaiting
    now = clock.now()
    account.state, account.asked_at, account.effective_at = "waiting", now, now + DELAY
    account.requested_by, account.requested_by_name = by_id, by
    before = db.session.scalar(select(AirtelAccount).where(AirtelAccount.state.in_(("on", "off"))))
    account.told_email = (before.contact_email if before is not None else None) or account.contact_email
    db.session.flush()
    audit.record("airtel.change_asked", subject=account.id, account=account.label)
    _tell(account, "asked")
    payload = {"account_id": str(account.id), "asked_at": now.isoformat()}
    key = f"{account.id} {now.isoformat()}"
    outbox.put(Queue.BULK, "apply_airtel_change", key, payload, run_at=account.effective_at)


def approve(account_id: UUID, *, by_id: UUID) -> AirtelAccount:
    """A second person lets it take effect now. Raises NotFound, ChangeOver or NeedsAnother."""
    account = _open(account_id)
    if account.requested_by == by_id:
        raise NeedsAnother
    return _apply(account)


def cancel(account_id: UUID) -> AirtelAccount:
    """It is a draft again. Raises NotFound or ChangeOver."""
    account = _open(account_id)
    account.state = "draft"
    audit.record("airtel.change_cancelled", subject=account.id, account=account.label)
    _tell(account, "cancelled")
    return account


def apply_airtel_change(event: dict[str, Any]) -> None:
    """Job: the day is over. One whose asker is no owner any more changes nothing. Exactly once."""
    account = find_account(UUID(event["account_id"]))
    asked_at = account.asked_at.isoformat() if account.asked_at else None
    if account.state != "waiting" or asked_at != event["asked_at"] or account.effective_at is None:
        return
    if clock.now() < account.effective_at:
        key = f"{account.id} {asked_at} {clock.now().isoformat()}"
        outbox.put(Queue.BULK, "apply_airtel_change", key, event, run_at=account.effective_at)
        return
    asker = accounts.membership_of(account.requested_by) if account.requested_by else None
    if asker is None or asker.role != "owner":
        cancel(account.id)
    else:
        _apply(_open(account.id))


def switch(account: AirtelAccount, *, on: bool) -> None:
    """Stops taking payments, or takes them again. What was asked for before still settles. Raises ChangeOver for an
    account that was never agreed to."""
    if account.state not in {"on", "off"}:
        raise ChangeOver
    account.state = "on" if on else "off"
    db.session.flush()
    if on:
        audit.record("airtel.switched_on", subject=account.id, account=account.label)
    else:
        audit.record("airtel.switched_off", subject=account.id, account=account.label)


def discard(account: AirtelAccount) -> None:
    """A draft that is not wanted. Raises AlreadyInUse."""
    if account.state != "draft":
        raise AlreadyInUse
    account.state = "gone"
    audit.record("airtel.draft_dropped", subject=account.id, account=account.label)


def _open(account_id: UUID) -> AirtelAccount:
    query = select(AirtelAccount).where(AirtelAccount.id == account_id).with_for_update()
    account = db.session.scalar(query.execution_options(populate_existing=True))
    if account is None or account.state == "gone":
        raise NotFound
    if account.state != "waiting":
        raise ChangeOver
    return account


def _apply(account: AirtelAccount) -> AirtelAccount:
    """It takes the payments; or its keys go into the row that has its number, whose callback address Airtel knows."""
    before = db.session.scalar(select(AirtelAccount).where(AirtelAccount.state.in_(("on", "off"))))
    same = before is not None and (before.environment, before.merchant_number) == (
        account.environment, account.merchant_number,
    )  # fmt: skip
    if before is not None and same:
        before.client_id, before.client_secret = account.client_id, account.client_secret
        if account.hash_key_sealed is not None:
            before.hash_key = account.hash_key
        before.keys_set_at, before.contact_email = account.keys_set_at, account.contact_email
        before.token, before.token_expires_at, before.fault, before.fault_since = None, None, None, None
        account.state, before.state = "gone", "on"
    else:
        if before is not None:
            before.state = "gone"
            db.session.flush()
        account.state = "on"
    db.session.flush()
    audit.record("airtel.change_made", subject=account.id, account=account.label)
    _tell(account, "done")
    return account


def _tell(account: AirtelAccount, turn: str) -> None:
    assert account.asked_at is not None
    announce(AirtelChangeTold(account.id, turn, account.asked_at.isoformat()))
