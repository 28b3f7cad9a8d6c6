from __future__ import annotations

from dataclasses import dataclass
from datetime import date
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
