from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from wavu.events import Event


@dataclass(frozen=True)
class MpesaAccountAdded(Event):
    account_id: UUID

    @property
    def key(self) -> str:
        return str(self.account_id)


@dataclass(frozen=True)
class MpesaFaultFound(Event):
    """An M-Pesa account needs mending as it did not before. One fact a day, where the tenant lives, however often."""

    account_id: UUID
    found_on: date

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.found_on}"


@dataclass(frozen=True)
class MpesaChangeTold(Event):
    """A change of where money goes was asked for, has taken effect or was cancelled: `turn` is asked, done or
    cancelled."""

    change_id: UUID
    turn: str

    @property
    def key(self) -> str:
        return f"{self.change_id} {self.turn}"


@dataclass(frozen=True)
class MpesaFellSilent(Event):
    """Payments are asked for and none comes, at an hour at which there are usually some."""

    account_id: UUID
    since: datetime

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.since.isoformat()}"
