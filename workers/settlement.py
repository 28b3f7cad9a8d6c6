"""Jobs about money. The settlement queue does database work alone; what asks a gateway runs on a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tenants import checkout, mpesa, payments, payouts
from wavu import clock, outbox, tenancy
from wavu.db import db
from wavu.outbox import Queue
from wavu.tenancy import Tenant, visiting


def settle_callback(event: dict[str, Any]) -> None:
    """One stored callback: money into the wallet, and the purchase made, in one transaction. Twice changes nothing."""
    checkout.settle_callback(UUID(event["event_id"]))


def settle_report(event: dict[str, Any]) -> None:
    """One report of a payment that may be anybody's, by the same rules. Twice changes nothing."""
    checkout.settle_report(UUID(event["event_id"]))


def pull_since_last(_: dict[str, Any]) -> None:
    """A clock of the platform: asks M-Pesa what was paid since the last time. Twice names the same jobs."""
    _pull(None)


def pull_two_days(_: dict[str, Any]) -> None:
    """A clock of the platform: asks M-Pesa for all that it still knows. Twice names the same jobs."""
    _pull(payments.LONGEST)


def _pull(window: timedelta | None) -> None:
    now = clock.now()
    for tenant_id in payments.tenants_with_pull():
        with tenancy.visiting(tenant_id):
            payments.ask_for(window, f"{now:%Y%m%dT%H%M%S}{'' if window is None else '-whole'}")


def look_for_silence(_: dict[str, Any]) -> None:
    """A clock of the platform: has every tenant that asks for payments see whether any come. Twice is harmless."""
    tick = f"{clock.now():%Y%m%dT%H%M}"
    for tenant_id in payments.tenants_that_asked():
        with tenancy.visiting(tenant_id):
            outbox.put(Queue.BULK, "notice_silence", tick, {})


def notice_silence(_: dict[str, Any]) -> None:
    """Exactly once: what it marks and what it announces commit together."""
    payments.notice_silence()


def query_stk(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Asks the gateway about a push that nobody has answered, and settles it if the answer proves a payment."""
    proof = yield from payments.query_stk(event)
    if proof is not None:
        checkout.settle_query(UUID(event["intent_id"]), proof.receipt)


def settle_result(event: dict[str, Any]) -> None:
    """One thing that M-Pesa told about a request: settles the payout that it is about. Twice changes nothing."""
    unknown = payouts.settle_result(UUID(event["event_id"]))
    if unknown is not None:
        payouts.ask_now(unknown)


def settle_status(event: dict[str, Any]) -> None:
    """Transaction Status has answered about the payment that a customer claims. Twice changes nothing."""
    checkout.settle_status(UUID(event["subject_id"]))


def look_for_claim(event: dict[str, Any]) -> None:
    """Looks again for a payment that a customer claims. Twice changes nothing."""
    checkout.look_for_claim(UUID(event["claim_id"]), int(event["number"]))


def settle_standing_order(event: dict[str, Any]) -> None:
    """What M-Pesa told of a standing order. Twice changes nothing."""
    checkout.settle_standing_order(UUID(event["event_id"]))


def ask_balances(_: dict[str, Any]) -> None:
    """A clock of the platform: has every account with an initiator asked what it holds, and its owner told in time that
    the initiator's password will end. Running twice in a day asks once."""
    now = clock.now()
    for tenant_id in db.session.scalars(select(Tenant.id).where(Tenant.kind == "isp")).all():
        with visiting(tenant_id):
            for account in mpesa.list_accounts():
                if mpesa.initiator_of(account.id) is not None:
                    mpesa.ask_balance(account.id, f"{now:%Y%m%d}")
            mpesa.watch_passwords(now)


def look_after_wallets(_: dict[str, Any]) -> None:
    """A clock of the platform: has packages renewed whose time it is, and credit that has ended taken off. Twice names
    the same jobs."""
    now = clock.now()
    for tenant_id in checkout.renewals.tenants_with_wallet_work(now):
        with visiting(tenant_id):
            checkout.renewals.put_due()
            outbox.put(Queue.BULK, "expire_promo", f"{now:%Y%m%dT%H%M}", {})


def renew_package(event: dict[str, Any]) -> None:
    """Pays the next period of a package from the wallet, exactly once, if it is time. Twice changes nothing."""
    checkout.renewals.renew(UUID(event["renewal_id"]))


def expire_promo(_: dict[str, Any]) -> None:
    """Takes off promotional credit that has ended, each grant once. Twice finds nothing."""
    checkout.promo.expire()
