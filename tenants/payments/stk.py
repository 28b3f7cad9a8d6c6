"""STK push: ask a phone for money, chase the answer, and never mistake silence for a no.

created → submitting → pending → (settle.py) succeeded; side exits failed, unknown, paid_no_receipt, review, expired.
Success absorbs every other state, at any time (money-and-reliability 3.2).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, update

from tenants import mpesa
from tenants.mpesa import classify, daraja
from tenants.mpesa.classify import Verdict
from tenants.payments.events import StkAsked
from tenants.payments.models import PaymentIntent
from tenants.payments.refusals import PromptOpen, TooManyPrompts, TooManyPromptsToday
from wavu import clock, ids, outbox
from wavu.db import db
from wavu.events import announce
from wavu.failpoint import failpoint
from wavu.outbox import Queue
from wavu.phone import Phone
from wavu.tenancy import current_tenant_id

OPEN = ("created", "submitting", "pending", "unknown")
PROMPT_SECONDS = 75
_SAME_AMOUNT_SECONDS = 120
_ANY_PUSH_SECONDS = 60
_PUSHES_PER_10_MINUTES = 3
# By all ISPs together: nobody shall make a stranger's phone ring from one portal after the other.
_EVERYWHERE_PER_10_MINUTES = 6
_EVERYWHERE_PER_DAY = 40
_SEND_FOR = timedelta(seconds=60)
# When to ask Daraja about a push that nobody has answered, in seconds after it was sent (money-and-reliability 3.5).
QUERY_AFTER = (20, 40, 75, 120, 300, 900, 3600, 21_600, 86_400)
_NEVER_SENT = {"config", "unreachable", "busy", "down"}
_MOST_CLAIMS = 4
_TURNED_AWAY_AT_ONCE = 1000
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

_PROMPTS_TO = text("SELECT in_ten_minutes, in_a_day FROM app.prompts_to(:phone, :at)")

Call = Generator[Callable[[], Any], Any, None]


def request_stk(
    *, purchase_id: UUID, subscriber_id: UUID, phone: Phone, amount_cents: int, description: str,
    account: mpesa.MpesaAccount | None = None,
) -> PaymentIntent:  # fmt: skip
    """Asks for a payment: the intent and the job that sends it, in the running transaction.

    To `account`, or to the one that takes payments. Raises NotReady, PromptOpen or TooManyPrompts. Nothing is sent
    unless the transaction commits.
    """
    account = account or mpesa.active_account()
    _check_pace(phone, amount_cents)
    token = secrets.token_hex(32)
    intent = PaymentIntent(
        id=ids.new_id(),
        mpesa_account_id=account.id,
        subscriber_id=subscriber_id,
        purchase_id=purchase_id,
        phone=phone.e164,
        amount_cents=amount_cents,
        # Letters and digits only, at most 12: other characters have broken requests (build sheet 2.7, 4).
        reference="W" + "".join(secrets.choice(_LETTERS) for _ in range(9)),
        description=_plain(description)[:13] or "Internet",
        token_fingerprint=ids.fingerprint(token),
    )
    intent.token = token
    db.session.add(intent)
    db.session.flush()
    announce(StkAsked(intent_id=intent.id))
    return intent


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter == " ")).strip()


def _check_pace(phone: Phone, amount_cents: int) -> None:
    """One live prompt per phone, a minute between two, two for the same amount, three in ten minutes; and a limit on
    what all ISPs together may ask of one phone."""
    now = clock.now()
    # One at a time per phone: two taps on two devices must not both find the way free.
    key = func.hashtextextended(f"{current_tenant_id()}{phone.e164}", 17)
    db.session.execute(select(func.pg_advisory_xact_lock(key)))
    recent = db.session.scalars(
        select(PaymentIntent)
        .where(PaymentIntent.phone == phone.e164, PaymentIntent.created_at > now - timedelta(minutes=10))
        .order_by(PaymentIntent.created_at.desc())
    ).all()
    for intent in recent:
        age = (now - intent.created_at).total_seconds()
        wait = wait_after(intent, amount_cents)
        if age < wait:
            raise PromptOpen(seconds=int(wait - age) + 1)
    if len(recent) >= _PUSHES_PER_10_MINUTES:
        raise TooManyPrompts(minutes=10)
    in_ten_minutes, in_a_day = db.session.execute(_PROMPTS_TO, {"phone": phone.e164, "at": now}).one()
    if in_a_day >= _EVERYWHERE_PER_DAY:
        raise TooManyPromptsToday
    if in_ten_minutes >= _EVERYWHERE_PER_10_MINUTES:
        raise TooManyPrompts(minutes=10)


def wait_after(intent: PaymentIntent | Row[Any], amount_cents: int) -> int:
    """How many seconds after an attempt, or a row with its columns, began the next one to that phone makes sense.

    Daraja refuses the same amount within two minutes (code 17), and a phone takes one request at a time (code 1001).
    An attempt that never went out frees the phone at once.
    """
    if intent.submitted_at is None or (intent.state == "failed" and intent.code in _NEVER_SENT):
        return PROMPT_SECONDS if intent.state in OPEN else 0
    told = classify.result(intent.code).wait_seconds if intent.state == "failed" and intent.code else 0
    return max(told, _SAME_AMOUNT_SECONDS if intent.amount_cents == amount_cents else _ANY_PUSH_SECONDS)


def send_stk(event: dict[str, Any]) -> Call:
    """Job: sends the push, once. Run again after a crash it finds the intent submitting and calls it unknown: whether
    the prompt went out cannot be known, and a second one must only follow a second tap."""
    intent = _locked(UUID(event["intent_id"]))
    if intent.state == "submitting":
        intent.state = "unknown"
        _schedule_query(intent, 0)
    if intent.state != "created":
        return
    if clock.now() - intent.created_at > _SEND_FOR:
        # Whoever waited has been told so, and may have tapped again: two prompts would ring.
        intent.state, intent.code = "failed", "unreachable"
        return
    account = mpesa.find_account(intent.mpesa_account_id)
    app = mpesa.open_app(account)
    intent.state, intent.submitted_at = "submitting", clock.now()
    asked: dict[str, Any] = {
        "phone": intent.phone,
        "amount_cents": intent.amount_cents,
        "callback_url": mpesa.hook_url("s", intent.tenant_id, intent.token or ""),
        "reference": intent.reference,
        "description": intent.description,
    }
    account_id, intent_id = account.id, intent.id
    turn: dict[str, Any] = {"in_line": bool(event.get("in_line")), "patience_seconds": _time_left(intent)}

    def push(token: str) -> daraja.Accepted | daraja.NotAccepted:
        failpoint("cp6.before")
        answer = daraja.stk_push(app, token, now=clock.now(), **asked)
        failpoint("cp6.after")
        return answer

    answer = yield lambda: mpesa.call(account_id, app, push, kind="stk", **turn)
    failpoint("cp7.before")
    _record_push(_locked(intent_id), answer)
    failpoint("cp7.after")


def _record_push(intent: PaymentIntent, answer: daraja.Accepted | daraja.NotAccepted) -> None:
    if isinstance(answer, daraja.Accepted):
        intent.merchant_request_id, intent.answered_at = answer.merchant_request_id, clock.now()
        # The callback may have come first, and told us the id.
        intent.checkout_request_id = intent.checkout_request_id or answer.checkout_request_id
        if intent.state == "submitting":
            intent.state = "pending"
        mpesa.note_works(intent.mpesa_account_id, paid=False)
        _schedule_query(intent, 0)
        return
    if intent.state != "submitting":
        return
    verdict = answer.meaning.verdict
    if not answer.sent and verdict is Verdict.UNKNOWN:
        _send_later(intent, answer)
    elif verdict in {Verdict.CONFIG, Verdict.FINAL, Verdict.WAIT}:
        intent.state = "failed"
        intent.code = "config" if answer.meaning.fix else {60: "1001"}.get(answer.meaning.wait_seconds, answer.code)
        mpesa.note_fault(intent.mpesa_account_id, answer.meaning.fix)
    else:
        intent.state, intent.code = "unknown", answer.code[:40]
        _schedule_query(intent, 0)


def _send_later(intent: PaymentIntent, answer: daraja.NotAccepted) -> None:
    """Nothing was sent: there is no token, or our gate keeps it back. Tried again for a minute, while the customer
    waits; what cannot go out within that fails now, not then."""
    intent.submitted_at = None
    wait = answer.wait_seconds or 3.0
    if wait > _time_left(intent):
        intent.state, intent.code = "failed", answer.code if answer.code in _NEVER_SENT else "unreachable"
        if intent.code == "busy":
            _turn_away(intent)
        return
    intent.state, intent.code = "created", answer.code
    later = clock.now() + timedelta(seconds=wait)
    payload = {"intent_id": str(intent.id), "in_line": answer.code == "busy"}
    outbox.put(Queue.DARAJA, "send_stk", f"{intent.id}:{ids.new_id()}", payload, run_at=later)


def _turn_away(last: PaymentIntent) -> None:
    """The line of this account is full for a minute: whoever asked before and has no place in it gets none in time, and
    is told so together. A flood of thousands then costs a few statements, and no other tenant's worker."""
    db.session.flush()
    doomed = (
        select(PaymentIntent.id)
        .where(
            PaymentIntent.mpesa_account_id == last.mpesa_account_id,
            PaymentIntent.state == "created",
            PaymentIntent.code.is_(None),
            PaymentIntent.created_at <= last.created_at,
        )
        .limit(_TURNED_AWAY_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    gone = db.session.scalars(
        update(PaymentIntent)
        .where(PaymentIntent.id.in_(doomed))
        .values(state="failed", code="busy")
        .returning(PaymentIntent.id)
        .execution_options(synchronize_session=False)
    ).all()
    outbox.drop("send_stk", [str(intent_id) for intent_id in gone], "busy")


def _time_left(intent: PaymentIntent) -> float:
    return (intent.created_at + _SEND_FOR - clock.now()).total_seconds()


def _schedule_query(intent: PaymentIntent, number: int) -> None:
    _ask_at(intent, "", number, intent.submitted_at or intent.created_at)


def chase_claim(intent: PaymentIntent, earlier_claims: int) -> None:
    """Asks Daraja about a success that was claimed and is not taken on its word: now, and at the chaser's times from
    now on, whatever was asked before. Whoever knows the token may claim for ever; so often nobody is asked."""
    began = clock.now() - timedelta(seconds=QUERY_AFTER[0])
    _ask_at(intent, f":claim {min(earlier_claims, _MOST_CLAIMS)}", 0, began)


def _ask_at(intent: PaymentIntent, chain: str, number: int, began: datetime) -> None:
    """The next question of a chain of them; each chain has keys of its own."""
    if number < len(QUERY_AFTER):
        outbox.put(
            Queue.DARAJA,
            "query_stk",
            f"{intent.id}{chain}:{number}",
            {"intent_id": str(intent.id), "number": number, "chain": chain, "began": began.isoformat()},
            run_at=began + timedelta(seconds=QUERY_AFTER[number]),
        )


def query_stk(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, daraja.QueryResult | None]:
    """The chaser: asks about a push that nobody has answered. Harmless however often it runs.

    Returns the answer where it proves a payment, for whoever settles; None otherwise.
    """
    intent = _locked(UUID(event["intent_id"]))
    if intent.state not in {*OPEN, "paid_no_receipt"}:
        return None
    number, chain = int(event["number"]), event.get("chain", "")
    if number + 1 >= len(QUERY_AFTER) and intent.state != "paid_no_receipt":
        # A claim that nobody could prove in a day is for a person to look at.
        intent.state = "review" if chain else "expired"
    if chain:
        _ask_at(intent, chain, number + 1, datetime.fromisoformat(event["began"]))
    else:
        _schedule_query(intent, number + 1)
    if intent.checkout_request_id is None or intent.state in {"expired", "review"}:
        return None
    account = mpesa.find_account(intent.mpesa_account_id)
    app, account_id, checkout, intent_id = mpesa.open_app(account), account.id, intent.checkout_request_id, intent.id
    in_line = bool(event.get("in_line"))
    answer = yield lambda: mpesa.call(
        account_id,
        app,
        lambda token: daraja.stk_query(app, token, checkout, now=clock.now()),
        kind="query",
        in_line=in_line,
    )
    intent = _locked(intent_id)
    if isinstance(answer, daraja.NotAccepted) and answer.wait_seconds:
        _query_later(event, answer)
        return None
    intent.queries += 1
    return _weigh(intent, answer)


def _query_later(event: dict[str, Any], answer: daraja.NotAccepted) -> None:
    """Our gate kept the question back: asked at the moment that it gave, unless the next question comes before."""
    number, later = int(event["number"]), clock.now() + timedelta(seconds=answer.wait_seconds)
    began = datetime.fromisoformat(event["began"])
    if number + 1 < len(QUERY_AFTER) and began + timedelta(seconds=QUERY_AFTER[number + 1]) <= later:
        return
    key = f"{event['intent_id']}{event.get('chain', '')}:{number}:{ids.new_id()}"
    payload = {**event, "in_line": answer.code == "busy"}
    outbox.put(Queue.DARAJA, "query_stk", key, payload, run_at=later)


def _weigh(intent: PaymentIntent, answer: daraja.QueryResult | daraja.NotAccepted) -> daraja.QueryResult | None:
    """A no ends the attempt only when it is late enough to be believed, and never undoes a yes."""
    if not isinstance(answer, daraja.QueryResult):
        return None
    if answer.meaning.verdict is Verdict.SUCCESS:
        return answer
    if intent.state not in OPEN:
        return None
    age = (clock.now() - (intent.submitted_at or intent.created_at)).total_seconds()
    if answer.meaning.verdict in {Verdict.FINAL, Verdict.WAIT, Verdict.CONFIG}:
        if classify.is_late_enough(answer.code, age):
            intent.state, intent.code = "failed", answer.code
            mpesa.note_fault(intent.mpesa_account_id, answer.meaning.fix)
    elif answer.meaning.verdict is Verdict.REVIEW:
        intent.state, intent.code = "review", answer.code[:40]
    return None


def _locked(intent_id: UUID) -> PaymentIntent:
    return db.session.scalars(
        select(PaymentIntent)
        .where(PaymentIntent.id == intent_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def latest_intent(purchase_id: UUID) -> PaymentIntent | None:
    """The newest attempt to pay for something."""
    query = select(PaymentIntent).where(PaymentIntent.purchase_id == purchase_id)
    return db.session.scalar(query.order_by(PaymentIntent.id.desc()).limit(1))
