from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from wavu.events import Event


@dataclass(frozen=True)
class PersonInvited(Event):
    """`sealed_token` opens only for the invitation; the link is the one secret that travels in a message."""

    invitation_id: UUID
    sealed_token: str

    @property
    def key(self) -> str:
        return f"{self.invitation_id}:{self.sealed_token[-16:]}"


@dataclass(frozen=True)
class PasswordResetAsked(Event):
    """By anybody, for whatever address they typed."""

    ask_id: UUID
    email: str
    surface: str

    @property
    def key(self) -> str:
        return str(self.ask_id)


@dataclass(frozen=True)
class PasswordResetMade(Event):
    reset_id: UUID
    sealed_token: str
    surface: str

    @property
    def key(self) -> str:
        return str(self.reset_id)


@dataclass(frozen=True)
class CredentialChanged(Event):
    """Someone's password or second factor changed: they are told, in case it was not them."""

    person_id: UUID
    what: str
    change_id: UUID

    @property
    def key(self) -> str:
        return str(self.change_id)
