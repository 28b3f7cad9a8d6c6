"""Pull Transactions: what customers paid in the last 48 hours, for those who missed the callbacks.

Build sheet 7; portal page PullTransaction. It does not tell whether a payment was reversed later.
"""

from __future__ import annotations

from datetime import UTC, datetime

from . import fields
from .book import Transaction
from .clock import EAT
from .gateway import Call, Refusal, Reply, bad_request
from .identifiers import masked
from .knobs import Knobs
from .parties import Merchant
from .world import World

_WINDOW_SECONDS = 48 * 3600
_SPACED = {"ResponseStatus": "Response Status", "ResponseDescription": "Response Description"}


class PullDesk:
    def __init__(self, world: World) -> None:
        self.world = world

    def register(self, call: Call) -> Reply:
        merchant = self._own_merchant(call)
        fields.choice(call.body, "RequestType", "Pull")
        fields.msisdn(call.body, "NominatedNumber")
        fields.refuse_words("CallBackURL", fields.url(call.body, "CallBackURL"), call.knobs)
        known, merchant.pulls = merchant.pulls, True
        told = {
            "ResponseRefID": self.world.ids.request(),
            "ResponseStatus": "1001" if known else "1000",
            "ShortCode": merchant.shortcode,
            "ResponseDescription": f"Shortcode {'already registered' if known else 'Registered Successfully'}",
        }
        if call.knobs.pull_keys == "spaced":
            told = {_SPACED.get(key, key): value for key, value in told.items()}
        return Reply(told)

    def query(self, call: Call) -> Reply:
        """A page of payments in the order in which they were made; an offset counts rows."""
        merchant = self._own_merchant(call)
        if not merchant.pulls:
            raise Refusal(400, "400.001", "Invalid ShortCode", "the shortcode is not registered for Pull")
        start, end = _moment(call, "StartDate"), _moment(call, "EndDate")
        offset = int(fields.digits(call.body, "OffSetValue", 1, 9))
        now = self.world.clock.now()
        # The dates have no fractions, the book has: the last second counts whole.
        last = min(end + 0.999999, now - call.knobs.pull_lag)
        rows = self.world.book.between(merchant.shortcode, max(start, now - _WINDOW_SECONDS), last)
        paid = [line for line in rows if line.kind in ("stk", "c2b")][offset : offset + call.knobs.pull_page]
        if not paid and call.knobs.pull_empty == "http500":
            raise Refusal(500, "500.001.1001", "Failed to retrieve transactions")
        return Reply(
            {
                call.knobs.pull_ref_key: self.world.ids.request("old"),
                "ResponseCode": "1000" if paid else "1001",
                "ResponseMessage": "Success" if paid else "No transactions found",
                "Response": [[_row(line, merchant, call.knobs) for line in paid]],
            }
        )

    def _own_merchant(self, call: Call) -> Merchant:
        merchant = self.world.merchants[call.app.shortcode]
        if fields.plain(call.body.get("ShortCode")) not in (merchant.shortcode, merchant.till):
            raise Refusal(400, "400.001", "Invalid ShortCode", "not a shortcode of this app")
        return merchant


def _moment(call: Call, name: str) -> float:
    """`YYYY-MM-DD HH:mm:ss`, East Africa Time."""
    try:
        return datetime.strptime(str(call.body.get(name)), "%Y-%m-%d %H:%M:%S").replace(tzinfo=EAT).timestamp()
    except ValueError:
        raise bad_request(name, "a time such as 2026-11-23 00:00:00") from None


def _row(line: Transaction, merchant: Merchant, knobs: Knobs) -> dict[str, object]:
    phones = {"number": int(line.msisdn), "string": line.msisdn, "masked": masked(line.msisdn)}
    zone = UTC if knobs.pull_zone == "utc" else EAT
    return {
        "transactionId": line.receipt,
        "trxDate": f"{datetime.fromtimestamp(line.paid_at, zone):%Y-%m-%dT%H:%M:%S}Z",
        "msisdn": phones[knobs.pull_msisdn],
        "sender": "MPESA",
        "transactiontype": "c2b-buy-goods-debit" if line.till else "c2b-pay-bill-debit",
        "billreference": line.reference,
        "amount": f"{line.amount}.00" if knobs.pull_amount == "string" else line.amount,
        "organizationname": merchant.name,
    }
