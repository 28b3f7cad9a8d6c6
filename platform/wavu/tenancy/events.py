from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wavu.events import Event


@dataclass(frozen=True)
class TenantSuspendedByStaff(Event):
    reason: str
    at: datetime

    @property
    def key(self) -> str:
        return self.at.isoformat()


@dataclass(frozen=True)
class TenantResumed(Event):
    at: datetime

    @property
    def key(self) -> str:
        return self.at.isoformat()
