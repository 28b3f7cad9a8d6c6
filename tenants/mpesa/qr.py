"""QR codes to pay by with the M-Pesa app: asked of M-Pesa once, and kept (build sheet 13).

A payment by one arrives like any made by hand, with the code's reference as its account number.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants.gateway import Verdict
from tenants.mpesa import services
from tenants.mpesa.accounts import call, find_account, note_fault, open_app
from tenants.mpesa.models import MpesaAccount, MpesaQr
from wavu import clock, ids, outbox
from wavu.db import db
from wavu.errors import NotFound, Outage
from wavu.outbox import Queue
from wavu.tenancy import current_tenant

# It is printed: as large as it may be without a picture too heavy to send.
SIZE_PIXELS = 500
_LONGEST_NAME = 40


def code_to_pay(
    account: MpesaAccount, *, reference: str, amount_cents: int, title: str, subject_id: UUID | None = None
) -> MpesaQr:
    """The code that pays so many whole shillings to an account, with that reference: letters and digits, at most 12.

    Made at first: its picture then comes by a job, and `state` says how that stands. One that M-Pesa refused is asked
    for again. Raises NotReady where the account's keys cannot be opened.
    """
    if amount_cents <= 0 or amount_cents % 100 or not reference.isascii() or not reference.isalnum():
        raise ValueError("a code is for whole shillings, and its reference has letters and digits")
    open_app(account)
    db.session.execute(
        insert(MpesaQr)
        .values(
            id=ids.new_id(),
            tenant_id=func.app.tenant_id(),
            mpesa_account_id=account.id,
            reference=reference,
            amount_cents=amount_cents,
            title=title,
            subject_id=subject_id,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "mpesa_account_id", "reference", "amount_cents"])
    )
    query = select(MpesaQr).where(
        MpesaQr.mpesa_account_id == account.id, MpesaQr.reference == reference, MpesaQr.amount_cents == amount_cents
    )
    code = db.session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()
    code.title = title
    if code.state != "ready":
        tried = code.code or ""
        code.state, code.code = "asked", None
        # The same occasion names the same job: two presses ask once.
        key = f"{code.id} {tried} {clock.now():%Y%m%dT%H%M}"
        outbox.put(Queue.DARAJA, "make_code_to_pay", key, {"code_id": str(code.id)})
    db.session.flush()
    return code


def find_code(code_id: UUID) -> MpesaQr:
    """Raises NotFound, for another tenant's too."""
    code = db.session.scalar(select(MpesaQr).where(MpesaQr.id == code_id))
    if code is None:
        raise NotFound
    return code


def list_codes(*, limit: int = 50) -> list[MpesaQr]:
    """The current tenant's, newest first."""
    return list(db.session.scalars(select(MpesaQr).order_by(MpesaQr.id.desc()).limit(limit)))


def is_code(reference: str) -> bool:
    """Whether a code of the current tenant's has this reference: a payment with it is expected."""
    return db.session.scalar(select(MpesaQr.id).where(MpesaQr.reference == reference).limit(1)) is not None


def make_code_to_pay(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Job: has M-Pesa draw a code. Twice draws the same one again, and moves nothing."""
    code = find_code(UUID(event["code_id"]))
    if code.state == "ready":
        return
    account = find_account(code.mpesa_account_id)
    app, account_id, code_id = open_app(account), account.id, code.id
    merchant = (account.organisation or current_tenant().name)[:_LONGEST_NAME]
    asked: dict[str, Any] = {"reference": code.reference, "amount_cents": code.amount_cents}
    answer = yield lambda: call(
        account_id,
        app,
        lambda token: services.dynamic_qr(app, token, merchant=merchant, size_pixels=SIZE_PIXELS, **asked),
    )
    code = db.session.scalars(select(MpesaQr).where(MpesaQr.id == code_id).with_for_update()).one()
    if isinstance(answer, bytes):
        code.state, code.picture, code.code = "ready", answer, None
        return
    if answer.meaning.verdict in {Verdict.UNKNOWN, Verdict.PENDING, Verdict.TOKEN, Verdict.WAIT}:
        raise Outage("daraja", retry_after_seconds=int(max(answer.wait_seconds, answer.meaning.wait_seconds, 20)))
    if code.state != "ready":
        code.state, code.code = "refused", answer.code[:40]
        # A Daraja app without this product is no fault of the account's: customers pay all the same.
        if answer.meaning.fix != "product":
            note_fault(account_id, answer.meaning.fix)
