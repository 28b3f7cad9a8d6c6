"""Signing in: from an e-mail and a password to a session. Runs in the platform's scope.

A session is a row here; the cookie carries its token. Throttling counts login attempts in PostgreSQL, so that it
outlives Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, delete, func, select, update

from wavu import clock, ids
from wavu.accounts import passwords, second_factor
from wavu.accounts.events import CredentialChanged, PasswordResetAsked, PasswordResetMade
from wavu.accounts.models import Credential, LoginAttempt, Membership, PasswordReset, Person, SignIn
from wavu.accounts.refusals import LinkExpired, TooManyAttempts, WrongCode, WrongCredentials, WrongPassword
from wavu.db import db, one_at_a_time
from wavu.errors import NotFound
from wavu.events import announce
from wavu.tenancy import PLATFORM_ID, Tenant, visiting
from wavu.vault import open_sealed, seal

_PENDING = timedelta(minutes=10)
_FRESH = timedelta(minutes=15)
_WINDOW = timedelta(minutes=15)
_FAILURES_PER_ADDRESS_AND_EMAIL = 5
_FAILURES_PER_EMAIL = 50
_FAILURES_PER_ADDRESS = 100
_CODE_FAILURES = 5
_RESET_LIFE = timedelta(minutes=20)
_RESETS_PER_HOUR = 3
_RESETS_PER_DAY = 10


@dataclass(frozen=True)
class Place:
    """Where a request came in: which surface and host of ours, and from where."""

    surface: str
    host: str
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True)
class Lifetime:
    """How long a session lasts: at most, and without being used."""

    absolute: timedelta
    idle: timedelta


LIFETIMES = {
    "backoffice": Lifetime(timedelta(hours=10), timedelta(hours=1)),
    "console": Lifetime(timedelta(days=30), timedelta(days=7)),
}


class Session:
    """A session that holds: its person and its row."""

    def __init__(self, row: SignIn, person: Person) -> None:
        self.row, self.person = row, person

    @property
    def is_complete(self) -> bool:
        return self.row.stage == "complete"

    @property
    def is_fresh(self) -> bool:
        """Whether the password was given in the last 15 minutes: asked for before the account itself changes."""
        return clock.now() - self.row.proven_at < _FRESH


def authenticate(email: str, password: str, place: Place) -> tuple[str, SignIn] | WrongCredentials | TooManyAttempts:
    """Checks a password and opens a session: its token and row, whose `stage` says what is still asked for.

    A refusal is returned, not raised, so that the attempt is on record when the caller commits.
    """
    email = email.strip().lower()
    if _throttled(email, place):
        _note(None, email, place, "throttled")
        return TooManyAttempts(minutes=int(_WINDOW.total_seconds() // 60))
    person = person_by_email(email)
    credential = (
        db.session.scalar(select(Credential).where(Credential.person_id == person.id)) if person is not None else None
    )
    right = passwords.verify(credential.password_hash if credential else None, password)
    if person is None or credential is None or not right or not _belongs(person.id, place.surface):
        _note(person.id if person else None, email, place, "refused")
        return WrongCredentials()
    if credential.password_hash and passwords.needs_rehash(credential.password_hash):
        credential.password_hash = passwords.hash_password(password)
    return _open(person, credential, place)


def _belongs(person_id: UUID, surface: str) -> bool:
    tenants = set(db.session.scalars(select(func.app.tenants_of(person_id))))
    return PLATFORM_ID in tenants if surface == "backoffice" else bool(tenants - {PLATFORM_ID})


def _open(person: Person, credential: Credential, place: Place) -> tuple[str, SignIn]:
    stage = "complete"
    if credential.has_second_factor:
        stage = "second_factor"
    elif place.surface == "backoffice":
        stage = "enrolment"
    token, now = ids.new_token(), clock.now()
    row = SignIn(
        person_id=person.id,
        token_fingerprint=ids.fingerprint(token),
        surface=place.surface,
        host=place.host,
        stage=stage,
        address=place.address,
        user_agent=(place.user_agent or "")[:300] or None,
        proven_at=now,
        seen_at=now,
        expires_at=now + _PENDING,
    )
    db.session.add(row)
    if stage == "complete":
        _complete(row, person, place)
    return token, row


def _complete(row: SignIn, person: Person, place: Place) -> None:
    row.stage, row.expires_at = "complete", clock.now() + LIFETIMES[row.surface].absolute
    row.chosen_tenant_id = _only_tenant(person.id) if row.surface == "console" else PLATFORM_ID
    _see(row)
    _note(person.id, person.email, place, "signed in")


def _see(row: SignIn) -> None:
    """A session was used: its team may know. A person who has left it is not seen any more."""
    row.seen_at = clock.now()
    if row.chosen_tenant_id is not None:
        with visiting(row.chosen_tenant_id):
            db.session.execute(
                update(Membership).where(Membership.person_id == row.person_id).values(seen_at=row.seen_at)
            )


def _only_tenant(person_id: UUID) -> UUID | None:
    mine = tenants_of(person_id)
    return mine[0].id if len(mine) == 1 else None


def tenants_of(person_id: UUID) -> list[Tenant]:
    """The ISPs that a person belongs to, by name."""
    ids_ = select(func.app.tenants_of(person_id))
    return list(
        db.session.scalars(select(Tenant).where(Tenant.id.in_(ids_), Tenant.kind == "isp").order_by(Tenant.name))
    )


def is_staff(person_id: UUID) -> bool:
    """Whether a person belongs to the platform's own team."""
    return PLATFORM_ID in set(db.session.scalars(select(func.app.tenants_of(person_id))))


def person_of(row: SignIn) -> Person:
    """Whose session it is."""
    return db.session.scalars(select(Person).where(Person.id == row.person_id)).one()


def find_session(token: str, place: Place) -> Session | None:
    """The session of a token, if it is alive and was opened on this very surface and host."""
    now = clock.now()
    found = db.session.execute(
        select(SignIn, Person)
        .join(Person, Person.id == SignIn.person_id)
        .where(
            SignIn.token_fingerprint == ids.fingerprint(token),
            SignIn.surface == place.surface,
            SignIn.host == place.host,
            SignIn.expires_at > now,
            SignIn.seen_at > now - LIFETIMES[place.surface].idle,
        )
    ).first()
    if found is None:
        return None
    row, person = found
    if now - row.seen_at > timedelta(minutes=1):
        _see(row)
    return Session(row, person)


def pass_second_factor(session: Session, code: str, place: Place) -> WrongCode | TooManyAttempts | None:
    """Completes a session with a code or a recovery code. A refusal is returned, so that the attempt is on record."""
    person, row = session.person, session.row
    if _codes_throttled(person, place):
        return TooManyAttempts(minutes=int(_WINDOW.total_seconds() // 60))
    try:
        second_factor.check(person, code)
    except WrongCode as refusal:
        _note(person.id, person.email, place, "wrong code")
        return refusal
    _complete(row, person, place)
    return None


def complete_enrolment(session: Session, code: str, place: Place) -> list[str] | WrongCode | TooManyAttempts:
    """Turns the second factor on, completes a session that waited for it, and returns the recovery codes.

    A refusal is returned, so that the attempt is on record.
    """
    person = session.person
    if _codes_throttled(person, place):
        return TooManyAttempts(minutes=int(_WINDOW.total_seconds() // 60))
    try:
        codes = second_factor.confirm_enrolment(person, code)
    except WrongCode as refusal:
        _note(person.id, person.email, place, "wrong code")
        return refusal
    announce(CredentialChanged(person_id=session.person.id, what="second factor on", change_id=ids.new_id()))
    # Whoever else waited to enrol with the password alone must now sign in with a code.
    others = SignIn.person_id == person.id, SignIn.stage == "enrolment", SignIn.id != session.row.id
    db.session.execute(delete(SignIn).where(*others))
    if session.row.stage == "enrolment":
        _complete(session.row, person, place)
    return codes


def prove_again(session: Session, password: str, place: Place) -> WrongPassword | TooManyAttempts | None:
    """Asks a signed-in person for the password once more, before the account itself is changed."""
    person = session.person
    if _throttled(person.email, place):
        _note(person.id, person.email, place, "throttled")
        return TooManyAttempts(minutes=int(_WINDOW.total_seconds() // 60))
    if not passwords.verify(second_factor.credential_of(person.id).password_hash, password):
        _note(person.id, person.email, place, "refused")
        return WrongPassword()
    session.row.proven_at = clock.now()
    return None


def choose_tenant(session: Session, tenant_id: UUID) -> bool:
    """Binds a console session to one of the person's ISPs. False where it is none of theirs."""
    if tenant_id not in {tenant.id for tenant in tenants_of(session.person.id)}:
        return False
    session.row.chosen_tenant_id = tenant_id
    _see(session.row)
    return True


def sessions_of(person_id: UUID) -> list[SignIn]:
    """A person's live sessions, last used first."""
    return list(
        db.session.scalars(
            select(SignIn)
            .where(SignIn.person_id == person_id, SignIn.stage == "complete", SignIn.expires_at > clock.now())
            .order_by(SignIn.seen_at.desc())
        )
    )


def end_session(row_id: UUID, person_id: UUID) -> None:
    """Signs a person's session out. Another person's id does nothing."""
    db.session.execute(delete(SignIn).where(SignIn.id == row_id, SignIn.person_id == person_id))


def end_other_sessions(person_id: UUID, keep: UUID | None) -> None:
    query = delete(SignIn).where(SignIn.person_id == person_id)
    db.session.execute(query.where(SignIn.id != keep) if keep else query)


def login_history(person_id: UUID, limit: int = 20) -> list[LoginAttempt]:
    """A person's own attempts and those of others at their account, newest first."""
    query = select(LoginAttempt).where(LoginAttempt.person_id == person_id)
    return list(db.session.scalars(query.order_by(LoginAttempt.created_at.desc()).limit(limit)))


def set_password(person: Person, password: str) -> None:
    """Sets a password and tells the person by mail. Raises WeakPassword."""
    passwords.check_strength(password, person.name, person.email)
    credential = second_factor.credential_of(person.id, lock=True)
    had_one = credential.password_hash is not None
    credential.password_hash, credential.password_set_at = passwords.hash_password(password), clock.now()
    if had_one:
        announce(CredentialChanged(person_id=person.id, what="password", change_id=ids.new_id()))


def ask_password_reset(email: str, surface: str) -> None:
    """Asks for a link. Who is known is looked up later: the answer takes as long for a stranger's address."""
    announce(PasswordResetAsked(ask_id=ids.new_id(), email=email.strip().lower(), surface=surface))


def make_password_reset(email: str, surface: str) -> None:
    """Sends a link, if there is such a person and they were not sent too many; says nothing either way."""
    person = person_by_email(email)
    if person is None or not _belongs(person.id, surface):
        return
    one_at_a_time(f"reset {person.id}")
    if _resets(person, hours=1) >= _RESETS_PER_HOUR or _resets(person, hours=24) >= _RESETS_PER_DAY:
        return
    token = ids.new_token()
    reset = PasswordReset(
        id=ids.new_id(),
        person_id=person.id,
        token_fingerprint=ids.fingerprint(token),
        expires_at=clock.now() + _RESET_LIFE,
    )
    db.session.add(reset)
    sealed = seal("password_reset", "token", reset.id, token).hex()
    announce(PasswordResetMade(reset_id=reset.id, sealed_token=sealed, surface=surface))


def _resets(person: Person, *, hours: int) -> int:
    query = select(func.count()).select_from(PasswordReset).where(PasswordReset.person_id == person.id)
    return db.session.scalar(query.where(PasswordReset.created_at > clock.now() - timedelta(hours=hours))) or 0


def reset_of(token: str) -> tuple[PasswordReset, Person]:
    """The open reset of a link. Raises LinkExpired."""
    found = db.session.execute(
        select(PasswordReset, Person)
        .join(Person, Person.id == PasswordReset.person_id)
        .where(
            PasswordReset.token_fingerprint == ids.fingerprint(token),
            PasswordReset.used_at.is_(None),
            PasswordReset.expires_at > clock.now(),
        )
        .with_for_update(of=PasswordReset)
    ).first()
    if found is None:
        raise LinkExpired
    return found[0], found[1]


def reset_password(token: str, password: str) -> None:
    """Sets a new password by link, ends every session, and leaves the second factor as it is. Raises LinkExpired or
    WeakPassword."""
    _, person = reset_of(token)
    set_password(person, password)
    db.session.execute(
        update(PasswordReset)
        .where(PasswordReset.person_id == person.id, PasswordReset.used_at.is_(None))
        .values(used_at=clock.now())
    )
    end_other_sessions(person.id, keep=None)


def person_of_reset(reset_id: UUID) -> Person | None:
    """Whose open reset it is."""
    query = select(Person).join(PasswordReset, PasswordReset.person_id == Person.id)
    return db.session.scalar(query.where(PasswordReset.id == reset_id, PasswordReset.used_at.is_(None)))


def person_by_email(email: str) -> Person | None:
    """Whose account has this address."""
    return db.session.scalar(select(Person).where(Person.email == email))


def make_person(*, email: str, name: str, password: str) -> Person:
    """Someone new who can sign in. Raises WeakPassword."""
    person = Person(id=ids.new_id(), email=email, name=name)
    db.session.add(person)
    db.session.flush()
    set_password(person, password)
    return person


def find_person(person_id: UUID) -> Person:
    """Raises NotFound."""
    person = db.session.get(Person, person_id)
    if person is None:
        raise NotFound
    return person


def open_reset_token(reset_id: UUID, sealed_token: str) -> str:
    """The token of a reset, for the one message that carries it."""
    return open_sealed("password_reset", "token", reset_id, bytes.fromhex(sealed_token))


def forget_old() -> int:
    """Deletes sessions, resets and attempts that are of no more use. Returns how many rows."""
    now = clock.now()
    gone = 0
    for query in (
        delete(SignIn).where(SignIn.expires_at < now),
        delete(PasswordReset).where(PasswordReset.expires_at < now - timedelta(days=1)),
        delete(LoginAttempt).where(LoginAttempt.created_at < now - timedelta(days=365)),
    ):
        gone += db.session.execute(query).rowcount  # type: ignore[attr-defined]
    return gone


def _throttled(email: str, place: Place) -> bool:
    mark, failed = ids.fingerprint(email), LoginAttempt.outcome == "refused"
    # Counted one after another, so that a volley does not pass as one; and a new password begins anew.
    one_at_a_time(mark)
    renewed = db.session.scalar(
        select(Credential.password_set_at).join(Person, Person.id == Credential.person_id).where(Person.email == email)
    )
    if renewed is not None:
        failed = and_(failed, LoginAttempt.created_at > renewed)
    by_email, by_address = LoginAttempt.email_fingerprint == mark, LoginAttempt.address == place.address
    return (
        _failures(by_email, by_address, failed) >= _FAILURES_PER_ADDRESS_AND_EMAIL
        or _failures(by_email, failed) >= _FAILURES_PER_EMAIL
        or _failures(by_address, failed) >= _FAILURES_PER_ADDRESS
    )


def _codes_throttled(person: Person, place: Place) -> bool:
    one_at_a_time(f"code {person.id}")
    wrong = LoginAttempt.person_id == person.id, LoginAttempt.outcome == "wrong code"
    if _failures(*wrong) < _CODE_FAILURES:
        return False
    _note(person.id, person.email, place, "throttled")
    return True


def _failures(*where: object) -> int:
    query = select(func.count()).select_from(LoginAttempt).where(LoginAttempt.created_at > clock.now() - _WINDOW)
    return db.session.scalar(query.where(*where)) or 0  # type: ignore[arg-type]


def _note(person_id: UUID | None, email: str, place: Place, outcome: str) -> None:
    db.session.add(
        LoginAttempt(
            person_id=person_id,
            email_fingerprint=ids.fingerprint(email),
            surface=place.surface,
            address=place.address,
            user_agent=(place.user_agent or "")[:300] or None,
            outcome=outcome,
        )
    )
