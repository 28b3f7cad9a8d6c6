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
class InitiatorSet(Event):
    """An account has an initiator that may be used: what waits for one can go out."""

    account_id: UUID
    at: str

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.at}"


@dataclass(frozen=True)
class InitiatorFaultFound(Event):
    """An initiator needs mending as it did not before. One fact a day and thing to mend, where the tenant lives."""

    account_id: UUID
    fix: str
    found_on: date

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.fix} {self.found_on}"


@dataclass(frozen=True)
class InitiatorPasswordAges(Event):
    """An initiator's password has reached an age at which its owner must be told."""

    account_id: UUID
    set_on: date
    days: int

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.set_on} {self.days}"


@dataclass(frozen=True)
class ResultArrived(Event):
    """M-Pesa has told what came of a request, or that it does not know."""

    event_id: UUID

    @property
    def key(self) -> str:
        return str(self.event_id)


@dataclass(frozen=True)
class StatusAnswered(Event):
    """Transaction Status has answered about the receipt of something: `mpesa.answers_about(subject_id)` tells what."""

    request_id: UUID
    subject_id: UUID

    @property
    def key(self) -> str:
        return str(self.request_id)


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
