"""Setting an account up: each value is tried without moving money, in an order in which one wrong value cannot hide
behind another (build sheet 20.6).

`keys`: an access token. `organisation`: whose number it is, for the owner to confirm. `passkey`: a question about a
push that never was; Daraja looks at the passkey before it looks for the push (an inference from its error table). Then,
once the owner has confirmed: `urls` and `pull`, which tell M-Pesa where to report payments made by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants.account_changes import AlreadyInUse, ChangeWaiting, NotTested
from tenants.gateway import Verdict
from tenants.mpesa import daraja, services
from tenants.mpesa.accounts import call, find_account, open_app, same_numbers
from tenants.mpesa.hooks import hook_url, token_of
from tenants.mpesa.models import MpesaAccount, MpesaChange, MpesaCheck
from wavu import audit, clock, ids, outbox
from wavu.db import db
from wavu.outbox import Queue

BEFORE, AFTER = ("keys", "organisation", "passkey"), ("urls", "pull")
STEPS = (*BEFORE, *AFTER)
# Its form is that of a real one; there can be no push of that second to nobody.
_NO_PUSH = "ws_CO_01012000000000000000000000"
# Our own gate may keep a step back for so long; then the owner is asked to try again.
_PATIENCE_SECONDS = 20


class Found(NamedTuple):
    """What a step found. `state` as in MpesaCheck; `code` names the value that is wrong, or why it was not tried."""

    state: str
    code: str | None = None
    facts: dict[str, Any] = {}  # noqa: RUF012 - never changed
    wait_seconds: float = 0.0


class Numbers(NamedTuple):
    """What one types from Safaricom's letters. For a PayBill both numbers are alike."""

    environment: str
    kind: str
    business_short_code: str
    party_b: str


def start_draft(
    numbers: Numbers, *, contact_email: str | None, key: str | None, secret: str | None, passkey: str | None,
    like: MpesaAccount | None = None,
) -> MpesaAccount:  # fmt: skip
    """An account that takes no payments yet. A secret that is None is the one of `like`. Raises NotTested where there
    is neither."""
    account = MpesaAccount(id=ids.new_id(), active=False, draft=True)
    fill_draft(account, numbers, contact_email=contact_email, key=key, secret=secret, passkey=passkey, like=like)
    db.session.add(account)
    db.session.flush()
    audit.record("mpesa.draft_started", subject=account.id, shortcode=numbers.party_b)
    return account


def fill_draft(
    account: MpesaAccount, numbers: Numbers, *, contact_email: str | None, key: str | None, secret: str | None,
    passkey: str | None, like: MpesaAccount | None = None,
) -> None:  # fmt: skip
    """Types over a draft. Raises AlreadyInUse for an account that takes payments or has had its time, and ChangeWaiting
    for one that others were told of: what takes effect is what they were shown."""
    if not account.draft:
        raise AlreadyInUse
    told = select(MpesaChange.id).where(MpesaChange.account_id == account.id, MpesaChange.state == "waiting")
    if db.session.scalar(told) is not None:
        raise ChangeWaiting
    like = like or account
    account.environment, account.kind, account.business_short_code, account.party_b = numbers
    account.contact_email, account.organisation = contact_email, None
    for name, typed in (("consumer_key", key), ("consumer_secret", secret), ("passkey", passkey)):
        value = typed or (getattr(like, name) if getattr(like, f"{name}_sealed", None) is not None else None)
        if value is None:
            raise NotTested
        setattr(account, name, value)
    account.token, account.token_expires_at, account.keys_set_at = None, None, clock.now()


def start_checks(account: MpesaAccount, steps: tuple[str, ...], phone: str | None = None) -> None:
    """Has these steps tried, one after another, after the running transaction. `phone`, E.164, is the one that Pull
    wants to know."""
    if not account.draft:
        raise AlreadyInUse
    account.token_expires_at = None
    for step in steps:
        values: dict[str, Any] = {"state": "waiting", "code": None, "facts": {}, "checked_at": None}
        db.session.execute(
            insert(MpesaCheck)
            .values(id=ids.new_id(), tenant_id=func.app.tenant_id(), account_id=account.id, step=step, **values)
            .on_conflict_do_update(index_elements=["tenant_id", "account_id", "step"], set_=values)
        )
    _put({"account_id": str(account.id), "steps": list(steps), "phone": phone})


def _put(payload: dict[str, Any], wait_seconds: float = 0) -> None:
    run_at = clock.now() + timedelta(seconds=wait_seconds) if wait_seconds else None
    outbox.put(Queue.DARAJA, "check_mpesa", str(ids.new_id()), payload, run_at=run_at)


def checks_of(account_id: UUID) -> dict[str, MpesaCheck]:
    """By step, of those that were begun."""
    query = select(MpesaCheck).where(MpesaCheck.account_id == account_id)
    return {check.step: check for check in db.session.scalars(query.execution_options(populate_existing=True))}


def confirm_organisation(account: MpesaAccount, phone: str) -> None:
    """The owner says that the name that was found is theirs: M-Pesa is told where to report. Raises NotTested."""
    checks = checks_of(account.id)
    if not _passed(checks, BEFORE):
        raise NotTested
    account.organisation = checks["organisation"].facts.get("name")
    audit.record("mpesa.organisation_confirmed", subject=account.id, name=account.organisation or account.party_b)
    start_checks(account, AFTER, phone)


def is_tested(account: MpesaAccount) -> bool:
    """Whether nothing is known to be wrong with it, and its own values are known to be right."""
    return _passed(checks_of(account.id), BEFORE)


def _passed(checks: dict[str, MpesaCheck], steps: tuple[str, ...]) -> bool:
    return all(step in checks and checks[step].state in {"ok", "skipped"} for step in steps)


def check_mpesa(event: dict[str, Any]) -> Generator[Callable[[], Found], Found, None]:
    """Job: one step, and the next is put. Asks outside once; twice is harmless."""
    account, (step, *later) = find_account(UUID(event["account_id"])), event["steps"]
    checks = checks_of(account.id)
    if not account.draft or step not in checks or checks[step].state != "waiting":
        return
    found = yield _ASK[step](account, event)
    if 0 < found.wait_seconds <= _PATIENCE_SECONDS:
        _put({**event, "in_line": True}, found.wait_seconds)
        return
    checks = checks_of(UUID(event["account_id"]))
    _note(checks[step], found)
    if step == "keys" and found.state != "ok":
        # Without a token nothing else can be asked.
        for other in later:
            _note(checks[other], Found("skipped", "no_token"))
    elif later:
        _put({"account_id": event["account_id"], "steps": later, "phone": event["phone"]})


def _note(check: MpesaCheck, found: Found) -> None:
    check.state, check.code, check.facts, check.checked_at = found.state, found.code, found.facts, clock.now()


def _unknown(answer: daraja.NotAccepted) -> Found:
    return Found("unknown", answer.code if answer.code in {"down", "busy"} else "no_answer", {}, answer.wait_seconds)


def _try_keys(account: MpesaAccount, event: dict[str, Any]) -> Callable[[], Found]:
    account_id, app, in_line = account.id, open_app(account), bool(event.get("in_line"))

    def ask() -> Found:
        answer = call(account_id, app, lambda _token: None, in_line=in_line)
        if answer is None:
            return Found("ok")
        return Found("wrong", "keys") if answer.meaning.fix == "consumer_key" else _unknown(answer)

    return ask


def _try_organisation(account: MpesaAccount, event: dict[str, Any]) -> Callable[[], Found]:
    account_id, app, in_line = account.id, open_app(account), bool(event.get("in_line"))

    def ask() -> Found:
        answer: services.Organisation | services.NotAvailable | daraja.NotAccepted
        answer = call(account_id, app, lambda token: services.organisation_name(app, token), in_line=in_line)
        if isinstance(answer, services.Organisation):
            return Found("ok", None, {"name": answer.name})
        if isinstance(answer, services.NotAvailable) or answer.meaning.fix == "product":
            return Found("skipped", "no_product")
        return Found("wrong", "number") if answer.meaning.verdict is Verdict.FINAL else _unknown(answer)

    return ask


def _try_passkey(account: MpesaAccount, event: dict[str, Any]) -> Callable[[], Found]:
    account_id, app, in_line = account.id, open_app(account), bool(event.get("in_line"))

    def ask() -> Found:
        answer = call(
            account_id,
            app,
            lambda token: daraja.stk_query(app, token, _NO_PUSH, now=clock.now()),
            kind="query",
            in_line=in_line,
        )
        if isinstance(answer, daraja.Answer) or (answer.code == "400.002.02" and answer.meaning.fix == "request"):
            return Found("ok")
        wrong = {"passkey": "passkey", "shortcode": "shortcode", "product": "no_express"}.get(answer.meaning.fix or "")
        return Found("wrong", wrong) if wrong else _unknown(answer)

    return ask


def _try_urls(account: MpesaAccount, event: dict[str, Any]) -> Callable[[], Found]:
    if _is_renewal(account):
        return lambda: Found("skipped", "kept")
    account_id, app, in_line = account.id, open_app(account), bool(event.get("in_line"))
    token = token_of(account)
    confirmation, validation = (hook_url(kind, account.tenant_id, token) for kind in "cv")

    def ask() -> Found:
        answer = call(
            account_id,
            app,
            lambda token: daraja.register_urls(app, token, confirmation=confirmation, validation=validation),
            in_line=in_line,
        )
        return _of_registering(answer, "urls")

    return ask


def _try_pull(account: MpesaAccount, event: dict[str, Any]) -> Callable[[], Found]:
    if _is_renewal(account):
        return lambda: Found("skipped", "kept")
    account_id, app, in_line = account.id, open_app(account), bool(event.get("in_line"))
    phone, url = str(event["phone"]), hook_url("c", account.tenant_id, token_of(account))

    def ask() -> Found:
        answer = call(
            account_id,
            app,
            lambda token: daraja.register_pull(app, token, phone=phone, callback_url=url),
            in_line=in_line,
        )
        return _of_registering(answer, "pull")

    return ask


def _of_registering(answer: daraja.NotAccepted | None, what: str) -> Found:
    """Payments by prompt work without either: what M-Pesa does not take here is no wrong value."""
    if answer is None:
        return Found("ok")
    if answer.meaning.fix == "urls":
        return Found("skipped", "registered_elsewhere")
    if answer.meaning.verdict in {Verdict.FINAL, Verdict.CONFIG}:
        return Found("skipped", f"no_{what}")
    return _unknown(answer)


def _is_renewal(account: MpesaAccount) -> bool:
    """Another row of ours has these numbers: what M-Pesa was told stays as it is."""
    known = same_numbers(account)
    return known is not None and known.urls_registered_at is not None


_ASK = {
    "keys": _try_keys,
    "organisation": _try_organisation,
    "passkey": _try_passkey,
    "urls": _try_urls,
    "pull": _try_pull,
}


def note_registered(account: MpesaAccount) -> None:
    """Writes onto the account what its steps have registered."""
    checks, now = checks_of(account.id), clock.now()
    if "urls" in checks and checks["urls"].state == "ok":
        account.urls_registered_at = now
    if "urls" in checks and checks["urls"].code == "registered_elsewhere":
        account.hook_answer = "500.003.1001"
    if "pull" in checks and checks["pull"].state == "ok":
        account.pull_registered_at = now
