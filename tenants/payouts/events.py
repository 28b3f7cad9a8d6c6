from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from wavu.events import Event


@dataclass(frozen=True)
class PayoutApproved(Event):
    """The money is set aside and may go out."""

    payout_id: UUID

    @property
    def key(self) -> str:
        return str(self.payout_id)


@dataclass(frozen=True)
class PayoutLimitRaised(Event):
    """One person alone will be able to pay out more from some instant on."""

    alone_cents: int
    by: str
    at: str

    @property
    def key(self) -> str:
        return self.at
