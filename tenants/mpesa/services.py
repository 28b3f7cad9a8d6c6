"""What Daraja answers at once and moves no money: a QR code to pay by, and whose number it is. Wire only.

Build sheet sections 13 and 15b. Every outcome is a value.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from tenants.gateway import Meaning, Verdict
from tenants.mpesa import daraja
from tenants.mpesa.daraja import App, NotAccepted

_PNG = b"\x89PNG\r\n\x1a\n"


class Organisation(NamedTuple):
    """Whose PayBill or till a number is, by Safaricom's own word."""

    name: str
    number: str


class NotAvailable(NamedTuple):
    """The app lacks this product: no error of anybody's."""


def dynamic_qr(
    app: App, token: str, *, merchant: str, reference: str, amount_cents: int, size_pixels: int = 300
) -> bytes | NotAccepted:
    """POST /mpesa/qrcode/v1/generate: a PNG to scan with the M-Pesa app. The payment then comes as any made by hand,
    with the reference as its account number."""
    till = app.kind == "till"
    reply = daraja.post(app, token, "/mpesa/qrcode/v1/generate", {
        "MerchantName": merchant,
        "RefNo": reference,
        "Amount": amount_cents // 100,
        "TrxCode": "BG" if till else "PB",
        "CPI": app.party_b,
        "Size": str(size_pixels),
    })  # fmt: skip
    if reply is None:
        return NotAccepted(Meaning(Verdict.UNKNOWN), "no answer")
    # The code of a success is 00, or an id in the portal's sample: the picture decides.
    try:
        picture = base64.b64decode(str(reply.body.get("QRCode", "")), validate=True)
    except (binascii.Error, ValueError):
        picture = b""
    return picture if reply.status == 200 and picture.startswith(_PNG) else daraja.not_accepted(reply)


def organisation_name(app: App, token: str) -> Organisation | NotAvailable | NotAccepted:
    """POST /sfcverify/v1/query/info: who is behind the number that customers pay to. Needs no initiator.

    The code of a success is contradictory (4000, or 0): Success and a name decide. A 401 says that the app lacks the
    product.
    """
    till = app.kind == "till"
    body = {"IdentifierType": "2" if till else "4", "Identifier": app.party_b}
    reply = daraja.post(app, token, "/sfcverify/v1/query/info", body)
    if reply is None:
        return NotAccepted(Meaning(Verdict.UNKNOWN), "no answer")
    name, said = reply.body.get("OrganizationName"), str(reply.body.get("ResponseMessage", ""))
    if reply.status == 200 and isinstance(name, str) and name.strip() and said.lower() == "success":
        return Organisation(name.strip()[:120], str(reply.body.get("OrganizationShortCode") or app.party_b))
    refused = daraja.not_accepted(reply)
    if reply.status == 401 and refused.meaning.verdict is not Verdict.TOKEN:
        return NotAvailable()
    return refused
