"""Jobs about money. The settlement queue does database work alone; what asks Daraja runs on a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any
from uuid import UUID

from tenants import checkout, payments
from wavu import clock, tenancy


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


def query_stk(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Asks Daraja about a push that nobody has answered, and settles it if the answer proves a payment."""
    proof = yield from payments.query_stk(event)
    if proof is not None:
        checkout.settle_query(UUID(event["intent_id"]))
