from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from wavu.events import Event


@dataclass(frozen=True)
class AirtelChangeTold(Event):
    """An Airtel Money account shall take payments, does so now, or shall not after all: `turn` is asked, done or
    cancelled; `asked_at` tells one time from the next."""

    account_id: UUID
    turn: str
    asked_at: str

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.turn} {self.asked_at}"
