"""Setting an account up: each value is tried without moving money.

`keys`: an access token. `application`: a status enquiry about a payment that never was; that Airtel looks for it, and
does not find it, says that the application has the Collection product, a wallet and Kenya (an inference from its table
of errors). What cannot be tried is the callback's address, which its owner enters in Airtel's portal: the first
callback shows it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import Any, NamedTuple
from uuid import UUID

from tenants.account_changes import AlreadyInUse, NotTested
from tenants.airtel import api
from tenants.airtel.accounts import call, find_account, open_app
from tenants.airtel.models import AirtelAccount
from tenants.gateway import Answer, NotAccepted, Verdict
from wavu import audit, clock, ids, outbox
from wavu.db import db
from wavu.outbox import Queue

STEPS = ("keys", "application")
# There can be no payment of that name.
_NO_PAYMENT = "W0000000000000000000"


class Values(NamedTuple):
    """What one types from Airtel's portal. A secret that is None is that of the account that is typed over."""

    environment: str
    merchant_number: str
    client_id: str | None
    client_secret: str | None
    hash_key: str | None
    contact_email: str | None


def start_draft(values: Values, like: AirtelAccount | None = None) -> AirtelAccount:
    """An account that takes no payments yet. Raises NotTested where a secret is missing."""
    token = secrets.token_hex(32)
    account = AirtelAccount(id=ids.new_id(), state="draft", hook_fingerprint=ids.fingerprint(token))
    account.hook_token = token
    fill_draft(account, values, like)
    db.session.add(account)
    db.session.flush()
    audit.record("airtel.draft_started", subject=account.id, account=account.label)
    return account


def fill_draft(account: AirtelAccount, values: Values, like: AirtelAccount | None = None) -> None:
    """Types over a draft. Raises AlreadyInUse for an account that is no draft: what others were told of stays."""
    if account.state != "draft":
        raise AlreadyInUse
    like = like or account
    account.environment, account.merchant_number = values.environment, values.merchant_number
    account.contact_email = values.contact_email
    for name, typed in (("client_id", values.client_id), ("client_secret", values.client_secret)):
        value = typed or (getattr(like, name) if getattr(like, f"{name}_sealed", None) is not None else None)
        if value is None:
            raise NotTested
        setattr(account, name, value)
    if values.hash_key is not None or like.hash_key_sealed is not None:
        account.hash_key = values.hash_key or like.hash_key
    account.token, account.token_expires_at, account.keys_set_at = None, None, clock.now()


def start_checks(account: AirtelAccount) -> None:
    """Has its values tried after the running transaction. Raises AlreadyInUse for an account that is no draft."""
    if account.state != "draft":
        raise AlreadyInUse
    account.token_expires_at = None
    account.checks = {step: {"state": "waiting", "code": None} for step in STEPS}
    outbox.put(Queue.AIRTEL, "check_airtel", str(ids.new_id()), {"account_id": str(account.id)})


def is_tested(account: AirtelAccount) -> bool:
    """Whether its values are known to be right."""
    return all(account.checks.get(step, {}).get("state") == "ok" for step in STEPS)


def check_airtel(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Job: tries both values with one enquiry. Twice is harmless."""
    account = find_account(UUID(event["account_id"]))
    if account.state != "draft" or not any(each["state"] == "waiting" for each in account.checks.values()):
        return
    account_id, app, asked_of = account.id, open_app(account), account.keys_set_at
    answer = yield lambda: call(account_id, app, lambda token: api.enquire(app, token, _NO_PAYMENT))
    account = find_account(account_id)
    if account.keys_set_at == asked_of and account.state == "draft":
        account.checks = _found(answer)


def _found(answer: Answer | NotAccepted) -> dict[str, Any]:
    """What the enquiry says of each step."""
    ok, later = {"state": "ok", "code": None}, {"state": "skipped", "code": "no_token"}
    if isinstance(answer, Answer):
        return {"keys": ok, "application": ok}
    fix = answer.meaning.fix
    if fix == "keys":
        return {"keys": {"state": "wrong", "code": "keys"}, "application": later}
    if fix is not None:
        return {"keys": ok, "application": {"state": "wrong", "code": fix}}
    nothing = {"state": "unknown", "code": "no_answer"}
    if not answer.sent or answer.meaning.verdict is Verdict.TOKEN:
        return {"keys": nothing, "application": later}
    return {"keys": ok, "application": nothing}
