"""What an organisation does through its initiator: Transaction Status, Reversal, Account Balance, B2C. Wire only.

Each request is acknowledged at once; what came of it is told to a ResultURL later, or never, or its QueueTimeOutURL
hears that nobody knows. Some names are misspelt, and differ from one API to the next: the portal spells them so.
Build sheet sections 8, 9, 11, 12.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tenants.gateway import Meaning, Verdict
from tenants.mpesa import classify, daraja
from tenants.mpesa.daraja import App, NotAccepted

RECEIPT = re.compile(r"[A-Z0-9]{10}", re.ASCII)
# A Result that has no transaction of its own carries a made-up one, such as OAK0000000 (build sheet 2.6).
_DUMMY = re.compile(r"[A-Z0-9]{3}0{7}", re.ASCII)
_EAT = ZoneInfo("Africa/Nairobi")
# Names and numbers as they are known to us; whatever else a Result says is not kept.
_LONGEST = 200


@dataclass(frozen=True)
class Initiator:
    """In whose name a call is made, and where its outcome is to be told. Nothing of it but the name is in its repr."""

    name: str
    credential: str = field(repr=False)
    result_url: str = field(repr=False)
    timeout_url: str = field(repr=False)

    def addresses(self) -> dict[str, str]:
        return {"ResultURL": self.result_url, "QueueTimeOutURL": self.timeout_url}


class Acknowledged(NamedTuple):
    """The request was taken. Nothing is known of what becomes of it."""

    originator_conversation_id: str
    conversation_id: str


def transaction_status(
    app: App, token: str, by: Initiator, *, receipt: str | None = None, original_id: str | None = None
) -> Acknowledged | NotAccepted:
    """POST /mpesa/transactionstatus/v1/query, by receipt or by the OriginatorConversationID of what is asked about.

    Exactly one of the two is sent: an empty one beside the other was acknowledged with nothing at all (build sheet 8).
    """
    about = {"TransactionID": receipt} if receipt else {"OriginalConversationID": original_id}
    return _post(app, token, "/mpesa/transactionstatus/v1/query", {
        "Initiator": by.name,
        "SecurityCredential": by.credential,
        "CommandID": "TransactionStatusQuery",
        **about,
        "PartyA": app.business_short_code,
        "IdentifierType": "4",
        **by.addresses(),
        "Remarks": "Status",
        "Occasion": "Status",
    })  # fmt: skip


def account_balance(app: App, token: str, by: Initiator) -> Acknowledged | NotAccepted:
    """POST /mpesa/accountbalance/v1/query."""
    return _post(app, token, "/mpesa/accountbalance/v1/query", {
        "Initiator": by.name,
        "SecurityCredential": by.credential,
        "CommandID": "AccountBalance",
        "PartyA": app.business_short_code,
        "IdentifierType": "4",
        "Remarks": "Balance",
        **by.addresses(),
    })  # fmt: skip


def reversal(app: App, token: str, by: Initiator, *, receipt: str, amount_cents: int) -> Acknowledged | NotAccepted:
    """POST /mpesa/reversal/v1/request, of a payment by a customer. M-Pesa takes back a payment once, whoever asks."""
    return _post(app, token, "/mpesa/reversal/v1/request", {
        "Initiator": by.name,
        "SecurityCredential": by.credential,
        "CommandID": "TransactionReversal",
        "TransactionID": receipt,
        "Amount": str(amount_cents // 100),
        "ReceiverParty": app.business_short_code,
        "RecieverIdentifierType": "11",
        **by.addresses(),
        "Remarks": "Refund",
    })  # fmt: skip


def b2c(
    app: App, token: str, by: Initiator, *, original_id: str, amount_cents: int, phone: str
) -> Acknowledged | NotAccepted:
    """POST /mpesa/b2c/v3/paymentrequest under an OriginatorConversationID of ours, which M-Pesa takes once.

    Where the gateway has no v3, v1, which names the request itself: the refusal came before anything was executed, so
    that money still moves once at most.
    """
    body = {
        "InitiatorName": by.name,
        "SecurityCredential": by.credential,
        "CommandID": "BusinessPayment",
        "Amount": str(amount_cents // 100),
        "PartyA": app.business_short_code,
        "PartyB": phone.lstrip("+"),
        "Remarks": "Refund",
        **by.addresses(),
        "Occassion": "Refund",
    }
    answer = _post(app, token, "/mpesa/b2c/v3/paymentrequest", {"OriginatorConversationID": original_id, **body})
    if isinstance(answer, NotAccepted) and classify.is_no_such_path(answer.code):
        return _post(app, token, "/mpesa/b2c/v1/paymentrequest", body)
    return answer


def _post(app: App, token: str, path: str, body: dict[str, Any]) -> Acknowledged | NotAccepted:
    reply = daraja.post(app, token, path, body)
    if reply is None:
        return NotAccepted(Meaning(Verdict.UNKNOWN), "no answer")
    said = reply.body
    if reply.status == 200 and str(said.get("ResponseCode")) == "0" and said.get("ConversationID"):
        return Acknowledged(str(said.get("OriginatorConversationID", "")), str(said["ConversationID"]))
    return daraja.not_accepted(reply)


# -- what is told later


class Result(NamedTuple):
    """A Result as it came. `receipt` is the transaction's own, and None where there is none; of `items` a name may come
    twice, and without a value it does not come at all."""

    code: str
    originator_conversation_id: str | None
    conversation_id: str | None
    receipt: str | None
    items: dict[str, list[str]]

    def first(self, name: str) -> str | None:
        return next(iter(self.items.get(name, ())), None)


class Transaction(NamedTuple):
    """What Transaction Status knows of a transaction: of `status` only Completed says that money moved."""

    status: str
    receipt: str | None
    amount_cents: int | None
    fee_cents: int | None
    originator_conversation_id: str | None
    finished_at: datetime | None
    # Who paid, as M-Pesa shows them: `254708374149 - John Doe`. Of two such names the first is the payer's.
    payer: str | None = None


class Balance(NamedTuple):
    """One account of the organisation, in cents. What is `available` is what can be paid from it."""

    name: str
    currency: str
    current_cents: int
    available_cents: int
    reserved_cents: int
    uncleared_cents: int


def parse(body: bytes) -> Result | None:
    """Reads a Result; None for anything else. A list may be a single object, and a number text (build sheet 10)."""
    try:
        said = json.loads(body, parse_float=Decimal)["Result"]
        code = said["ResultCode"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if isinstance(code, bool) or not isinstance(code, int | str) or not re.fullmatch(r"[\w.]{1,40}", str(code)):
        return None
    items: dict[str, list[str]] = {}
    for name, value in _items(said.get("ResultParameters")):
        items.setdefault(name, []).append(value)
    return Result(
        str(code), _id(said.get("OriginatorConversationID")), _id(said.get("ConversationID")),
        receipt_in(said.get("TransactionID")), items,
    )  # fmt: skip


def _items(parameters: Any) -> Iterator[tuple[str, str]]:
    listed = parameters.get("ResultParameter") if isinstance(parameters, dict) else None
    for item in listed if isinstance(listed, list) else [listed]:
        if not isinstance(item, dict) or not isinstance(item.get("Key"), str):
            continue
        value = item.get("Value")
        if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
            yield item["Key"], str(value)


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def receipt_in(value: Any) -> str | None:
    """A receipt of M-Pesa's; None for a made-up one and for anything else."""
    found = isinstance(value, str) and RECEIPT.fullmatch(value) and not _DUMMY.fullmatch(value)
    return value if found else None


def cents(value: str | None) -> int | None:
    """Whole cents out of `300`, `300.00` or `-1540.5`; None for anything else."""
    if value is None or not re.fullmatch(r"-?\d{1,12}(\.\d{1,2})?0*", value, re.ASCII):
        return None
    return int(Decimal(value) * 100)


def transaction_in(result: Result) -> Transaction | None:
    """What a Result of Transaction Status tells of the transaction that was asked about; its own ids are the query's.

    None where the query found nothing.
    """
    status = result.first("TransactionStatus")
    if status is None:
        return None
    return Transaction(
        status,
        receipt_in(result.first("ReceiptNo")),
        cents(result.first("Amount")),
        fee_in(result),
        _id(result.first("OriginatorConversationID")),
        instant(result.first("FinalisedTime")),
        result.first("DebitPartyName"),
    )


def fee_in(result: Result) -> int | None:
    """What the organisation paid for it, where it is told: `Fee For B2C Payment|KES|22.40`, or a Charge."""
    charges = result.first("DebitPartyCharges")
    if charges is None:
        return cents(result.first("Charge"))
    told = [cents(charge.rpartition("|")[2].strip()) for charge in charges.split("&")]
    return sum(fee for fee in told if fee is not None) if any(fee is not None for fee in told) else None


def instant(text: str | None) -> datetime | None:
    """A time of M-Pesa's, which is East Africa's: 14 digits, or `06.07.2024 22:48:52` (build sheet 2.5)."""
    for form in ("%Y%m%d%H%M%S", "%d.%m.%Y %H:%M:%S"):
        try:
            return datetime.strptime(text or "", form).replace(tzinfo=_EAT).astimezone(UTC)
        except ValueError:
            continue
    return None


def balances_in(result: Result) -> list[Balance]:
    """The accounts that a Result of Account Balance tells of, joined by & and their amounts by |."""
    found = []
    for account in (result.first("AccountBalance") or "").split("&"):
        name, *rest = (part.strip() for part in account.split("|"))
        amounts = [cents(amount) for amount in rest[1:5]]
        known = [amount for amount in amounts if amount is not None]
        if name and len(known) == 4:
            found.append(Balance(name[:_LONGEST], rest[0][:8], *known))
    return found
