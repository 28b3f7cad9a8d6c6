"""Passwords: argon2id, and a guess at how fast a stranger would find one."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from wavu.accounts.refusals import WeakPassword

MIN_LENGTH = 10
MAX_LENGTH = 128

# OWASP's password storage cheat sheet: argon2id with 19 MiB, 2 passes, 1 lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# Verified in place of a hash that is not there, so that an unknown address takes as long as a known one.
_decoy = _hasher.hash("nobody has this password")


def check_strength(password: str, *about: str) -> None:
    """Raises WeakPassword for what is short, common, or made of the person's own name and address."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise WeakPassword
    # Its word lists take as long to load as the rest of this package: only where a password is chosen.
    from zxcvbn import zxcvbn

    words = [word for text in about for word in (text, *text.replace("@", " ").split()) if word]
    # Only the first 72 characters are weighed: the estimate takes time that grows faster than the length.
    if zxcvbn(password[:72], user_inputs=words)["score"] < 2:
        raise WeakPassword


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether the password is right. Takes the same time where there is none."""
    try:
        _hasher.verify(password_hash or _decoy, password[:MAX_LENGTH])
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with weaker settings than today's."""
    return _hasher.check_needs_rehash(password_hash)
