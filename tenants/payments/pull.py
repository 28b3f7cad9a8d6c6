"""Pull Transactions: what M-Pesa itself says was paid, asked every quarter of an hour (build sheet 7, 22.5).

A row is proof. One that we do not have is a callback that was lost, and is settled like one; each other row is a
witness of the receipt that it names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import mpesa
from tenants.mpesa import MpesaAccount, daraja
from tenants.payments import c2b, callbacks, inbox
from tenants.payments.events import PaymentReported
from tenants.payments.models import ProviderReceipt, ReceiptWitness
from tenants.payments.receipts import Report
from wavu import clock, ids, outbox
from wavu.db import db
from wavu.errors import Outage
from wavu.events import announce
from wavu.failpoint import failpoint_at_commit
from wavu.outbox import Queue

SOURCE = "pull"
# What M-Pesa itself said, in the shape of a row of Pull: a line of its statement is no less.
STATEMENT = "statement"
PROOFS = (SOURCE, STATEMENT)
# Daraja keeps 48 hours.
LONGEST = timedelta(hours=47)
_OVERLAP = timedelta(minutes=30)
# Pages of one job: what they bring is stored before the next are asked for.
_PAGES = 10


def tenants_with_pull() -> list[UUID]:
    """The tenants that have a shortcode registered for Pull. Across tenants: their ids and nothing else."""
    return list(db.session.scalars(select(func.app.tenants_with_pull())))


def ask_for(window: timedelta | None, tick: str) -> int:
    """Puts a job for each shortcode of the current tenant: all that was paid in the last `window`, or since the last
    time and some minutes before. Returns how many. `tick` names the occasion: the same one again adds nothing; one
    that begins with a digit is a clock's, and its jobs are spread over some minutes."""
    now = clock.now()
    registered = select(MpesaAccount).where(MpesaAccount.pull_registered_at.is_not(None))
    accounts = db.session.scalars(registered).all()
    for account in accounts:
        since = now - LONGEST if account.pulled_until is None else account.pulled_until - _OVERLAP
        start = max(since if window is None else now - window, now - LONGEST)
        _put(account.id, tick, start, now, 0)
    return len(accounts)


def _put(account_id: UUID, tick: str, start: datetime, end: datetime, offset: int) -> None:
    payload = {
        "account_id": str(account_id),
        "tick": tick,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "offset": offset,
    }
    # Not all tenants at the same second: they share one way out.
    wait = timedelta(seconds=account_id.int % 240 if offset == 0 and tick[:1].isdigit() else 0)
    outbox.put(Queue.DARAJA, "pull_payments", f"{account_id}:{tick}:{offset}", payload, run_at=clock.now() + wait)


def pull_payments(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Job: asks for some pages of what was paid, and puts the next job where there are more. Twice is harmless: a row
    is stored once and a receipt credited once."""
    account = mpesa.find_account(UUID(event["account_id"]))
    start, end = (datetime.fromisoformat(event[name]) for name in ("start", "end"))
    app, account_id, offset = mpesa.open_app(account), account.id, int(event["offset"])
    answer = yield lambda: _ask(account_id, app, start, end, offset)
    account = mpesa.find_account(account_id)
    if isinstance(answer, daraja.NotAccepted):
        mpesa.note_fault(account_id, answer.meaning.fix)
        raise Outage("daraja", retry_after_seconds=60)
    rows, more = answer
    _take(account, rows)
    failpoint_at_commit(db.session(), "cp25")
    if more:
        _put(account_id, event["tick"], start, end, offset + len(rows))
    elif account.pulled_until is None or account.pulled_until < end:
        account.pulled_until = end


def _ask(
    account_id: UUID, app: daraja.App, start: datetime, end: datetime, offset: int
) -> tuple[list[dict[str, Any]], bool] | daraja.NotAccepted:
    """(rows, whether there are more)."""
    rows: list[dict[str, Any]] = []

    def next_page(token: str) -> list[dict[str, Any]] | daraja.NotAccepted:
        return daraja.pull(app, token, start=start, end=end, offset=offset + len(rows))

    for _ in range(_PAGES):
        page = mpesa.call(account_id, app, next_page)
        if isinstance(page, daraja.NotAccepted):
            return page
        if not page:
            return rows, False
        rows += page
    return rows, True


def _take(account: MpesaAccount, rows: list[dict[str, Any]]) -> None:
    told = {row["transactionId"]: row for row in rows if callbacks.receipt_of(row.get("transactionId"))}
    receipts = db.session.scalars(
        select(ProviderReceipt).where(
            ProviderReceipt.environment == account.environment,
            ProviderReceipt.shortcode_group == account.shortcode_group,
            ProviderReceipt.receipt.in_(told),
        )
    )
    known = {receipt.receipt: receipt for receipt in receipts}
    _witness([receipt.id for receipt in known.values()])
    for name, row in told.items():
        report = _report(row)
        if name in known and (report is None or report.amount_cents == known[name].amount_cents):
            continue
        event_id = inbox.store("pull", json.dumps(row, default=str).encode(), None, mpesa_account_id=account.id)
        if event_id is not None:
            announce(PaymentReported(event_id=event_id))


def _witness(receipt_ids: list[UUID]) -> None:
    if receipt_ids:
        db.session.execute(
            insert(ReceiptWitness)
            .values(
                [
                    {
                        "id": ids.new_id(), "tenant_id": func.app.tenant_id(), "receipt_id": receipt_id,
                        "source": SOURCE, "created_at": clock.now(),
                    }
                    for receipt_id in receipt_ids
                ]
            )
            .on_conflict_do_nothing(index_elements=["tenant_id", "receipt_id", "source"])
        )  # fmt: skip


def store_statement_row(account_id: UUID, row: dict[str, str]) -> UUID | None:
    """Stores a line of a statement as a report, and returns the event that settles it; None where it was stored before.
    `row` has transactionId, trxDate (with its zone), amount, billreference and msisdn, as a row of Pull has.
    """
    return inbox.store(STATEMENT, json.dumps(row).encode(), None, mpesa_account_id=account_id)


def parse(body: bytes, source: str = SOURCE) -> Report | None:
    """Reads a row that was stored; None for one that cannot be read."""
    row: dict[str, Any] = json.loads(body)
    return _report(row, source)


def _report(row: dict[str, Any], source: str = SOURCE) -> Report | None:
    receipt, cents = callbacks.receipt_of(row.get("transactionId")), callbacks.cents_of(row.get("amount"))
    if receipt is None or cents is None:
        return None
    payer = row.get("msisdn")
    return Report(
        receipt=receipt,
        amount_cents=cents,
        source=source,
        reference=c2b.plain_reference(row.get("billreference")),
        payer=str(payer)[:80] if isinstance(payer, str | int) else None,
        paid_at=_time(row.get("trxDate")),
    )


def _time(said: object) -> datetime | None:
    """Its zone is not documented; the letter Z that it ends with is taken at its word (build sheet 2.5)."""
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None
