"""What is answered at once and moves no money: Dynamic QR and Query Organization Info.

Build sheet 13 and 15b; portal page DynamicQRCode.
"""

from __future__ import annotations

import base64
import io

import segno

from . import fields
from .gateway import Call, Reply, bad_request
from .world import World


class CounterDesk:
    def __init__(self, world: World) -> None:
        self.world = world

    def qr(self, call: Call) -> Reply:
        """A PNG. What Safaricom writes into the code is not documented; here it is what the request says."""
        merchant, reference = (fields.plain(call.body.get(name)) for name in ("MerchantName", "RefNo"))
        if not merchant or not reference:
            raise bad_request("MerchantName" if not merchant else "RefNo")
        kind = fields.choice(call.body, "TrxCode", "BG", "WA", "PB", "SM", "SB")
        amount, party = fields.amount(call.body), fields.digits(call.body, "CPI", 5, 12)
        size = int(fields.digits(call.body, "Size", 1, 4))
        code = segno.make(f"{kind}|{party}|{merchant}|{reference}|{amount}", micro=False)
        image = io.BytesIO()
        code.save(image, kind="png", scale=max(1, size // code.symbol_size()[0]))
        return Reply(
            {
                "ResponseCode": "00" if call.knobs.qr_code == "field" else self.world.ids.conversation(),
                "RequestID": self.world.ids.request("old"),
                "ResponseDescription": "QR Code Successfully Generated.",
                "QRCode": base64.b64encode(image.getvalue()).decode(),
            }
        )

    def organisation(self, call: Call) -> Reply:
        """Whose PayBill (4) or till (2) a number is; anybody's, as long as it exists."""
        kind = fields.choice(call.body, "IdentifierType", "4", "2")
        number = fields.digits(call.body, "Identifier", 5, 7)
        merchant = self.world.payee(number)
        if merchant is None or (kind == "2") != (merchant.till is not None):
            raise bad_request("Identifier", "there is no such PayBill or till")
        return Reply(
            {
                "ConversationID": self.world.ids.request(),
                "ResponseCode": "4000" if call.knobs.lookup_code == "sample" else "0",
                "ResponseMessage": "Success",
                "DetailedMessage": "Request received successfully",
                "OrganizationShortCode": number,
                "OrganizationName": merchant.name,
                "ChargeProfileID": "20013",
            }
        )
