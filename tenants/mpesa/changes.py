"""Where money goes changes slowly, or by two people: whoever has stolen one session must not be able to send it away.

The first account of a tenant takes payments at once. From then on an account that shall, other numbers or other keys,
waits a day, or for a second owner or manager; all owners and the contact are told at once, and any owner can cancel.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select

from tenants.account_changes import AlreadyInUse, ChangeOver, ChangeWaiting, NeedsAnother, NotTested
from tenants.mpesa.accounts import find_account, list_accounts, same_numbers
from tenants.mpesa.events import MpesaChangeTold
from tenants.mpesa.models import MpesaAccount, MpesaChange
from tenants.mpesa.setup import is_tested, note_registered
from wavu import accounts, audit, clock, ids, outbox
from wavu.db import db
from wavu.errors import NotFound
from wavu.events import announce
from wavu.outbox import Queue

DELAY = timedelta(hours=24)


class Asker(NamedTuple):
    """Who acts; the caller has made sure that it is them, with a second factor."""

    id: UUID
    name: str


def waiting_change() -> MpesaChange | None:
    """The current tenant's; there is one at most."""
    return db.session.scalar(select(MpesaChange).where(MpesaChange.state == "waiting"))


def use(account: MpesaAccount, by: Asker) -> MpesaChange | None:
    """Has a tested draft take the payments: at once (None) where the tenant has no account yet, else by a change.

    Raises AlreadyInUse, NotTested or ChangeWaiting.
    """
    if not account.draft:
        raise AlreadyInUse
    if not is_tested(account):
        raise NotTested
    before = list_accounts()
    if not before:
        _put_in_place(account)
        audit.record("mpesa.account_used", subject=account.id, account=account.label)
        return None
    if waiting_change() is not None:
        raise ChangeWaiting
    change = MpesaChange(
        id=ids.new_id(),
        account_id=account.id,
        effective_at=clock.now() + DELAY,
        requested_by=by.id,
        requested_by_name=by.name,
        contact_email=before[0].contact_email,
    )
    db.session.add(change)
    db.session.flush()
    audit.record("mpesa.change_asked", subject=change.id, before=before[0].label, account=account.label)
    announce(MpesaChangeTold(change.id, "asked"))
    outbox.put(
        Queue.BULK, "apply_mpesa_change", str(change.id), {"change_id": str(change.id)}, run_at=change.effective_at
    )
    return change


def approve(change_id: UUID, by: Asker) -> MpesaChange:
    """A second person lets it take effect now. Raises NotFound, ChangeOver or NeedsAnother."""
    change = _open(change_id)
    if change.requested_by == by.id:
        raise NeedsAnother
    return _apply(change, by.name)


def cancel(change_id: UUID, by: Asker) -> MpesaChange:
    """Nothing changes. Raises NotFound or ChangeOver."""
    return _end(_open(change_id), "cancelled", by.name)


def apply_mpesa_change(event: dict[str, Any]) -> None:
    """Job: the day is over. One whose asker is no owner any more changes nothing. Exactly once."""
    try:
        change = _open(UUID(event["change_id"]))
    except ChangeOver:
        return
    if clock.now() < change.effective_at:
        outbox.put(Queue.BULK, "apply_mpesa_change", str(ids.new_id()), event, run_at=change.effective_at)
        return
    asker = accounts.membership_of(change.requested_by)
    if asker is None or asker.role != "owner":
        _end(change, "cancelled", None)
    else:
        _apply(change, None)


def find_change(change_id: UUID) -> MpesaChange:
    """Raises NotFound."""
    change = db.session.scalar(select(MpesaChange).where(MpesaChange.id == change_id))
    if change is None:
        raise NotFound
    return change


def _open(change_id: UUID) -> MpesaChange:
    query = select(MpesaChange).where(MpesaChange.id == change_id).with_for_update()
    change = db.session.scalar(query.execution_options(populate_existing=True))
    if change is None:
        raise NotFound
    if change.state != "waiting":
        raise ChangeOver
    return change


def _apply(change: MpesaChange, by: str | None) -> MpesaChange:
    _put_in_place(find_account(change.account_id))
    return _end(change, "done", by)


def _end(change: MpesaChange, state: str, by: str | None) -> MpesaChange:
    change.state, change.ended_at, change.ended_by_name = state, clock.now(), by
    account = find_account(change.account_id)
    if state == "cancelled":
        audit.record("mpesa.change_cancelled", subject=change.id, account=account.label)
    else:
        audit.record("mpesa.change_made", subject=change.id, account=account.label)
    announce(MpesaChangeTold(change.id, state))
    return change


def _put_in_place(draft: MpesaAccount) -> None:
    """The draft takes the payments; or its keys go into the row that has its numbers, so that what M-Pesa was told of
    that one stays true. What took them before keeps its attempts, its addresses and whatever is late."""
    taker = same_numbers(draft) or draft
    for other in list_accounts():
        other.active = other is taker
    draft.draft = False
    db.session.flush()
    if taker is not draft:
        for name in ("consumer_key", "consumer_secret", "passkey"):
            setattr(taker, name, getattr(draft, name))
        taker.contact_email, taker.organisation = draft.contact_email, draft.organisation or taker.organisation
        taker.keys_set_at, taker.kind = draft.keys_set_at, draft.kind
        taker.token, taker.token_expires_at = None, None
        taker.fault, taker.fault_since, taker.silent_since = None, None, None
    else:
        note_registered(draft)
    taker.active = True
    db.session.flush()


def discard(account: MpesaAccount) -> None:
    """A draft that is not wanted. Raises AlreadyInUse, or ChangeWaiting for one that waits to take effect."""
    if not account.draft:
        raise AlreadyInUse
    change = waiting_change()
    if change is not None and change.account_id == account.id:
        raise ChangeWaiting
    account.draft = False
    audit.record("mpesa.draft_dropped", subject=account.id, account=account.label)
