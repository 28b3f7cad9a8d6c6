"""Money leaves once: SENDING → ACCEPTED → PAID | FAILED, and UNKNOWN wherever nobody knows (build sheet 22.4).

A payout is marked as being sent before it is, under a name that M-Pesa takes once. What is unknown stays set aside and
is asked about; it is never sent again. Only a definite no gives the money back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select

from tenants import mpesa
from tenants.gateway import Verdict
from tenants.mpesa import classify, daraja, initiator
from tenants.mpesa.initiator import Acknowledged
from tenants.payments import ProviderReceipt
from tenants.payouts.models import Payout
from tenants.payouts.outcomes import fail
from tenants.payouts.requests import locked
from wavu import clock, outbox
from wavu.db import db
from wavu.outbox import Queue

log = structlog.get_logger(__name__)

# What may still be under way. `review` needs a person, and a proof that comes meanwhile counts.
UNPROVEN = ("sending", "accepted", "unknown", "review")
# When M-Pesa is asked about a payout that nothing was heard of, in seconds after it was sent; then every hour.
ASK_AFTER = (60, 300, 1800)
_ASK_EVERY, _ASK_FOR = 3600, timedelta(days=7)
# Not proven in a day: a person looks at the statement. Asking goes on.
_REVIEW_AFTER = timedelta(hours=24)
_SEND_AGAIN_AFTER = timedelta(seconds=60)

Call = Generator[Callable[[], Any], Any, None]


def send_payout(event: dict[str, Any]) -> Call:
    """Job: sends an approved payout, once. Run again after a crash it finds the payout being sent and calls it unknown:
    whether it went out cannot be known, so M-Pesa is asked. Without an initiator that may be used it waits for one."""
    payout = locked(UUID(event["payout_id"]))
    if payout.state == "sending":
        payout.state = "unknown"
        ask_now(payout)
    if payout.state != "approved":
        return
    try:
        outgoing = mpesa.begin(payout.mpesa_account_id, payout.method, subject_id=payout.id)
    except (mpesa.InitiatorNotReady, mpesa.InitiatorFrozen):
        return
    payout.state, payout.sent_at = "sending", clock.now()
    request, payout_id = _request(payout, outgoing), payout.id
    answer = yield lambda: outgoing.send(request)
    mpesa.record_answer(outgoing.request_id, answer)
    _record(locked(payout_id), answer)


def _request(payout: Payout, outgoing: mpesa.Outgoing) -> Callable[[str], Acknowledged | daraja.NotAccepted]:
    app, by, amount_cents = outgoing.app, outgoing.by, payout.amount_cents
    if payout.method == "reversal":
        receipt = db.session.scalars(
            select(ProviderReceipt.receipt).where(ProviderReceipt.id == payout.receipt_id)
        ).one()
        return lambda token: initiator.reversal(app, token, by, receipt=receipt, amount_cents=amount_cents)
    phone, original_id = payout.phone or "", payout.original_id
    return lambda token: initiator.b2c(app, token, by, original_id=original_id, amount_cents=amount_cents, phone=phone)


def _record(payout: Payout, answer: Acknowledged | daraja.NotAccepted) -> None:
    if isinstance(answer, Acknowledged):
        if payout.state in {"sending", "unknown"}:
            payout.state = "accepted"
        _ask_at(payout, 0)
        return
    if payout.state != "sending":
        return
    verdict = answer.meaning.verdict
    if not answer.sent and verdict is Verdict.UNKNOWN:
        _send_later(payout)
    elif verdict in {Verdict.FINAL, Verdict.CONFIG, Verdict.WAIT}:
        # The gateway refuses before anything is executed.
        fail(payout, answer.code)
    else:
        # One that M-Pesa has already under our name was taken before: it is asked about, as all that is not known.
        payout.state, payout.code = "unknown", answer.code[:40]
        if classify.is_duplicate(answer.code):
            ask_now(payout)
        else:
            _ask_at(payout, 0)


def _send_later(payout: Payout) -> None:
    """Nothing was sent, since there is no token."""
    payout.state = "approved"
    send_at = clock.now() + _SEND_AGAIN_AFTER
    key, payload = f"{payout.id}:{send_at.isoformat()}", {"payout_id": str(payout.id)}
    outbox.put(Queue.DARAJA, "send_payout", key, payload, run_at=send_at)


def send_waiting(event: dict[str, Any]) -> None:
    """Job: an account has an initiator that may be used: sends what was approved and waits. Twice is harmless."""
    waiting = select(Payout.id).where(Payout.mpesa_account_id == UUID(event["account_id"]), Payout.state == "approved")
    for payout_id in db.session.scalars(waiting):
        outbox.put(Queue.DARAJA, "send_payout", f"{payout_id}:{event['at']}", {"payout_id": str(payout_id)})


def send_again(payout: Payout) -> None:
    """A person has an approved payout tried now, which is not out for whatever reason."""
    if payout.state == "approved":
        key = f"{payout.id}:{clock.now():%Y%m%dT%H%M}"
        outbox.put(Queue.DARAJA, "send_payout", key, {"payout_id": str(payout.id)})


# -- asking


def ask_now(payout: Payout) -> None:
    """Has M-Pesa asked at once, and at the usual times from when it was sent on. Once a minute, however often."""
    _put_ask(payout, f"now:{clock.now():%Y%m%dT%H%M}", None)
    _ask_at(payout, 0)


def _ask_at(payout: Payout, number: int) -> None:
    began = payout.sent_at or clock.now()
    seconds = ASK_AFTER[number] if number < len(ASK_AFTER) else _ASK_EVERY * (number - len(ASK_AFTER) + 1)
    if seconds <= _ASK_FOR.total_seconds():
        _put_ask(payout, str(number), number, began + timedelta(seconds=seconds))


def _put_ask(payout: Payout, key: str, number: int | None, run_at: Any = None) -> None:
    payload = {"payout_id": str(payout.id), "number": number}
    outbox.put(Queue.DARAJA, "ask_payout", f"{payout.id}:{key}", payload, run_at=run_at)


def ask_payout(event: dict[str, Any]) -> Call:
    """Job: Transaction Status of a payout that nothing definite was heard of. Harmless however often it runs."""
    payout = locked(UUID(event["payout_id"]))
    if payout.state not in UNPROVEN or payout.sent_at is None:
        return
    number = event["number"]
    if number is not None:
        _ask_at(payout, number + 1)
        if payout.state in {"sending", "accepted"} and number:
            # Silence for so long is unknown, and no failure.
            payout.state = "unknown"
    if clock.now() - payout.sent_at > _REVIEW_AFTER:
        payout.state = "review"
    original_id = _name_at_mpesa(payout)
    if original_id is None:
        return
    try:
        outgoing = mpesa.begin(payout.mpesa_account_id, "status", subject_id=payout.id)
    except (mpesa.InitiatorNotReady, mpesa.InitiatorFrozen):
        return
    answer = yield lambda: outgoing.send(
        lambda token: initiator.transaction_status(outgoing.app, token, outgoing.by, original_id=original_id)
    )
    mpesa.record_answer(outgoing.request_id, answer)


def _name_at_mpesa(payout: Payout) -> str | None:
    """The OriginatorConversationID under which M-Pesa knows it: ours for B2C, unless it gave one of its own; for a
    reversal the one it gave, if it got as far as to say so."""
    sent = [request for request in mpesa.requests_about(payout.id) if request.api == payout.method]
    given = next((r.originator_conversation_id for r in sent if r.originator_conversation_id), None)
    return given or (payout.original_id if payout.method == "b2c" else None)
