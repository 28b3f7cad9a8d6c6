"""The initiators of a tenant's accounts: kept sealed, never shown again, and frozen at the first refusal."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from config import Settings
from tenants.gateway import Meaning, Verdict
from tenants.mpesa import credential, initiator
from tenants.mpesa.accounts import find_account
from tenants.mpesa.events import InitiatorFaultFound, InitiatorPasswordAges, InitiatorSet
from tenants.mpesa.models import MpesaInitiator, MpesaRequest
from tenants.mpesa.refusals import InitiatorFrozen, InitiatorNotReady
from wavu import audit, clock, ids
from wavu.db import db
from wavu.errors import N_
from wavu.events import announce
from wavu.tenancy import current_tenant, current_tenant_id

# Build sheet 16: Safaricom's passwords live so long; the owner is told twice before.
PASSWORD_DAYS = 90
WARN_AFTER_DAYS = (75, 85)

# What the tenant reads when an answer of M-Pesa names a thing that only they can mend.
FIXES = {
    "initiator": N_(
        "M-Pesa refused the API initiator's name or password. Nothing more is sent in its name, so that M-Pesa does"
        " not lock it. Set a new password in the M-Pesa organisation portal, then enter it here."
    ),
    "initiator_role": N_(
        "The API initiator lacks a role for this: have your business administrator add it in the M-Pesa organisation"
        " portal."
    ),
    "initiator_shortcode": N_("This shortcode may not pay out: ask Safaricom to allow it."),
    "payout_funds": N_("There is too little money in the M-Pesa utility account: move some there, then try again."),
    "account_status": N_("Safaricom has restricted your M-Pesa account: call them."),
    "product": N_("Your Daraja app lacks a product that this needs: add it in the Daraja portal."),
}


class Age(NamedTuple):
    """How old an initiator's password is. `tone`: `ok`, `warn` or `bad`."""

    days_left: int
    tone: str


def set_initiator(
    account_id: UUID, *, name: str, password_set_on: date, password: str | None = None,
    certificate: str | None = None, ready: str | None = None,
) -> MpesaInitiator:  # fmt: skip
    """Gives an account its initiator, or new credentials for it: a password with a certificate (PEM; the one that is
    there, if none is given), or a `ready` SecurityCredential. Ends a freeze. Raises InitiatorNotReady where a password
    has no certificate.
    """
    found = initiator_of(account_id, lock=True) or MpesaInitiator(id=ids.new_id(), mpesa_account_id=account_id)
    found.name, found.password_set_on, found.set_at = name, password_set_on, clock.now()
    found.certificate = certificate or found.certificate
    if ready is None and found.certificate is None:
        raise InitiatorNotReady
    found.credential = ready
    found.password = password if ready is None else None
    found.fault = found.fault_api = found.fault_since = found.frozen_at = None
    db.session.add(found)
    db.session.flush()
    audit.record("mpesa.initiator_set", subject=account_id, name=name, account=find_account(account_id).label)
    announce(InitiatorSet(account_id, found.set_at.isoformat()))
    return found


def initiator_of(account_id: UUID, *, lock: bool = False) -> MpesaInitiator | None:
    query = select(MpesaInitiator).where(MpesaInitiator.mpesa_account_id == account_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return db.session.scalar(query)


def may_ask(account_id: UUID) -> bool:
    """Whether something can be asked in the name of an account's initiator: there is one, and M-Pesa does not refuse
    it."""
    found = initiator_of(account_id)
    return found is not None and found.frozen_at is None


def age(found: MpesaInitiator, today: date) -> Age:
    """Of its password, on a day where the tenant lives."""
    days = (today - found.password_set_on).days
    tone = "bad" if days >= WARN_AFTER_DAYS[1] else "warn" if days >= WARN_AFTER_DAYS[0] else "ok"
    return Age(max(0, PASSWORD_DAYS - days), tone)


def open_initiator(account_id: UUID, token: str) -> initiator.Initiator:
    """The initiator with its secret opened, for one request. Raises InitiatorNotReady or InitiatorFrozen."""
    found = initiator_of(account_id)
    if found is None:
        raise InitiatorNotReady
    if found.frozen_at is not None:
        raise InitiatorFrozen
    if found.credential is not None:
        secret = found.credential
    elif found.password is not None and found.certificate is not None:
        secret = credential.encrypt(found.password, found.certificate)
    else:
        raise InitiatorNotReady
    settings: Settings = current_app.extensions["settings"]
    hooks, tenant = settings.origin(f"hooks.{settings.platform_domain}"), current_tenant_id()
    return initiator.Initiator(found.name, secret, f"{hooks}/h/r/{tenant}/{token}", f"{hooks}/h/q/{tenant}/{token}")


def note_outcome(request: MpesaRequest, meaning: Meaning) -> None:
    """What the outcome of a request says of its initiator: refused, frozen at once; without a role, or whatever else
    the tenant must mend, a fault; a success ends the fault of that API. Owners are told when it is news."""
    found = initiator_of(request.mpesa_account_id, lock=True)
    if found is None or request.created_at < found.set_at:
        return
    words = FIXES.get(meaning.fix) if meaning.fix else None
    if meaning.verdict is Verdict.SUCCESS and found.fault_api == request.api and found.frozen_at is None:
        found.fault = found.fault_api = found.fault_since = None
    if meaning.fix is None or words is None or found.frozen_at is not None:
        return
    now = clock.now()
    if meaning.fix == "initiator":
        found.frozen_at = now
        audit.record("mpesa.initiator_frozen", subject=request.mpesa_account_id, name=found.name)
    if found.fault != words:
        found.fault, found.fault_api, found.fault_since = words, request.api, now
        today = clock.local_date(now, current_tenant().timezone)
        announce(InitiatorFaultFound(request.mpesa_account_id, meaning.fix, today))


def watch_passwords(now: datetime) -> None:
    """Has the current tenant's owners told of each password that comes near its end, once at each of two ages."""
    today = clock.local_date(now, current_tenant().timezone)
    for found in db.session.scalars(select(MpesaInitiator)):
        reached = [days for days in WARN_AFTER_DAYS if today - found.password_set_on >= timedelta(days=days)]
        if reached:
            announce(InitiatorPasswordAges(found.mpesa_account_id, found.password_set_on, reached[-1]))
