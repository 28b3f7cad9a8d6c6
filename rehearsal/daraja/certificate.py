"""The certificate that encrypts initiator passwords, and the key that reads them (build sheet 16).

Its key is made from a fixed beginning, so that a SecurityCredential outlives a restart. It protects nothing.
"""

from __future__ import annotations

import base64
import binascii
import random
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

_EXPONENT = 65_537
_ROUNDS = 20


def pem() -> str:
    """The X.509 certificate, self-signed."""
    key = _key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "daraja.simulator.localhost")])
    begins, ends = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(begins).not_valid_after(ends).sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(Encoding.PEM).decode()


def password_in(credential: str) -> str | None:
    """What was encrypted, PKCS #1 v1.5 and then Base64; None if that cannot be read."""
    try:
        return _key().decrypt(base64.b64decode(credential, validate=True), padding.PKCS1v15()).decode()
    except (binascii.Error, ValueError):
        return None


@cache
def _key() -> rsa.RSAPrivateKey:
    chance = random.Random("daraja")  # noqa: S311 - the same at every start; nothing here is secret
    p, q = _prime(chance), _prime(chance)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(_EXPONENT, p * q)
    )
    return numbers.private_key()


def _prime(chance: random.Random) -> int:
    """1024 bits, the two highest set, so that a product has 2048."""
    while True:
        candidate = chance.getrandbits(1024) | 0b11 << 1022 | 1
        if candidate % _EXPONENT != 1 and _is_prime(candidate, chance):
            return candidate


def _is_prime(odd: int, chance: random.Random) -> bool:
    """Miller and Rabin."""
    if any(odd % small == 0 for small in range(3, 2000, 2)):
        return False
    twos = ((odd - 1) & -(odd - 1)).bit_length() - 1
    rest = (odd - 1) >> twos
    for _ in range(_ROUNDS):
        power = pow(chance.randrange(2, odd - 1), rest, odd)
        if power in (1, odd - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % odd
            if power == odd - 1:
                break
        else:
            return False
    return True
