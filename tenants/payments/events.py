from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from wavu.events import Event


@dataclass(frozen=True)
class StkAsked(Event):
    intent_id: UUID

    @property
    def key(self) -> str:
        return str(self.intent_id)


@dataclass(frozen=True)
class UssdAsked(Event):
    """As StkAsked, of Airtel Money."""

    intent_id: UUID

    @property
    def key(self) -> str:
        return str(self.intent_id)


@dataclass(frozen=True)
class CallbackArrived(Event):
    event_id: UUID

    @property
    def key(self) -> str:
        return str(self.event_id)


@dataclass(frozen=True)
class PaymentReported(Event):
    """M-Pesa tells of a payment that may be anybody's."""

    event_id: UUID

    @property
    def key(self) -> str:
        return str(self.event_id)
