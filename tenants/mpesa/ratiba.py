"""M-Pesa Ratiba: a customer's standing order. Needs a contract with Safaricom and the tenant's switch (build sheet 14).

Each payment under one arrives as any made by hand. Nobody documents a way to change or end one from here.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any, NamedTuple

from tenants.gateway import Meaning, Verdict
from tenants.mpesa import daraja
from tenants.mpesa.accounts import open_app
from tenants.mpesa.daraja import App, NotAccepted
from tenants.mpesa.initiator import receipt_in
from tenants.mpesa.models import MpesaAccount
from tenants.mpesa.refusals import NotReady

# 5 is left out: the sources contradict each other about it.
FREQUENCIES = {"once": "1", "daily": "2", "weekly": "3", "monthly": "4", "quarterly": "6", "half-yearly": "7",
               "yearly": "8"}  # fmt: skip


class Requested(NamedTuple):
    """The order was taken, and the customer is asked for a PIN."""

    reference: str


class Told(NamedTuple):
    """What became of an order. Only code 0 says that it stands."""

    code: str
    reference: str | None
    receipt: str | None


def open_for(account: MpesaAccount) -> App:
    """The account's app, for a tenant who has the contract. Raises NotReady for any other."""
    if not account.standing_orders:
        raise NotReady
    return open_app(account)


def create_standing_order(
    app: App, token: str, *, name: str, phone: str, amount_cents: int, frequency: str, starts_on: date, ends_on: date,
    reference: str, description: str, callback_url: str,
) -> Requested | NotAccepted:  # fmt: skip
    """POST /standingorder/v1/createStandingOrderExternal. `name` must be new to this customer."""
    till = app.kind == "till"
    reply = daraja.post(app, token, "/standingorder/v1/createStandingOrderExternal", {
        "StandingOrderName": name,
        "StartDate": f"{starts_on:%Y%m%d}",
        "EndDate": f"{ends_on:%Y%m%d}",
        "BusinessShortCode": app.party_b,
        "TransactionType": f"Standing Order Customer Pay {'Marchant' if till else 'Bill'}",
        "ReceiverPartyIdentifierType": "2" if till else "4",
        "Amount": str(amount_cents // 100),
        "PartyA": phone.lstrip("+"),
        "CallBackURL": callback_url,
        "AccountReference": reference,
        "TransactionDesc": description,
        "Frequency": FREQUENCIES[frequency],
    })  # fmt: skip
    if reply is None:
        return NotAccepted(Meaning(Verdict.UNKNOWN), "no answer")
    header = _part(reply.body, "header")
    if reply.status == 200 and str(header.get("responseCode")) == "200":
        return Requested(str(header.get("responseRefID", ""))[:64])
    return daraja.not_accepted(reply)


def parse(body: bytes) -> Told | None:
    """Reads the callback, whose names come in either case; None for anything else."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    header = _part(said, "header")
    code = header.get("responseCode")
    if isinstance(code, bool) or not isinstance(code, int | str) or not re.fullmatch(r"\w{1,40}", str(code)):
        return None
    listed = _part(said, "body").get("responseData", _part(said, "body").get("ResponseData"))
    items = {
        str(item.get("name", item.get("Name"))): item.get("value", item.get("Value"))
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    }
    reference = header.get("responseRefID")
    return Told(str(code), reference if isinstance(reference, str) else None, receipt_in(items.get("TransactionID")))


def _part(body: Any, name: str) -> dict[str, Any]:
    """`responseHeader` of an answer is `ResponseHeader` of another."""
    if not isinstance(body, dict):
        return {}
    found = body.get(f"response{name.title()}", body.get(f"Response{name.title()}"))
    if not isinstance(found, dict):
        return {}
    return {f"{key[:1].lower()}{key[1:]}": value for key, value in found.items() if isinstance(key, str)}
