"""A tenant's M-Pesa accounts and their access tokens: one token per app, shared by all processes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from flask import current_app
from sqlalchemy import or_, select, update

from config import Settings
from tenants.gateway import Meaning, Verdict
from tenants.mpesa import daraja
from tenants.mpesa.egress import gate
from tenants.mpesa.events import MpesaAccountAdded, MpesaFaultFound
from tenants.mpesa.models import MpesaAccount
from tenants.mpesa.pace import WEIGHTS
from tenants.mpesa.refusals import NotReady
from tenants.tokens import shared_token
from wavu import audit, clock, ids
from wavu.db import db
from wavu.errors import N_, NotFound
from wavu.events import announce
from wavu.tenancy import current_tenant

# A token is dropped two minutes before its end (build sheet 3).
_SPARE = timedelta(seconds=120)

Answer = TypeVar("Answer")

# What the tenant reads when an answer of Daraja names a thing that only they can mend.
FIXES = {
    "consumer_key": N_("The consumer key or secret is wrong: copy both again from your Daraja app."),
    "shortcode": N_("The shortcode is not known to this Daraja app: check the number and that the app has gone live."),
    "passkey": N_("The passkey does not fit the shortcode: paste the one that Safaricom mailed after go-live."),
    "product": N_("Your Daraja app lacks the M-Pesa Express product: add it in the Daraja portal."),
    "store_and_till": N_(
        "The store number and the till number do not belong together: check both, and PayBill or Till."
    ),
    "balance_limit": N_("Your M-Pesa account is full: move money to your bank."),
    "account_status": N_("Safaricom has restricted your M-Pesa account: call them."),
}
# An accepted push does not disprove these: only money that arrives does.
_MENDED_BY_MONEY = [FIXES[fix] for fix in ("store_and_till", "balance_limit", "account_status")]


def add_account(
    *, environment: str, kind: str, business_short_code: str, party_b: str, consumer_key: str, consumer_secret: str,
    passkey: str,
) -> MpesaAccount:  # fmt: skip
    """Gives the current tenant a PayBill (both numbers alike) or a Till (store number, till number)."""
    account = MpesaAccount(
        id=ids.new_id(), environment=environment, kind=kind, business_short_code=business_short_code, party_b=party_b
    )
    account.consumer_key, account.consumer_secret, account.passkey = consumer_key, consumer_secret, passkey
    db.session.add(account)
    db.session.flush()
    audit.record("mpesa.account_added", subject=account.id, environment=environment, shortcode=business_short_code)
    announce(MpesaAccountAdded(account.id))
    return account


def active_account() -> MpesaAccount:
    """The account that takes the current tenant's payments. Raises NotReady."""
    query = select(MpesaAccount).where(MpesaAccount.active).order_by(MpesaAccount.created_at).limit(1)
    account = db.session.scalar(query)
    if account is None:
        raise NotReady
    return account


def list_accounts() -> list[MpesaAccount]:
    """Those that take the current tenant's payments, oldest first."""
    return list(db.session.scalars(select(MpesaAccount).where(MpesaAccount.active).order_by(MpesaAccount.created_at)))


def all_accounts() -> list[MpesaAccount]:
    """Every account of the current tenant that takes payments or once did, those that do first."""
    query = select(MpesaAccount).where(MpesaAccount.draft.is_(False))
    return list(db.session.scalars(query.order_by(MpesaAccount.active.desc(), MpesaAccount.created_at)))


def find_account(account_id: UUID) -> MpesaAccount:
    return db.session.scalars(select(MpesaAccount).where(MpesaAccount.id == account_id)).one()


def get_account(account_id: UUID) -> MpesaAccount:
    """Raises NotFound, for another tenant's too."""
    account = db.session.scalar(select(MpesaAccount).where(MpesaAccount.id == account_id))
    if account is None:
        raise NotFound
    return account


def list_drafts() -> list[MpesaAccount]:
    """The current tenant's accounts that are being set up, oldest first."""
    return list(db.session.scalars(select(MpesaAccount).where(MpesaAccount.draft).order_by(MpesaAccount.created_at)))


def same_numbers(account: MpesaAccount) -> MpesaAccount | None:
    """The row that has taken payments for this account's numbers, now or once; None where these are new to us."""
    query = select(MpesaAccount).where(
        MpesaAccount.id != account.id,
        MpesaAccount.draft.is_(False),
        MpesaAccount.environment == account.environment,
        MpesaAccount.business_short_code == account.business_short_code,
        MpesaAccount.party_b == account.party_b,
        or_(MpesaAccount.active, MpesaAccount.urls_registered_at.is_not(None)),
    )
    return db.session.scalar(query.order_by(MpesaAccount.active.desc(), MpesaAccount.created_at).limit(1))


def open_app(account: MpesaAccount) -> daraja.App:
    """The account with its secrets opened, for one call."""
    settings: Settings = current_app.extensions["settings"]
    base = _hosts(settings)[account.environment]
    if base is None or account.consumer_key is None or account.consumer_secret is None or account.passkey is None:
        raise NotReady
    return daraja.App(
        base_url=base,
        business_short_code=account.business_short_code,
        party_b=account.party_b,
        kind=account.kind,
        key=account.consumer_key,
        secret=account.consumer_secret,
        passkey=account.passkey,
    )


def switch_standing_orders(account: MpesaAccount, *, on: bool) -> None:
    """Says whether the tenant has Safaricom's contract for standing orders at this account. Audited."""
    if account.standing_orders != on:
        account.standing_orders = on
        audit.record(f"mpesa.standing_orders_{'on' if on else 'off'}", subject=account.id, account=account.label)
        db.session.flush()


def note_fault(account_id: UUID, fix: str | None) -> None:
    """Says on the account what the tenant must mend, if it is that, and has the owners told when it is news."""
    words = FIXES.get(fix) if fix else None
    if words is None:
        return
    news = db.session.execute(
        update(MpesaAccount)
        .where(MpesaAccount.id == account_id, MpesaAccount.active, MpesaAccount.fault.is_distinct_from(words))
        .values(fault=words, fault_since=clock.now())
        .returning(MpesaAccount.id)
    )
    if news.first() is not None:
        announce(MpesaFaultFound(account_id, clock.local_date(clock.now(), current_tenant().timezone)))


def note_works(account_id: UUID, *, paid: bool) -> None:
    """A push was accepted, or even `paid`: whatever that disproves is no longer wrong."""
    disproved = MpesaAccount.fault.is_not(None) if paid else MpesaAccount.fault.not_in(_MENDED_BY_MONEY)
    db.session.execute(
        update(MpesaAccount).where(MpesaAccount.id == account_id, disproved).values(fault=None, fault_since=None)
    )


def call(
    account_id: UUID, app: daraja.App, request: Callable[[str], Answer | daraja.NotAccepted], *, kind: str = "other",
    in_line: bool = False, patience_seconds: float = 3600,
) -> Answer | daraja.NotAccepted:  # fmt: skip
    """One request with the shared token, if the gate lets it out; once more with a fresh token where Daraja refused
    that, since it refuses before anything is executed. Call outside a transaction; never waits for its turn: see
    NotAccepted.wait_seconds and Gate.admit for the rest.
    """
    turn = gate().admit(app.base_url, app.name, kind, in_line=in_line, patience_seconds=patience_seconds)
    if turn.wait_seconds:
        code = "down" if turn.down else "busy"
        return daraja.NotAccepted(Meaning(Verdict.UNKNOWN), code, sent=False, wait_seconds=turn.wait_seconds)
    token = _token(account_id, app)
    for _ in range(2):
        if isinstance(token, daraja.NotAccepted):
            return token
        answer = _heard(app, request(token))
        if not isinstance(answer, daraja.NotAccepted) or answer.meaning.verdict is not Verdict.TOKEN:
            return answer
        token = _token(account_id, app, not_this=token)
    return daraja.NotAccepted(Meaning(Verdict.CONFIG, fix="product"), "token", sent=False)


def _heard(app: daraja.App, answer: Answer | daraja.NotAccepted) -> Answer | daraja.NotAccepted:
    """Tells the gate whether Daraja answered or its firewall did. Silence tells neither."""
    code = answer.code if isinstance(answer, daraja.NotAccepted) else None
    if code not in {"no answer", "unreachable"}:
        gate().heard(app.base_url, code if code in WEIGHTS else None)
    return answer


def down_for() -> float:
    """Seconds for which nothing is sent to M-Pesa for the current tenant, since its firewall shuts us out; 0 while all
    is well. For pages: cheap, and a moment old at most.
    """
    settings: Settings = current_app.extensions["settings"]
    urls = {name: url for name, url in _hosts(settings).items() if url is not None and gate().down_for(url)}
    if not urls:
        return 0.0
    first = next(iter(list_accounts()), None)
    url = urls.get(first.environment) if first is not None else None
    return gate().down_for(url) if url is not None else 0.0


def _hosts(settings: Settings) -> dict[str, str | None]:
    return {
        "rehearsal": settings.daraja_rehearsal_url,
        "sandbox": settings.daraja_sandbox_url,
        "production": settings.daraja_production_url,
    }


def _token(account_id: UUID, app: daraja.App, *, not_this: str | None = None) -> str | daraja.NotAccepted:
    return shared_token(
        MpesaAccount,
        account_id,
        lambda: _heard(app, daraja.fetch_token(app)),
        spare=_SPARE,
        on_refusal=lambda got: note_fault(account_id, got.meaning.fix),
        not_this=not_this,
    )
