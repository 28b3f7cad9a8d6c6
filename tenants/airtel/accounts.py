"""A tenant's Airtel Money account: the one that takes payments, its tokens, and calls with them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update

from config import Settings
from tenants.airtel import api
from tenants.airtel.models import AirtelAccount
from tenants.airtel.refusals import NotReady
from tenants.gateway import Meaning, NotAccepted, Verdict
from tenants.tokens import shared_token
from wavu import audit, clock, ids
from wavu.db import assert_no_transaction, db
from wavu.errors import N_, NotFound

Answer = TypeVar("Answer")

# Tokens are seen to live three minutes (docs/airtel.md 2).
_SPARE = timedelta(seconds=30)

# What the tenant reads when an answer of Airtel's names a thing that only they can mend.
FIXES = {
    "keys": N_("The client id or secret is wrong: copy both again from your application in Airtel's developer portal."),
    "wallet": N_("Your application has no wallet yet: set one for it in Airtel's developer portal."),
    "country": N_("Your application is not approved for Kenya: ask Airtel to turn it on."),
    "signing": N_(
        "Airtel wants each request of your application signed: turn message signing off in Airtel's developer portal."
    ),
}


def active_account() -> AirtelAccount:
    """The account that takes the current tenant's payments. Raises NotReady."""
    account = db.session.scalar(select(AirtelAccount).where(AirtelAccount.state == "on"))
    if account is None:
        raise NotReady
    return account


def add_account(
    *, environment: str, merchant_number: str, client_id: str, client_secret: str, hash_key: str | None = None
) -> AirtelAccount:
    """Gives the current tenant an account that takes payments at once: for commands, not for pages. Audited."""
    token = secrets.token_hex(32)
    account = AirtelAccount(
        id=ids.new_id(), environment=environment, merchant_number=merchant_number, state="on",
        hook_fingerprint=ids.fingerprint(token),
    )  # fmt: skip
    account.hook_token = token
    account.client_id, account.client_secret = client_id, client_secret
    if hash_key is not None:
        account.hash_key = hash_key
    db.session.add(account)
    db.session.flush()
    audit.record("airtel.account_added", subject=account.id, account=account.label)
    return account


def list_accounts() -> list[AirtelAccount]:
    """The current tenant's, but for those that are gone: that which takes payments first."""
    query = select(AirtelAccount).where(AirtelAccount.state != "gone")
    order = {"on": 0, "off": 1, "waiting": 2, "draft": 3}
    return sorted(db.session.scalars(query.order_by(AirtelAccount.created_at)), key=lambda each: order[each.state])


def find_account(account_id: UUID) -> AirtelAccount:
    return db.session.scalars(select(AirtelAccount).where(AirtelAccount.id == account_id)).one()


def get_account(account_id: UUID) -> AirtelAccount:
    """Raises NotFound, for another tenant's too."""
    account = db.session.scalar(select(AirtelAccount).where(AirtelAccount.id == account_id))
    if account is None or account.state == "gone":
        raise NotFound
    return account


def by_token(token: str) -> AirtelAccount | None:
    """The current tenant's account to which a callback's address belongs, whatever has become of the account."""
    query = select(AirtelAccount).where(AirtelAccount.hook_fingerprint == ids.fingerprint(token))
    return db.session.scalar(query)


def note_callback(account: AirtelAccount) -> None:
    """Airtel has called: its portal knows our address."""
    if account.called_back_at is None:
        account.called_back_at = clock.now()


def callback_url(account: AirtelAccount) -> str:
    """What its owner enters at Airtel's developer portal."""
    settings: Settings = current_app.extensions["settings"]
    host = settings.origin(f"hooks.{settings.platform_domain}")
    return f"{host}/h/a/{account.tenant_id}/{account.hook_token}"


def open_app(account: AirtelAccount) -> api.App:
    """The account with its secrets opened, for one call. Raises NotReady where its environment is not to be had."""
    settings: Settings = current_app.extensions["settings"]
    base = {
        "rehearsal": settings.airtel_rehearsal_url,
        "staging": settings.airtel_staging_url,
        "production": settings.airtel_production_url,
    }[account.environment]
    if base is None or account.client_id is None or account.client_secret is None:
        raise NotReady
    return api.App(base, account.client_id, account.client_secret)


def call(account_id: UUID, app: api.App, request: Callable[[str], Answer | NotAccepted]) -> Answer | NotAccepted:
    """One request with the shared token; once more with a fresh one where Airtel refused that, since it refuses before
    anything is executed. Call outside a transaction."""
    assert_no_transaction("Airtel")
    token = _token(account_id, app)
    for _ in range(2):
        if isinstance(token, NotAccepted):
            return token
        answer = request(token)
        if not isinstance(answer, NotAccepted) or answer.meaning.verdict is not Verdict.TOKEN:
            return answer
        token = _token(account_id, app, not_this=token)
    return NotAccepted(Meaning(Verdict.CONFIG, fix="country"), "token", sent=False)


def _token(account_id: UUID, app: api.App, *, not_this: str | None = None) -> str | NotAccepted:
    return shared_token(
        AirtelAccount,
        account_id,
        lambda: api.fetch_token(app),
        spare=_SPARE,
        on_refusal=lambda got: note_fault(account_id, got.meaning.fix),
        not_this=not_this,
    )


def note_fault(account_id: UUID, fix: str | None) -> None:
    """Says on an account that takes payments what the tenant must mend, if it is that."""
    words = FIXES.get(fix) if fix else None
    if words is not None:
        db.session.execute(
            update(AirtelAccount)
            .where(AirtelAccount.id == account_id, AirtelAccount.state == "on",
                   AirtelAccount.fault.is_distinct_from(words))
            .values(fault=words, fault_since=clock.now())
        )  # fmt: skip


def note_works(account_id: UUID) -> None:
    """A prompt was accepted: nothing that we have words for is wrong any more."""
    db.session.execute(
        update(AirtelAccount)
        .where(AirtelAccount.id == account_id, AirtelAccount.fault.is_not(None))
        .values(fault=None, fault_since=None)
    )
