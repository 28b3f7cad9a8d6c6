"""A prompt: ask a phone for money, chase the answer, and never mistake silence for a no. The same for every gateway
(tenants.gateway), M-Pesa's STK push or Airtel Money's USSD push; the jobs keep the name of the first.

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
from tenants.gateway import Accepted, Account, Answer, NotAccepted, Prompt, Verdict
from tenants.payments import gateways
from tenants.payments.events import StkAsked, UssdAsked
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
# The code of an attempt that was withdrawn.
_REPLACED = "replaced"
_NEVER_SENT = {"config", "unreachable", "busy", "down", _REPLACED}
_MOST_CLAIMS = 4
_TURNED_AWAY_AT_ONCE = 1000
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

_PROMPTS_TO = text("SELECT in_ten_minutes, in_a_day FROM app.prompts_to(:phone, :at)")

Call = Generator[Callable[[], Any], Any, None]


def request_stk(
    *, purchase_id: UUID, subscriber_id: UUID, phone: Phone, amount_cents: int, description: str,
    account: Account | None = None,
) -> PaymentIntent:  # fmt: skip
    """Asks for a payment: the intent and the job that sends it, in the running transaction.

    To `account`, or to the M-Pesa account that takes payments. Raises NotReady, PromptOpen or TooManyPrompts. Nothing
    is sent unless the transaction commits.
    """
    account = account or mpesa.active_account()
    _check_pace(phone, amount_cents, account.provider)
    token = secrets.token_hex(32)
    gateway = gateways.GATEWAYS[account.provider]
    intent = PaymentIntent(
        id=ids.new_id(),
        provider=account.provider,
        **{f"{account.provider}_account_id": account.id},
        # Known before anything is sent: whoever dies in between can be asked about.
        checkout_request_id="W" + _letters(19) if gateway.names_itself else None,
        subscriber_id=subscriber_id,
        purchase_id=purchase_id,
        phone=phone.e164,
        amount_cents=amount_cents,
        # Letters and digits only, at most 12: other characters have broken requests (build sheet 2.7, 4).
        reference="W" + _letters(9),
        description=_plain(description)[:13] or "Internet",
        token_fingerprint=ids.fingerprint(token),
    )
    intent.token = token
    db.session.add(intent)
    db.session.flush()
    if account.provider == "mpesa":
        announce(StkAsked(intent_id=intent.id))
    else:
        announce(UssdAsked(intent_id=intent.id))
    return intent


def _letters(number: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(number))


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter == " ")).strip()


def _check_pace(phone: Phone, amount_cents: int, provider: str) -> None:
    """One live prompt per phone and gateway, a minute between two, two for the same amount, three in ten minutes; and a
    limit on what all ISPs together may ask of one phone. Another gateway may be tried at once: the one may be down."""
    now = clock.now()
    # One at a time per phone: two taps on two devices must not both find the way free.
    key = func.hashtextextended(f"{current_tenant_id()}{phone.e164}", 17)
    db.session.execute(select(func.pg_advisory_xact_lock(key)))
    recent = db.session.scalars(
        select(PaymentIntent)
        .where(PaymentIntent.phone == phone.e164, PaymentIntent.created_at > now - timedelta(minutes=10))
        .order_by(PaymentIntent.created_at.desc())
    ).all()
    for intent in (each for each in recent if each.provider == provider):
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
    gateway = gateways.GATEWAYS[intent.provider]
    told = gateway.meaning(intent.code).wait_seconds if intent.state == "failed" and intent.code else 0
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
    gateway = gateways.of(intent)
    asked = Prompt(
        intent.phone,
        intent.amount_cents,
        intent.checkout_request_id if gateway.names_itself else None,
        intent.reference,
        intent.description,
        mpesa.hook_url("s", intent.tenant_id, intent.token or ""),
    )
    ask = gateway.prompt(
        intent.account_id, asked, in_line=bool(event.get("in_line")), patience_seconds=_time_left(intent)
    )
    intent.state, intent.submitted_at, intent_id = "submitting", clock.now(), intent.id
    answer = yield ask
    failpoint("cp7.before")
    _record_push(_locked(intent_id), answer)
    failpoint("cp7.after")


def _record_push(intent: PaymentIntent, answer: Accepted | NotAccepted) -> None:
    gateway = gateways.of(intent)
    if isinstance(answer, Accepted):
        intent.merchant_request_id, intent.answered_at = answer.merchant_request_id, clock.now()
        # The callback may have come first, and told us the id.
        intent.checkout_request_id = intent.checkout_request_id or answer.checkout_request_id
        if intent.state == "submitting":
            intent.state = "pending"
        gateway.note_works(intent.account_id, paid=False)
        _schedule_query(intent, 0)
        return
    if intent.state != "submitting":
        return
    verdict = answer.meaning.verdict
    if not answer.sent and verdict is Verdict.UNKNOWN:
        _send_later(intent, answer)
    elif verdict in {Verdict.CONFIG, Verdict.FINAL, Verdict.WAIT}:
        intent.state = "failed"
        intent.code = (
            "config" if answer.meaning.fix else {60: "1001"}.get(answer.meaning.wait_seconds, answer.code)[:40]
        )
        gateway.note_fault(intent.account_id, answer.meaning.fix)
    else:
        intent.state, intent.code = "unknown", answer.code[:40]
        _schedule_query(intent, 0)


def _send_later(intent: PaymentIntent, answer: NotAccepted) -> None:
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
    outbox.put(_queue(intent), "send_stk", f"{intent.id}:{ids.new_id()}", payload, run_at=later)


def _queue(intent: PaymentIntent) -> Queue:
    """Each gateway has its own: one that hangs holds up no call to another."""
    return Queue.DARAJA if intent.provider == "mpesa" else Queue.AIRTEL


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
    """Asks the gateway about a success that was claimed and is not taken on its word: now, and at the chaser's times
    from now on, whatever was asked before. Whoever knows the token may claim for ever; so often nobody is asked."""
    began = clock.now() - timedelta(seconds=gateways.of(intent).asks_after[0])
    _ask_at(intent, f":claim {min(earlier_claims, _MOST_CLAIMS)}", 0, began)


def ask_once(intent: PaymentIntent) -> None:
    """Asks the gateway now about a no that is not taken on its word; the chaser's own times stay as they are."""
    payload = {"intent_id": str(intent.id), "number": 0, "once": True, "began": clock.now().isoformat()}
    outbox.put(_queue(intent), "query_stk", f"{intent.id}:once", payload)


def _ask_at(intent: PaymentIntent, chain: str, number: int, began: datetime) -> None:
    """The next question of a chain of them; each chain has keys of its own."""
    asks_after = gateways.of(intent).asks_after
    if number < len(asks_after):
        outbox.put(
            _queue(intent),
            "query_stk",
            f"{intent.id}{chain}:{number}",
            {"intent_id": str(intent.id), "number": number, "chain": chain, "began": began.isoformat()},
            run_at=began + timedelta(seconds=asks_after[number]),
        )


def withdraw(intent_id: UUID) -> None:
    """Ends an attempt of which nothing was sent yet: its customer asks in another way, and shall not be asked twice.
    One that is on its way goes on."""
    intent = _locked(intent_id)
    if intent.state == "created":
        intent.state, intent.code = "failed", _REPLACED
        db.session.flush()


def query_stk(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, Answer | None]:
    """The chaser: asks about a push that nobody has answered. Harmless however often it runs.

    Returns the answer where it proves a payment, for whoever settles; None otherwise.
    """
    intent = _locked(UUID(event["intent_id"]))
    if intent.state not in {*OPEN, "paid_no_receipt"}:
        return None
    gateway = gateways.of(intent)
    if not event.get("once"):
        _go_on_asking(intent, event, len(gateway.asks_after))
    if intent.checkout_request_id is None or intent.state in {"expired", "review"}:
        return None
    intent_id = intent.id
    answer = yield gateway.query(intent.account_id, intent.checkout_request_id, in_line=bool(event.get("in_line")))
    intent = _locked(intent_id)
    if isinstance(answer, NotAccepted) and answer.wait_seconds:
        _query_later(intent, event, answer)
        return None
    intent.queries += 1
    return _weigh(intent, answer)


def _go_on_asking(intent: PaymentIntent, event: dict[str, Any], most: int) -> None:
    """Puts the next question; after the last one an attempt is given up."""
    number, chain = int(event["number"]), event.get("chain", "")
    if number + 1 >= most and intent.state != "paid_no_receipt":
        # A claim that nobody could prove in a day is for a person to look at.
        intent.state = "review" if chain else "expired"
    if chain:
        _ask_at(intent, chain, number + 1, datetime.fromisoformat(event["began"]))
    else:
        _schedule_query(intent, number + 1)


def _query_later(intent: PaymentIntent, event: dict[str, Any], answer: NotAccepted) -> None:
    """Our gate kept the question back: asked at the moment that it gave, unless the next question comes before."""
    number, later = int(event["number"]), clock.now() + timedelta(seconds=answer.wait_seconds)
    began, asks_after = datetime.fromisoformat(event["began"]), gateways.of(intent).asks_after
    if number + 1 < len(asks_after) and began + timedelta(seconds=asks_after[number + 1]) <= later:
        return
    key = f"{event['intent_id']}{event.get('chain', '')}:{number}:{ids.new_id()}"
    payload = {**event, "in_line": answer.code == "busy"}
    outbox.put(_queue(intent), "query_stk", key, payload, run_at=later)


def _weigh(intent: PaymentIntent, answer: Answer | NotAccepted) -> Answer | None:
    """A no ends the attempt only when it is late enough to be believed, and never undoes a yes."""
    if not isinstance(answer, Answer):
        return None
    if answer.meaning.verdict is Verdict.SUCCESS:
        return answer
    if intent.state not in OPEN:
        return None
    age = (clock.now() - (intent.submitted_at or intent.created_at)).total_seconds()
    if answer.meaning.verdict in {Verdict.FINAL, Verdict.WAIT, Verdict.CONFIG}:
        gateway = gateways.of(intent)
        if gateway.believes_no(answer.code, age):
            intent.state, intent.code = "failed", answer.code[:40]
            gateway.note_fault(intent.account_id, answer.meaning.fix)
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
