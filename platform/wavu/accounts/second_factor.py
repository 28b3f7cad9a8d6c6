"""The second factor: a time-based code (RFC 6238) or one of ten recovery codes. Runs in the platform's scope."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from uuid import UUID

import pyotp
from sqlalchemy import select

from wavu import clock, ids
from wavu.accounts.events import CredentialChanged
from wavu.accounts.models import Credential, Person
from wavu.accounts.refusals import AlreadyEnrolled, WrongCode
from wavu.db import db
from wavu.events import announce

ISSUER = "Wavu"
_STEP_SECONDS = 30
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def credential_of(person_id: UUID, *, lock: bool = False) -> Credential:
    """A person's credential row, made empty where there is none yet."""
    query = select(Credential).where(Credential.person_id == person_id)
    credential = db.session.scalar(query.with_for_update() if lock else query)
    if credential is None:
        credential = Credential(id=ids.new_id(), person_id=person_id, recovery_codes=[])
        db.session.add(credential)
        db.session.flush()
    return credential


def begin_enrolment(person: Person) -> tuple[str, str]:
    """A secret to scan: (base32, otpauth:// address). Kept until confirmed; asking again shows the same one.

    Raises AlreadyEnrolled: a second factor that is on is never replaced, only turned off by who holds it.
    """
    credential = credential_of(person.id, lock=True)
    if credential.has_second_factor:
        raise AlreadyEnrolled
    secret = credential.totp
    if secret is None:
        secret = pyotp.random_base32()
        credential.totp, credential.totp_confirmed_at, credential.totp_last_step = secret, None, None
    return secret, pyotp.TOTP(secret).provisioning_uri(name=person.email, issuer_name=ISSUER)


def confirm_enrolment(person: Person, code: str) -> list[str]:
    """Turns the second factor on and returns the recovery codes, which are never shown again.

    Raises WrongCode or AlreadyEnrolled.
    """
    credential = credential_of(person.id, lock=True)
    if credential.has_second_factor:
        raise AlreadyEnrolled
    _spend_code(credential, code)
    credential.totp_confirmed_at = clock.now()
    person.second_factor_on = True
    return _new_recovery_codes(credential)


def check(person: Person, code: str) -> None:
    """Accepts a current code once, or a recovery code once. Raises WrongCode."""
    credential = credential_of(person.id, lock=True)
    given = re.sub(r"[\s-]", "", code).upper()
    if not re.fullmatch(r"\d{6}", given):
        mark = ids.fingerprint(given)
        if mark not in credential.recovery_codes:
            raise WrongCode
        credential.recovery_codes = [kept for kept in credential.recovery_codes if kept != mark]
        return
    if not credential.has_second_factor:
        raise WrongCode
    _spend_code(credential, given)


def renew_recovery_codes(person: Person) -> list[str]:
    """Ten new codes; the old ones stop working."""
    return _new_recovery_codes(credential_of(person.id, lock=True))


def turn_off(person: Person) -> None:
    """Leaves the password alone to open the account, and tells its owner by mail."""
    credential = credential_of(person.id, lock=True)
    credential.totp, credential.totp_confirmed_at, credential.totp_last_step = None, None, None
    credential.recovery_codes = []
    person.second_factor_on = False
    announce(CredentialChanged(person_id=person.id, what="second factor off", change_id=ids.new_id()))


def _spend_code(credential: Credential, code: str) -> None:
    """A code counts once, and one step of clock error either way is forgiven (RFC 6238 5.2)."""
    secret, now = credential.totp, clock.now()
    step = _matching_step(secret, re.sub(r"\s", "", code), now) if secret else None
    if step is None or (credential.totp_last_step is not None and step <= credential.totp_last_step):
        raise WrongCode
    credential.totp_last_step = step


def _matching_step(secret: str, code: str, now: datetime) -> int | None:
    current, totp, found = int(now.timestamp()) // _STEP_SECONDS, pyotp.TOTP(secret), None
    for step in (current - 1, current, current + 1):
        if secrets.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def _new_recovery_codes(credential: Credential) -> list[str]:
    codes = ["".join(secrets.choice(_CROCKFORD) for _ in range(12)) for _ in range(10)]
    credential.recovery_codes = [ids.fingerprint(code) for code in codes]
    return [f"{code[:4]}-{code[4:8]}-{code[8:]}" for code in codes]
