"""Promotional credit: staff give it, it pays before money does, and it ends on its day.

It lies in an account of its own (`liab:promo:…`), so that no refund can ever reach it. Who may spend it: balance.py
says whose money a wallet shows, and a name of a purchase gives nobody credit. It pays for what its customer paid for
(with a PIN, or to their own account number), for a line's own packages, and for what staff sell or renew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import ledger
from tenants.checkout.models import PromoGrant, PromoSetting, PromoUse, Purchase
from tenants.ledger import Leg, NotEnoughMoney
from wavu import audit, clock, ids, money
from wavu.db import db, savepoint
from wavu.errors import N_, Refused

# What may be granted at once where the tenant has said nothing else.
MOST_CENTS = 50_000
LONGEST = timedelta(days=366)


class TooMuchPromo(Refused):
    message = N_("At most %(most)s of promotional credit may be given at once.")


class BadExpiry(Refused):
    message = N_("Promotional credit ends on a day between tomorrow and a year from now.")


def most_cents() -> int:
    """What the current tenant lets anybody grant at once."""
    found = db.session.scalar(select(PromoSetting.most_cents))
    return MOST_CENTS if found is None else found


def set_most(cents: int) -> None:
    """Audited."""
    db.session.execute(
        insert(PromoSetting)
        .values(id=ids.new_id(), tenant_id=func.app.tenant_id(), most_cents=cents, created_at=clock.now())
        .on_conflict_do_update(index_elements=["tenant_id"], set_={"most_cents": cents})
    )
    audit.record("promo.limit_set", amount=money.show(cents))


def grant(
    *, nonce: str, subscriber_id: UUID, amount_cents: int, reason: str, expires_at: datetime, by_id: UUID, by: str
) -> PromoGrant:
    """Gives a customer credit until an instant. The same nonce again is the same grant, whatever else it says. Audited.
    Raises TooMuchPromo or BadExpiry."""
    known = db.session.scalar(select(PromoGrant).where(PromoGrant.nonce == nonce))
    if known is not None:
        return known
    most = most_cents()
    if not 0 < amount_cents <= most:
        raise TooMuchPromo(most=money.show(most))
    now = clock.now()
    if not now < expires_at <= now + LONGEST:
        raise BadExpiry
    posted = ledger.post(
        "promo_granted",
        f"promo:{nonce}",
        [Leg(ledger.PROMO_COST, -amount_cents), Leg(ledger.promo(subscriber_id), amount_cents)],
        facts={"reason": reason},
    )
    if posted is None:
        # Somebody pressed twice, and the first press has committed meanwhile.
        return db.session.scalars(select(PromoGrant).where(PromoGrant.nonce == nonce)).one()
    made = PromoGrant(
        id=ids.new_id(), nonce=nonce, subscriber_id=subscriber_id, amount_cents=amount_cents, left_cents=amount_cents,
        reason=reason, expires_at=expires_at, granted_by_id=by_id, granted_by=by, transaction_id=posted, created_at=now,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    audit.record("promo.granted", subject=made.id, amount=money.show(amount_cents), reason=reason)
    return made


def usable_cents(subscriber_id: UUID) -> int:
    """What a customer may spend of it now."""
    left = select(func.coalesce(func.sum(PromoGrant.left_cents), 0)).where(
        PromoGrant.subscriber_id == subscriber_id, PromoGrant.expires_at > clock.now()
    )
    return int(db.session.scalar(left) or 0)


def take(purchase: Purchase, cents: int) -> None:
    """Says which grants have paid so much of a purchase, the soonest to end first. Call it after the posting, which
    holds everybody else back. Raises NotEnoughMoney where somebody was faster: undo the posting then."""
    query = (
        select(PromoGrant)
        .where(
            PromoGrant.subscriber_id == purchase.subscriber_id,
            PromoGrant.left_cents > 0,
            PromoGrant.expires_at > clock.now(),
        )
        .order_by(PromoGrant.expires_at, PromoGrant.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for found in db.session.scalars(query).all():
        part = min(cents, found.left_cents)
        if part:
            found.left_cents -= part
            db.session.add(PromoUse(id=ids.new_id(), grant_id=found.id, purchase_id=purchase.id, amount_cents=part))
        cents -= part
    if cents:
        raise NotEnoughMoney
    db.session.flush()


def give_back(purchase_id: UUID) -> None:
    """A purchase is taken back: its grants have again what they paid. What has ended meanwhile ends once more. Call it
    after the posting."""
    query = (
        select(PromoUse.grant_id, func.sum(PromoUse.amount_cents))
        .where(PromoUse.purchase_id == purchase_id)
        .group_by(PromoUse.grant_id)
        .having(func.sum(PromoUse.amount_cents) > 0)
        .order_by(PromoUse.grant_id)
    )
    for grant_id, cents in db.session.execute(query).all():
        found = _locked(grant_id)
        found.left_cents += int(cents)
        db.session.add(PromoUse(id=ids.new_id(), grant_id=grant_id, purchase_id=purchase_id, amount_cents=-int(cents)))
    db.session.flush()


def _locked(grant_id: UUID) -> PromoGrant:
    query = select(PromoGrant).where(PromoGrant.id == grant_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


# What is left over goes with the next tick.
_AT_ONCE = 500


def expire() -> int:
    """Takes off what has ended, each grant once; what is not used has cost nothing. Returns how many grants."""
    due = select(PromoGrant.id, PromoGrant.subscriber_id, PromoGrant.left_cents, PromoGrant.expired_cents).where(
        PromoGrant.expires_at <= clock.now(), PromoGrant.left_cents > 0
    )
    ended = 0
    for grant_id, subscriber_id, left_cents, expired_cents in db.session.execute(
        due.order_by(PromoGrant.id).limit(_AT_ONCE)
    ).all():
        try:
            with savepoint():
                ledger.post(
                    "promo_expired",
                    # A purchase that is taken back later brings some of it again.
                    f"promo-end:{grant_id}:{expired_cents}",
                    [Leg(ledger.promo(subscriber_id), -left_cents), Leg(ledger.PROMO_COST, left_cents)],
                    facts={"grant": str(grant_id)},
                )
                found = _locked(grant_id)
                if (found.left_cents, found.expired_cents) != (left_cents, expired_cents):
                    raise NotEnoughMoney
                found.left_cents, found.expired_cents = 0, expired_cents + left_cents
                db.session.flush()
                ended += 1
        except NotEnoughMoney:
            continue  # Something has changed it since it was read; the next tick sees what is left.
    return ended


def list_grants(*, before: UUID | None = None, limit: int = 50) -> list[PromoGrant]:
    """The current tenant's, newest first, paged by key: pass the last one's id as `before`."""
    query = select(PromoGrant).order_by(PromoGrant.id.desc()).limit(limit)
    return list(db.session.scalars(query if before is None else query.where(PromoGrant.id < before)))
