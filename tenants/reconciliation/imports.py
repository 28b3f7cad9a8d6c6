"""Takes a statement in: a file once, a movement once, whatever files overlap. Rows are never changed afterwards."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from tenants import mpesa
from tenants.mpesa import MpesaAccount
from tenants.reconciliation.models import Statement
from tenants.reconciliation.refusals import NoStatement, OfAnotherShortcode, SaysOtherwise
from tenants.reconciliation.statement import Reader, Row
from wavu import audit, clock, ids, outbox
from wavu.db import db, one_at_a_time
from wavu.outbox import Queue
from wavu.tenancy import current_tenant

# A day of a hundred thousand payments.
MAX_STATEMENT_BYTES = 40 * 1024 * 1024
_BATCH = 5000

_COLUMNS: dict[str, Any] = {
    "number": BigInteger, "id": Uuid, "receipt": Text, "kind": Text, "amount_cents": BigInteger,
    "completed_at": DateTime(timezone=True), "details": Text, "other_party": Text, "account_reference": Text,
    "linked_receipt": Text, "balance_cents": BigInteger,
}  # fmt: skip
_TAKE = text("""
    WITH told AS (
        SELECT * FROM unnest(:number, :id, :receipt, :kind, :amount_cents, :completed_at, :details, :other_party,
            :account_reference, :linked_receipt, :balance_cents) AS t (number, id, receipt, kind, amount_cents,
            completed_at, details, other_party, account_reference, linked_receipt, balance_cents)),
    added AS (
        INSERT INTO statement_row (tenant_id, id, statement_id, environment, shortcode_group, receipt, kind,
            amount_cents, completed_at, details, other_party, account_reference, linked_receipt, balance_cents)
        SELECT app.tenant_id(), id, :statement_id, :environment, :shortcode_group, receipt, kind, amount_cents,
            completed_at, details, other_party, account_reference, linked_receipt, balance_cents FROM told
        ON CONFLICT (tenant_id, environment, shortcode_group, receipt, kind) DO NOTHING
        RETURNING 1)
    SELECT count(*) FROM added""").bindparams(
    *(bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()),
    bindparam("statement_id", type_=Uuid),
)
# Some exports leave the seconds out.
_CONTRADICTED = text("""
    SELECT t.number, t.receipt FROM unnest(:number, :receipt, :kind, :amount_cents, :completed_at)
        AS t (number, receipt, kind, amount_cents, completed_at)
    JOIN statement_row s ON s.tenant_id = app.tenant_id() AND s.environment = :environment
        AND s.shortcode_group = :shortcode_group AND s.receipt = t.receipt AND s.kind = t.kind
    WHERE s.amount_cents <> t.amount_cents
        OR date_trunc('minute', s.completed_at) <> date_trunc('minute', t.completed_at)
    ORDER BY t.number LIMIT 1""").bindparams(
    *(bindparam(name, type_=ARRAY(_COLUMNS[name])) for name in
      ("number", "receipt", "kind", "amount_cents", "completed_at"))
)  # fmt: skip


class Imported(NamedTuple):
    """`is_new` is False where the same file was imported before. `days` are the tenant's days that it speaks of."""

    statement: Statement
    is_new: bool
    days: list[date]


def import_statement(account_id: UUID, file_name: str, file: BinaryIO) -> Imported:
    """Reads one file of the current tenant's account, all of it or nothing; audited. `file` can be read from its start.

    Raises NoStatement, StatementUnreadable and StatementShort (naming row and column), StatementBroken (naming row and
    receipt), OfAnotherShortcode and SaysOtherwise. The days that it speaks of are looked at again by a job.
    """
    account = mpesa.find_account(account_id)
    one_at_a_time(f"statements of {current_tenant().id}")
    digest = _digest(file)
    known = db.session.scalar(
        select(Statement).where(
            Statement.environment == account.environment,
            Statement.shortcode_group == account.shortcode_group,
            Statement.digest == digest,
        )
    )
    if known is not None:
        return Imported(known, False, days_of(known))
    reader = Reader(file)
    _refuse_another(account, reader.numbers)
    statement_id = ids.new_id()
    read = new = 0
    for batch in _batches(reader.rows()):
        read, new = read + len(batch), new + _take(account, statement_id, batch)
    covers = reader.covers()
    if covers is None:
        raise NoStatement
    made = Statement(
        id=statement_id, environment=account.environment, shortcode_group=account.shortcode_group, digest=digest,
        file_name=file_name[:200], covers_from=covers[0], covers_until=covers[1], row_count=read, new_count=new,
        skipped_count=reader.skipped, imported_by=audit.actor().name, created_at=clock.now(),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    audit.record(
        "books.statement_imported", subject=made.id, shortcode=account.label, rows=str(read), new_rows=str(new),
    )  # fmt: skip
    days = days_of(made)
    for day in days:
        outbox.put(Queue.BULK, "check_day", f"{made.id}:{day}", {"day": day.isoformat()})
    return Imported(made, True, days)


def list_statements(*, before: UUID | None = None, limit: int = 50) -> list[Statement]:
    """The current tenant's, newest first, paged by key: pass the last one's id as `before`."""
    query = select(Statement).order_by(Statement.id.desc()).limit(limit)
    return list(db.session.scalars(query if before is None else query.where(Statement.id < before)))


def days_of(statement: Statement) -> list[date]:
    """The tenant's days, oldest first, that a statement speaks of."""
    zone = current_tenant().timezone
    first = clock.local_date(statement.covers_from, zone)
    last = clock.local_date(statement.covers_until - timedelta(seconds=1), zone)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _digest(file: BinaryIO) -> bytes:
    file.seek(0)
    found = hashlib.sha256()
    while chunk := file.read(1 << 20):
        found.update(chunk)
    file.seek(0)
    return found.digest()


def _refuse_another(account: MpesaAccount, numbers: set[str]) -> None:
    own = {account.business_short_code, account.party_b}
    if numbers and not numbers & own:
        raise OfAnotherShortcode(found=", ".join(sorted(numbers)), wanted=account.label)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


def _take(account: MpesaAccount, statement_id: UUID, batch: list[Row]) -> int:
    """Stores what is new of some rows and returns how many those are. Raises SaysOtherwise."""
    values: dict[str, Any] = {name: [getattr(row, name) for row in batch] for name in _COLUMNS if name != "id"}
    values["id"] = [ids.new_id() for _ in batch]
    of = {"environment": account.environment, "shortcode_group": account.shortcode_group}
    new: int = db.session.execute(_TAKE, values | of | {"statement_id": statement_id}).scalar_one()
    if new < len(batch):
        told = {name: values[name] for name in ("number", "receipt", "kind", "amount_cents", "completed_at")}
        against = db.session.execute(_CONTRADICTED, told | of).first()
        if against is not None:
            raise SaysOtherwise(row=against.number, receipt=against.receipt)
    return new
