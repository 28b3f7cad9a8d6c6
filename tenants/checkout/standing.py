"""Standing orders (M-Pesa Ratiba): a customer lets M-Pesa pay for a line's package each month.

Asked for once, approved on the phone with a PIN. Each month's money then arrives as any that is paid by hand, with the
order's own account number, and buys the package again. Only that, and M-Pesa's word of code 0, say that an order
stands; silence is unknown. Nobody documents a way to change or end one from here: the customer does, at M-Pesa.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from tenants import catalog, ledger, mpesa, subscribers
from tenants.catalog import NotOnSale
from tenants.checkout import fulfilment
from tenants.checkout.models import Purchase, StandingOrder, StandingOrderEvent
from tenants.gateway import Verdict
from tenants.mpesa import daraja, ratiba
from wavu import clock, ids, outbox
from wavu.db import db, one_at_a_time
from wavu.errors import N_, Kind, NotFound, Refused
from wavu.outbox import Queue
from wavu.phone import Phone
from wavu.tenancy import current_tenant, current_tenant_id

# A request that could not go out for so long is given up: its customer has gone.
_SEND_FOR = timedelta(minutes=2)
# M-Pesa asks for the PIN at once: without its word after so long, nobody knows.
_SILENT_AFTER = timedelta(hours=1)
_PER_PHONE_AND_DAY = 3
_LASTS_DAYS = 365
_ENDS = {Verdict.FINAL, Verdict.CONFIG, Verdict.WAIT}


class NotMonthly(Refused):
    kind = Kind.CONFLICT
    message = N_("Only packages of one month can be paid each month by themselves.")


class TooManyOrders(Refused):
    kind = Kind.TOO_MANY
    message = N_("This phone was asked too often today. Try again tomorrow.")


def is_monthly(validity: str, count: int) -> bool:
    """Whether a package's validity is what a monthly order pays for."""
    return validity == "months" and count == 1


def standing_orders_offered() -> bool:
    """Whether the current tenant has the contract and the switch, at a PayBill: a Till's payments name no order."""
    return any(account.standing_orders and account.kind == "paybill" for account in mpesa.list_accounts()[:1])


def ask_standing_order(*, nonce: str, package_id: UUID, phone: Phone, line_id: UUID, starts_on: date) -> StandingOrder:
    """Has M-Pesa ask a phone to pay for a line's package each month from a day on. The same nonce is the same order.

    Raises NotReady, NotOnSale, NotMonthly or TooManyOrders; then nothing was begun.
    """
    known = db.session.scalar(select(StandingOrder).where(StandingOrder.nonce == nonce))
    if known is not None:
        return known
    account = mpesa.active_account()
    if account.kind != "paybill":
        raise mpesa.NotReady
    ratiba.open_for(account)
    package = catalog.find_on_sale(package_id, "pppoe")
    if not is_monthly(package.validity, package.validity_count):
        raise NotMonthly
    _check_pace(phone)
    order_id, token = ids.new_id(), ids.new_token()
    reference = subscribers.number_for(line_id, order_id)
    order = StandingOrder(
        id=order_id,
        nonce=nonce,
        mpesa_account_id=account.id,
        subscriber_id=line_id,
        package_id=package.id,
        terms=catalog.terms_of(package),
        phone=phone.e164,
        amount_cents=package.price_cents,
        # New to this customer, as M-Pesa wants it: the number is.
        name=f"Internet {reference}",
        reference=reference,
        starts_on=starts_on,
        ends_on=starts_on + timedelta(days=_LASTS_DAYS),
        token_fingerprint=ids.fingerprint(token),
    )
    order.token = token
    db.session.add(order)
    db.session.flush()
    outbox.put(Queue.DARAJA, "send_standing_order", str(order.id), {"order_id": str(order.id)})
    return order


def _check_pace(phone: Phone) -> None:
    one_at_a_time(f"order {current_tenant_id()} {phone.e164}")
    recent = (
        select(func.count())
        .select_from(StandingOrder)
        .where(StandingOrder.phone == phone.e164, StandingOrder.created_at > clock.now() - timedelta(days=1))
    )
    if (db.session.scalar(recent) or 0) >= _PER_PHONE_AND_DAY:
        raise TooManyOrders


def find_standing_order(nonce: str) -> StandingOrder:
    """Raises NotFound, for another tenant's nonce too."""
    order = db.session.scalar(select(StandingOrder).where(StandingOrder.nonce == nonce))
    if order is None:
        raise NotFound
    return order


def standing_order_state(order: StandingOrder, now: datetime) -> str:
    """What its page says: asking, prompted, stands, refused or unknown."""
    if order.state == "asked" and order.submitted_at is not None and now - order.submitted_at > _SILENT_AFTER:
        return "unknown"
    return {"created": "asking", "submitting": "asking", "asked": "prompted"}.get(order.state, order.state)


def list_standing_orders(*, limit: int = 100) -> list[StandingOrder]:
    """The current tenant's, newest first."""
    return list(db.session.scalars(select(StandingOrder).order_by(StandingOrder.id.desc()).limit(limit)))


def send_standing_order(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Job: sends the request, once. Run again after a crash it calls it unknown: a second one would ask twice."""
    order = _locked(UUID(event["order_id"]))
    if order.state == "submitting":
        order.state = "unknown"
    if order.state != "created":
        return
    if clock.now() - order.created_at > _SEND_FOR:
        order.state, order.code = "refused", "unreachable"
        return
    account = mpesa.find_account(order.mpesa_account_id)
    app, account_id, order_id = ratiba.open_for(account), account.id, order.id
    order.state, order.submitted_at = "submitting", clock.now()
    asked: dict[str, Any] = {
        "name": order.name,
        "phone": order.phone,
        "amount_cents": order.amount_cents,
        "frequency": "monthly",
        "starts_on": order.starts_on,
        "ends_on": order.ends_on,
        "reference": order.reference,
        "description": "Internet",
        "callback_url": mpesa.hook_url("o", order.tenant_id, order.token or ""),
    }
    answer = yield lambda: mpesa.call(account_id, app, lambda token: ratiba.create_standing_order(app, token, **asked))
    _record_answer(_locked(order_id), answer)


def _record_answer(order: StandingOrder, answer: ratiba.Requested | daraja.NotAccepted) -> None:
    if isinstance(answer, ratiba.Requested):
        order.order_reference = answer.reference or None
        # The callback may have come first.
        if order.state == "submitting":
            order.state = "asked"
        return
    if order.state != "submitting":
        return
    verdict = answer.meaning.verdict
    if not answer.sent and verdict is Verdict.UNKNOWN:
        order.state, order.submitted_at = "created", None
        later = clock.now() + timedelta(seconds=answer.wait_seconds or 5.0)
        key = f"{order.id} {ids.new_id()}"
        outbox.put(Queue.DARAJA, "send_standing_order", key, {"order_id": str(order.id)}, run_at=later)
        return
    order.state, order.code = ("refused" if verdict in _ENDS else "unknown"), answer.code[:40]
    if answer.meaning.fix != "product":
        mpesa.note_fault(order.mpesa_account_id, answer.meaning.fix)


def receive_standing_order(token: str, body: bytes, peer: str | None) -> bool:
    """Stores what M-Pesa tells of an order. False for a token that is nobody's in this tenant; the same body counts
    once."""
    query = select(StandingOrder.id).where(StandingOrder.token_fingerprint == ids.fingerprint(token))
    order_id = db.session.scalar(query)
    if order_id is None:
        return False
    event_id = db.session.scalar(
        insert(StandingOrderEvent)
        .values(
            id=ids.new_id(),
            tenant_id=func.app.tenant_id(),
            order_id=order_id,
            body_digest=hashlib.sha256(body).digest(),
            body=body,
            peer=peer,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "order_id", "body_digest"])
        .returning(StandingOrderEvent.id)
    )
    if event_id is not None:
        outbox.put(Queue.SETTLEMENT, "settle_standing_order", str(event_id), {"event_id": str(event_id)})
    return True


def settle_standing_order(event_id: UUID) -> None:
    """A job's: what M-Pesa told of an order. A no counts only where nothing said yes before. Twice changes nothing."""
    query = select(StandingOrderEvent).where(
        StandingOrderEvent.id == event_id, StandingOrderEvent.processed_at.is_(None)
    )
    event = db.session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if event is None:
        return
    event.processed_at = clock.now()
    order, told = _locked(event.order_id), ratiba.parse(event.body)
    if told is None:
        event.outcome = "malformed"
        return
    account = mpesa.find_account(order.mpesa_account_id)
    # It moves no money: under the request's own id it is believed from an address that is not on the list, too.
    ours = order.order_reference is not None and told.reference == order.order_reference
    if not ours and not mpesa.comes_from_daraja(account, event.peer):
        event.outcome = "held"
        return
    event.outcome, order.told_at = "read", clock.now()
    if told.code == "0":
        order.state, order.code = "stands", None
    elif order.state != "stands":
        order.state, order.code = "refused", told.code


def renew(order_id: UUID) -> bool:
    """A month's money has come into the wallet: buys the order's package once more, at today's price.

    False where that is no order's, the package is not sold any more, or the wallet does not hold its price: the money
    stays there.
    """
    query = select(StandingOrder).where(StandingOrder.id == order_id).with_for_update()
    order = db.session.scalar(query.execution_options(populate_existing=True))
    if order is None:
        return False
    order.state, order.code, order.last_paid_at = "stands", None, clock.now()
    one_at_a_time(f"wallet {order.subscriber_id}")
    try:
        package = catalog.find_on_sale(order.package_id, "pppoe")
    except NotOnSale:
        return False
    if ledger.balance(ledger.wallet(order.subscriber_id)) < package.price_cents:
        return False
    purchase = Purchase(
        id=ids.new_id(),
        nonce=ids.new_token()[:32],
        channel="pppoe",
        package_id=package.id,
        subscriber_id=order.subscriber_id,
        price_cents=package.price_cents,
        terms=catalog.terms_of(package),
    )
    db.session.add(purchase)
    db.session.flush()
    fulfilment.buy(fulfilment.lock(purchase.id))
    return True


def first_days(now: datetime) -> tuple[date, date]:
    """The days on which a customer may have the first payment made, where the tenant lives: tomorrow, or a month on."""
    today = clock.local_date(now, current_tenant().timezone)
    after = catalog.ends_at({"validity": "months", "validity_count": 1}, now, current_tenant().timezone)
    return today + timedelta(days=1), clock.local_date(after, current_tenant().timezone)


def _locked(order_id: UUID) -> StandingOrder:
    query = select(StandingOrder).where(StandingOrder.id == order_id).with_for_update()
    return db.session.scalars(query.execution_options(populate_existing=True)).one()
