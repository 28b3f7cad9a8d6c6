"""Jobs about money. The settlement queue does database work alone; what asks Daraja runs on a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any
from uuid import UUID

from tenants import checkout, payments


def settle_callback(event: dict[str, Any]) -> None:
    """One stored callback: money into the wallet, and the purchase made, in one transaction. Twice changes nothing."""
    checkout.settle_callback(UUID(event["event_id"]))


def query_stk(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Asks Daraja about a push that nobody has answered, and settles it if the answer proves a payment."""
    proof = yield from payments.query_stk(event)
    if proof is not None:
        checkout.settle_query(UUID(event["intent_id"]))
