"""The SecurityCredential: an initiator's password, encrypted for Safaricom (build sheet 16). Pure.

The certificate is an operator's upload: it differs by environment, and the copies that lie about in public packages
have expired. An expired one still encrypts, and whether Safaricom still decrypts nobody documents, so it is no reason
to refuse.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding


class Certificate(NamedTuple):
    """What a person needs to recognise a certificate. `fingerprint` is its SHA-256, in pairs of hex digits."""

    pem: str
    subject: str
    fingerprint: str
    valid_from: datetime
    valid_until: datetime

    def is_valid(self, at: datetime) -> bool:
        return self.valid_from <= at <= self.valid_until


def read_certificate(data: bytes) -> Certificate:
    """Reads an X.509 certificate, PEM or DER. Raises ValueError for anything else, and for a key that is not RSA."""
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            found = x509.load_pem_x509_certificate(data)
        else:
            found = x509.load_der_x509_certificate(data)
        rsa = isinstance(found.public_key(), RSAPublicKey)
    except Exception as unreadable:
        raise ValueError("this is no certificate") from unreadable
    if not rsa:
        raise ValueError("the certificate's key is not RSA")
    digits = found.fingerprint(hashes.SHA256()).hex().upper()
    return Certificate(
        found.public_bytes(Encoding.PEM).decode(),
        found.subject.rfc4514_string(),
        ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
        found.not_valid_before_utc,
        found.not_valid_after_utc,
    )


def encrypt(password: str, pem: str) -> str:
    """The password's plain bytes and nothing else, RSA with PKCS #1 v1.5 padding, in Base64. Another text each time."""
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    return base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()


def is_credential(text: str) -> bool:
    """Whether it can be a ready SecurityCredential: Base64 of an RSA block."""
    try:
        return len(base64.b64decode(re.sub(r"\s", "", text), validate=True)) in {128, 256, 384, 512}
    except (binascii.Error, ValueError):
        return False
