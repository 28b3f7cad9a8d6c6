"""The one door to Safaricom's Daraja: OAuth, STK push, STK query. Speaks HTTP and knows no database.

Every outcome is a value: what a peer says, or does not say, is never an exception. Build sheet sections 2 to 4.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import requests

from tenants.gateway import Accepted as Accepted
from tenants.gateway import Answer as Answer
from tenants.gateway import Meaning, Verdict
from tenants.gateway import NotAccepted as NotAccepted
from tenants.mpesa import classify
from tenants.tokens import Token

_EAT = ZoneInfo("Africa/Nairobi")
# Seconds to connect and to read. Both calls of a job, each tried twice, must fit into its lease.
_TIMEOUT, _TOKEN_TIMEOUT = (5, 30), (5, 10)
_MAX_ANSWER_BYTES = 256 * 1024


@dataclass(frozen=True)
class App:
    """A tenant's Daraja app and shortcode, opened for one call. Its secrets are not in its repr."""

    base_url: str
    business_short_code: str
    party_b: str
    kind: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    passkey: str = field(repr=False)

    @property
    def name(self) -> str:
        """What tells this app from all others, and is not its key."""
        return hashlib.sha256(f"{self.base_url} {self.key}".encode()).hexdigest()[:24]

    def password(self, timestamp: str) -> str:
        """Base64 of shortcode, passkey and timestamp (portal: MpesaExpressSimulate)."""
        return base64.b64encode(f"{self.business_short_code}{self.passkey}{timestamp}".encode()).decode()


_NO_ANSWER = NotAccepted(Meaning(Verdict.UNKNOWN), "no answer")


def timestamp(now: datetime) -> str:
    """East Africa Time, 14 digits (build sheet 2.5)."""
    return now.astimezone(_EAT).strftime("%Y%m%d%H%M%S")


def fetch_token(app: App) -> Token | NotAccepted:
    """GET /oauth/v1/generate. An empty 400 means a wrong key or secret (build sheet 2.3, 3)."""
    reply = _call("GET", f"{app.base_url}/oauth/v1/generate", auth=(app.key, app.secret),
                  params={"grant_type": "client_credentials"}, timeout=_TOKEN_TIMEOUT)  # fmt: skip
    if reply is None:
        return NotAccepted(Meaning(Verdict.UNKNOWN), "unreachable", sent=False)
    body = reply.body
    if reply.status == 200 and isinstance(body.get("access_token"), str):
        try:
            return Token(body["access_token"], int(body.get("expires_in", 3599)))
        except (TypeError, ValueError):
            return Token(body["access_token"], 3599)
    code = str(body.get("errorCode", ""))
    if reply.status in {400, 401} and (reply.empty or code == "400.008.01"):
        return NotAccepted(Meaning(Verdict.CONFIG, fix="consumer_key"), code or "400", sent=False)
    return NotAccepted(Meaning(Verdict.UNKNOWN), reply.page or code or str(reply.status), sent=False)


def stk_push(
    app: App, token: str, *, now: datetime, phone: str, amount_cents: int, callback_url: str, reference: str,
    description: str,
) -> Accepted | NotAccepted:  # fmt: skip
    """POST /mpesa/stkpush/v1/processrequest. Sent once, whatever happens: a second one is a second prompt."""
    stamp, msisdn = timestamp(now), phone.lstrip("+")
    till = app.kind == "till"
    reply = _call("POST", f"{app.base_url}/mpesa/stkpush/v1/processrequest", token=token, json={
        "BusinessShortCode": app.business_short_code,
        "Password": app.password(stamp),
        "Timestamp": stamp,
        "TransactionType": "CustomerBuyGoodsOnline" if till else "CustomerPayBillOnline",
        "Amount": str(amount_cents // 100),
        "PartyA": msisdn,
        "PartyB": app.party_b,
        "PhoneNumber": msisdn,
        "CallBackURL": callback_url,
        "AccountReference": reference,
        "TransactionDesc": description,
    })  # fmt: skip
    if reply is None:
        return _NO_ANSWER
    body = reply.body
    if reply.status == 200 and str(body.get("ResponseCode")) == "0" and body.get("CheckoutRequestID"):
        return Accepted(str(body.get("MerchantRequestID", "")), str(body["CheckoutRequestID"]))
    return not_accepted(reply)


def stk_query(app: App, token: str, checkout_request_id: str, *, now: datetime) -> Answer | NotAccepted:
    """POST /mpesa/stkpushquery/v1/query. Its success proves the payment and brings no receipt (build sheet 4.2)."""
    stamp = timestamp(now)
    reply = _call("POST", f"{app.base_url}/mpesa/stkpushquery/v1/query", token=token, json={
        "BusinessShortCode": app.business_short_code,
        "Password": app.password(stamp),
        "Timestamp": stamp,
        "CheckoutRequestID": checkout_request_id,
    })  # fmt: skip
    if reply is None:
        return _NO_ANSWER
    code = reply.body.get("ResultCode")
    if reply.status == 200 and code is not None:
        return Answer(classify.result(str(code)), str(code))
    return not_accepted(reply)


def register_urls(app: App, token: str, *, confirmation: str, validation: str) -> NotAccepted | None:
    """POST /mpesa/c2b/v2/registerurl: None once they are registered. Taken once in production (build sheet 6.1).

    `Completed`: where our validation does not answer, the payment is taken.
    """
    reply = _call("POST", f"{app.base_url}/mpesa/c2b/v2/registerurl", token=token, json={
        "ShortCode": app.business_short_code,
        "ResponseType": "Completed",
        "ConfirmationURL": confirmation,
        "ValidationURL": validation,
    })  # fmt: skip
    if reply is None:
        return _NO_ANSWER
    # Seen alive without a code, and with eight zeros.
    if reply.status == 200 and not str(reply.body.get("ResponseCode", "")).strip("0"):
        return None
    return not_accepted(reply)


def register_pull(app: App, token: str, *, phone: str, callback_url: str) -> NotAccepted | None:
    """POST /pulltransactions/v1/register: None once the shortcode is registered (build sheet 7)."""
    reply = _call("POST", f"{app.base_url}/pulltransactions/v1/register", token=token, json={
        "ShortCode": app.business_short_code,
        "RequestType": "Pull",
        "NominatedNumber": phone.lstrip("+"),
        "CallBackURL": callback_url,
    })  # fmt: skip
    if reply is None:
        return _NO_ANSWER
    # The portal writes the key in one word, life in two. 1001: it was registered before.
    status = str(reply.body.get("ResponseStatus") or reply.body.get("Response Status") or "")
    return None if reply.status == 200 and status in {"1000", "1001"} else not_accepted(reply)


def pull(app: App, token: str, *, start: datetime, end: datetime, offset: int) -> list[dict[str, Any]] | NotAccepted:
    """POST /pulltransactions/v1/query: a page of what was paid, from its `offset`th row on; [] where there are no more
    (build sheet 7)."""
    reply = _call("POST", f"{app.base_url}/pulltransactions/v1/query", token=token, json={
        "ShortCode": app.business_short_code,
        "StartDate": f"{start.astimezone(_EAT):%Y-%m-%d %H:%M:%S}",
        "EndDate": f"{end.astimezone(_EAT):%Y-%m-%d %H:%M:%S}",
        "OffSetValue": str(offset),
    })  # fmt: skip
    if reply is None:
        return _NO_ANSWER
    code = str(reply.body.get("ResponseCode", ""))
    if reply.status == 200 and code in {"1000", "1001"}:
        return list(_rows(reply.body.get("Response")))
    if reply.status == 500 and "failed to retrieve" in str(reply.body.get("errorMessage", "")).lower():
        return []
    return not_accepted(reply)


def _rows(nested: Any) -> Iterator[dict[str, Any]]:
    """The rows of `[[row, …]]`, which is how they come."""
    for item in nested if isinstance(nested, list) else []:
        if isinstance(item, dict):
            yield item
        else:
            yield from _rows(item)


class Reply(NamedTuple):
    """What came back: the body is {} where it is no JSON object, and `empty` where there was none. `page` names an HTML
    page of the firewall's that came instead of an answer: `html 403` or `html 503`."""

    status: int
    body: dict[str, Any]
    empty: bool
    page: str = ""


def post(app: App, token: str, path: str, body: dict[str, Any]) -> Reply | None:
    """One POST with a token, sent once. None where there was no answer at all."""
    return _call("POST", f"{app.base_url}{path}", token=token, json=body)


def not_accepted(reply: Reply) -> NotAccepted:
    """What an answer that is no acceptance means."""
    code = reply.page or str(reply.body.get("errorCode") or reply.body.get("ResponseCode") or reply.status)
    message = str(reply.body.get("errorMessage") or reply.body.get("ResponseDescription") or "")
    return NotAccepted(classify.answer(reply.status, code if "." in code else "", message), code)


def _call(
    method: str, url: str, *, token: str | None = None, timeout: tuple[int, int] = _TIMEOUT, **options: Any
) -> Reply | None:
    """One request, no redirects, a bounded answer. None where there was no answer at all."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with requests.request(method, url, headers=headers, timeout=timeout, allow_redirects=False, stream=True,
                              **options) as answer:  # fmt: skip
            raw = answer.raw.read(_MAX_ANSWER_BYTES, decode_content=True)
    except (requests.RequestException, OSError):
        return None
    is_page = answer.status_code in {403, 503} and raw.lstrip()[:1] not in {b"{", b""}
    return Reply(answer.status_code, _parse(raw), not raw.strip(), f"html {answer.status_code}" if is_page else "")


def _parse(raw: bytes) -> dict[str, Any]:
    """A JSON object, or {} for HTML, nothing, or anything else that a gateway may say."""
    try:
        body = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
