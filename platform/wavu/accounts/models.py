from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu import clock, ids
from wavu.db import PlatformRow, TenantRow
from wavu.vault import Sealed


class Person(PlatformRow):
    """Someone who can log in. A tenant sees only its own people; the platform, which signs people in, sees all."""

    __tablename__ = "person"
    __table_args__ = (UniqueConstraint("email"), CheckConstraint("email = lower(email)", name="email"))

    id: Mapped[UUID] = mapped_column(primary_key=True, default=ids.new_id)
    email: Mapped[str]
    name: Mapped[str]
    locale: Mapped[str] = mapped_column(default="en")
    # What colleagues may know of how a person signs in.
    second_factor_on: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class Membership(TenantRow):
    """A person's place in one tenant. Members of the platform's own tenant are platform staff.

    `seen_at` is when they last worked here: no tenant learns when they worked for another.
    """

    __tablename__ = "membership"
    __table_args__ = (UniqueConstraint("tenant_id", "person_id"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    role: Mapped[str]
    seen_at: Mapped[datetime | None]


class Invitation(TenantRow):
    """An open offer of membership to an address. Its token is known to that address only."""

    __tablename__ = "invitation"
    __table_args__ = (UniqueConstraint("tenant_id", "email"),)

    email: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    token_fingerprint: Mapped[str]
    invited_by: Mapped[str]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]


# The rows below are the platform's: no ISP's scope can read a password hash, a second factor or a session.


class Credential(TenantRow):
    """How a person proves to be themselves."""

    __tablename__ = "credential"
    __table_args__ = (UniqueConstraint("tenant_id", "person_id"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    password_hash: Mapped[str | None]
    password_set_at: Mapped[datetime | None]
    totp_sealed: Mapped[bytes | None]
    totp_confirmed_at: Mapped[datetime | None]
    totp_last_step: Mapped[int | None]
    recovery_codes: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)

    totp = Sealed("totp_sealed")

    @property
    def has_second_factor(self) -> bool:
        return self.totp_confirmed_at is not None


class PasswordReset(TenantRow):
    __tablename__ = "password_reset"
    __table_args__ = (UniqueConstraint("tenant_id", "token_fingerprint"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    token_fingerprint: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignIn(TenantRow):
    """A server-side session: bound to one surface and one host, and to a tenant once the person chose one."""

    __tablename__ = "sign_in"
    __table_args__ = (
        UniqueConstraint("tenant_id", "token_fingerprint"),
        CheckConstraint("stage IN ('second_factor', 'enrolment', 'complete')", name="stage"),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    token_fingerprint: Mapped[str]
    surface: Mapped[str]
    host: Mapped[str]
    stage: Mapped[str]
    chosen_tenant_id: Mapped[UUID | None]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    proven_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class LoginAttempt(TenantRow):
    __tablename__ = "login_attempt"

    person_id: Mapped[UUID | None]
    email_fingerprint: Mapped[str]
    surface: Mapped[str]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    outcome: Mapped[str]
