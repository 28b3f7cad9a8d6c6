"""Requests that M-Pesa answers later, and what it tells of them.

Every request has a token of its own in the addresses it gives out, kept as a fingerprint: it names the request, and
nobody but M-Pesa knows it. What comes is stored and answered at once; what it means is settled by a job. Twice, late,
out of order or never: each changes nothing (build sheet 18, 21).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from config import Settings
from tenants.gateway import Account, Meaning, Verdict
from tenants.mpesa import accounts, classify, initiator
from tenants.mpesa.daraja import App, NotAccepted
from tenants.mpesa.events import ResultArrived, StatusAnswered
from tenants.mpesa.initiator import Acknowledged, Initiator, Result, Transaction
from tenants.mpesa.initiators import note_outcome, open_initiator
from tenants.mpesa.models import MpesaBalance, MpesaRequest, MpesaResult
from tenants.mpesa.refusals import InitiatorFrozen, InitiatorNotReady
from wavu import clock, ids, outbox
from wavu.db import db
from wavu.events import announce
from wavu.outbox import Queue

Call = Generator[Callable[[], Any], Any, None]


class Outgoing(NamedTuple):
    """Everything that one request needs outside a transaction."""

    request_id: UUID
    account_id: UUID
    app: App
    by: Initiator

    def send(self, request: Callable[[str], Acknowledged | NotAccepted]) -> Acknowledged | NotAccepted:
        """With the shared token; see mpesa.call."""
        return accounts.call(self.account_id, self.app, request)


class Answered(NamedTuple):
    """What was told about a request. `result` and `meaning` are None where M-Pesa does not know itself: its queue timed
    out. `trusted`: it came from one of M-Pesa's addresses, or answers a question under the ids that M-Pesa gave it."""

    request: MpesaRequest
    result: Result | None
    meaning: Meaning | None
    trusted: bool


def begin(account_id: UUID, api: str, *, subject_id: UUID | None = None, receipt: str | None = None) -> Outgoing:
    """Writes down a request before it is sent. Raises NotReady, InitiatorNotReady or InitiatorFrozen."""
    account, token = accounts.find_account(account_id), ids.new_token()
    app, by = accounts.open_app(account), open_initiator(account_id, token)
    request = MpesaRequest(
        id=ids.new_id(), mpesa_account_id=account_id, api=api, subject_id=subject_id, receipt=receipt,
        token_fingerprint=ids.fingerprint(token),
    )  # fmt: skip
    db.session.add(request)
    db.session.flush()
    return Outgoing(request.id, account_id, app, by)


def record_answer(request_id: UUID, answer: Acknowledged | NotAccepted) -> MpesaRequest:
    """Keeps what a request was answered at once. The outcome may have come first."""
    request = _locked(request_id)
    if isinstance(answer, Acknowledged):
        request.originator_conversation_id = request.originator_conversation_id or answer.originator_conversation_id
        request.conversation_id = request.conversation_id or answer.conversation_id
        if request.state == "sent":
            request.state = "accepted"
    elif request.state == "sent":
        ends = answer.meaning.verdict in {Verdict.FINAL, Verdict.CONFIG, Verdict.WAIT}
        request.state, request.code = ("refused" if ends else "unknown"), answer.code[:40]
        note_outcome(request, answer.meaning)
    return request


def receive_result(kind: str, token: str, body: bytes, peer: str | None) -> bool:
    """Stores what M-Pesa tells, `result` or `timeout`. False for a token that is nobody's in this tenant; the same body
    counts once."""
    request_id = db.session.scalar(
        select(MpesaRequest.id).where(MpesaRequest.token_fingerprint == ids.fingerprint(token))
    )
    if request_id is None:
        return False
    event_id = ids.new_id()
    stored = db.session.execute(
        insert(MpesaResult)
        .values(
            id=event_id,
            tenant_id=func.app.tenant_id(),
            request_id=request_id,
            kind=kind,
            body_digest=hashlib.sha256(body).digest(),
            body=body,
            peer=peer,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "request_id", "kind", "body_digest"])
        .returning(MpesaResult.id)
    )
    if stored.first() is not None:
        announce(ResultArrived(event_id))
    return True


def read_result(event_id: UUID) -> Answered | None:
    """Works off what was stored, once, and settles what is nobody else's: balances, and what the initiator must hear.

    None where it says nothing: read before, unreadable, or about another request than its token's.
    """
    query = select(MpesaResult).where(MpesaResult.id == event_id, MpesaResult.processed_at.is_(None))
    event = db.session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if event is None:
        return None
    request = _locked(event.request_id)
    event.processed_at = clock.now()
    trusted = comes_from_daraja(accounts.find_account(request.mpesa_account_id), event.peer)
    if event.kind == "timeout":
        # Nobody documents its body, so only the token speaks. It means unknown, and is no failure.
        event.outcome = "timeout"
        return Answered(request, None, None, trusted)
    result = initiator.parse(event.body)
    if result is None:
        event.outcome = "malformed"
        return None
    trusted = trusted or _answers_our_question(request, result)
    if _is_of_another(request, result, trusted):
        event.outcome = "refused: another conversation"
        return None
    meaning = classify.organisation_result(request.api, result.code)
    event.outcome = "answered" if trusted else "held: not from M-Pesa's addresses"
    if trusted:
        request.state, request.code, request.answered_at = "answered", result.code, clock.now()
        note_outcome(request, meaning)
        _settle_own(request, result, meaning)
    return Answered(request, result, meaning, trusted)


def _answers_our_question(request: MpesaRequest, result: Result) -> bool:
    """The list of addresses is a hint (build sheet 18). What was only asked, and is answered under the ids of its
    acknowledgement, is believed from elsewhere too: else a new address of M-Pesa's would leave nothing to ask."""
    return (
        request.api in {"status", "balance"}
        and request.conversation_id is not None
        and request.conversation_id == result.conversation_id
    )


def _is_of_another(request: MpesaRequest, result: Result, trusted: bool) -> bool:
    """Ours may not be known yet, and are learnt then, from M-Pesa."""
    for name in ("conversation_id", "originator_conversation_id"):
        said, ours = getattr(result, name), getattr(request, name)
        if ours and said and said != ours:
            return True
        if trusted:
            setattr(request, name, ours or said)
    return False


def _settle_own(request: MpesaRequest, result: Result, meaning: Meaning) -> None:
    told = initiator.balances_in(result) if request.api == "balance" else []
    if told and meaning.verdict is Verdict.SUCCESS:
        kept = {"accounts": [each._asdict() for each in told]}
        as_of = initiator.instant(result.first("BOCompletedTime")) or clock.now()
        db.session.add(MpesaBalance(mpesa_account_id=request.mpesa_account_id, as_of=as_of, accounts=kept))
    if request.api == "status" and request.receipt is not None and request.subject_id is not None:
        announce(StatusAnswered(request.id, request.subject_id))


def comes_from_daraja(account: Account, peer: str | None) -> bool:
    """Whether the sender's address is on the list. A score, not a proof; in the rehearsal the simulator is local."""
    settings: Settings = current_app.extensions["settings"]
    if account.environment == "rehearsal":
        return peer in {"127.0.0.1", "::1"}
    return peer in settings.daraja_callback_addresses


def requests_about(subject_id: UUID) -> list[MpesaRequest]:
    """Everything that was asked about one thing, oldest first."""
    query = select(MpesaRequest).where(MpesaRequest.subject_id == subject_id)
    return list(db.session.scalars(query.order_by(MpesaRequest.id)))


# -- Transaction Status of a receipt


def ask_status(account_id: UUID, *, receipt: str, subject_id: UUID) -> None:
    """Has M-Pesa asked about a receipt, after the running transaction: does it exist at this account, and for how much?
    `subject_id` is what wants to know it.

    The answer is announced as StatusAnswered, or never comes. Once a minute for a subject, however often asked. Raises
    ValueError for what cannot be a receipt.
    """
    if not initiator.receipt_in(receipt):
        raise ValueError("this is no receipt of M-Pesa's")
    payload = {"account_id": str(account_id), "receipt": receipt, "subject_id": str(subject_id)}
    outbox.put(Queue.DARAJA, "ask_status", f"{account_id} {receipt} {subject_id} {clock.now():%Y%m%dT%H%M}", payload)


def send_status(event: dict[str, Any]) -> Call:
    """Job: asks about a receipt. Running twice asks twice, which moves nothing."""
    receipt, subject = event["receipt"], UUID(event["subject_id"])
    outgoing = begin(UUID(event["account_id"]), "status", subject_id=subject, receipt=receipt)
    answer = yield lambda: outgoing.send(
        lambda token: initiator.transaction_status(outgoing.app, token, outgoing.by, receipt=receipt)
    )
    record_answer(outgoing.request_id, answer)


class Status(NamedTuple):
    """What Transaction Status told about a receipt: the transaction, or None. `denies`: there is no such one there."""

    account_id: UUID
    transaction: Transaction | None
    denies: bool


def answers_about(subject_id: UUID) -> list[Status]:
    """What Transaction Status has told about one thing, believably: the last answer of each account."""
    query = (
        select(MpesaRequest.mpesa_account_id, MpesaResult.body)
        .join(MpesaResult, MpesaResult.request_id == MpesaRequest.id)
        .where(MpesaRequest.subject_id == subject_id, MpesaRequest.api == "status", MpesaResult.outcome == "answered")
        .order_by(MpesaResult.id)
    )
    told = {account_id: initiator.parse(body) for account_id, body in db.session.execute(query).all()}
    return [_status(account_id, result) for account_id, result in told.items() if result is not None]


def _status(account_id: UUID, result: Result) -> Status:
    transaction = initiator.transaction_in(result)
    meaning = classify.organisation_result("status", result.code)
    return Status(account_id, transaction, transaction is None and meaning.verdict is Verdict.FINAL)


# -- Account Balance


def ask_balance(account_id: UUID, key: str) -> None:
    """Has M-Pesa asked what an account holds, once for a key. The answer is kept where it comes: latest_balance()."""
    outbox.put(Queue.DARAJA, "ask_balance", f"{account_id} {key}", {"account_id": str(account_id)})


def send_balance(event: dict[str, Any]) -> Call:
    """Job: asks what an account holds. Running twice asks twice."""
    try:
        outgoing = begin(UUID(event["account_id"]), "balance")
    except (InitiatorNotReady, InitiatorFrozen):
        return
    answer = yield lambda: outgoing.send(lambda token: initiator.account_balance(outgoing.app, token, outgoing.by))
    record_answer(outgoing.request_id, answer)


def latest_balance(account_id: UUID) -> tuple[datetime, list[initiator.Balance]] | None:
    """What M-Pesa last said that an account holds, and when; None where it never did."""
    query = select(MpesaBalance).where(MpesaBalance.mpesa_account_id == account_id)
    found = db.session.scalar(query.order_by(MpesaBalance.id.desc()).limit(1))
    return (found.as_of, [initiator.Balance(**each) for each in found.accounts["accounts"]]) if found else None


def may_be_token(token: str) -> bool:
    """Whether it looks like one of ours."""
    return re.fullmatch(r"[0-9a-f]{64}", token, re.ASCII) is not None


def _locked(request_id: UUID) -> MpesaRequest:
    query = select(MpesaRequest).where(MpesaRequest.id == request_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()
