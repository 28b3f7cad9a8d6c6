"""The one door to Airtel Money Africa's Open API: token, USSD push, status enquiry. Speaks HTTP and knows no database.

Every outcome is a value. docs/airtel.md sections 2 to 5 say where each fact comes from, and which of them are inferred.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import requests
import urllib3

from tenants.airtel import classify
from tenants.gateway import Accepted, Answer, Meaning, NotAccepted, Told, Verdict
from tenants.tokens import Token

# Kenya: Airtel routes a request by these two headers.
COUNTRY, CURRENCY = "KE", "KES"
# Seconds to connect and to read. Both calls of a job, each tried twice, must fit into its lease.
_TIMEOUT, _TOKEN_TIMEOUT = (5, 20), (5, 10)
_MAX_ANSWER_BYTES = 256 * 1024
RECEIPT = re.compile(r"[A-Za-z0-9.]{5,40}", re.ASCII)
_NO_ANSWER = NotAccepted(Meaning(Verdict.UNKNOWN), "no answer")


@dataclass(frozen=True)
class App:
    """A tenant's application at Airtel, opened for one call. Its secrets are not in its repr."""

    base_url: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


class Reply(NamedTuple):
    """What came back: the body is {} where it is no JSON object."""

    status: int
    body: dict[str, Any]

    def part(self, *names: str) -> dict[str, Any]:
        """A nested object; {} where there is none."""
        found: Any = self.body
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def codes(self) -> list[str]:
        """What it calls its outcome, the most telling first: response_code, result_code, then plain code."""
        status = self.part("status")
        said = [status.get("response_code"), status.get("result_code"), status.get("code"), self.body.get("code")]
        return [str(code) for code in said if isinstance(code, str | int) and str(code)]


def fetch_token(app: App) -> Token | NotAccepted:
    """POST /auth/oauth2/token. A 400 or 401 in JSON is a wrong client id or secret; it lives some minutes."""
    reply = _call(
        "POST",
        f"{app.base_url}/auth/oauth2/token",
        timeout=_TOKEN_TIMEOUT,
        json={"client_id": app.client_id, "client_secret": app.client_secret, "grant_type": "client_credentials"},
    )
    if reply is None:
        return NotAccepted(Meaning(Verdict.UNKNOWN), "unreachable", sent=False)
    value = reply.body.get("access_token")
    if reply.status == 200 and isinstance(value, str) and value:
        try:
            return Token(value, max(1, int(reply.body.get("expires_in", 180))))
        except (TypeError, ValueError):
            return Token(value, 180)
    if reply.status in {400, 401} and reply.body:
        return NotAccepted(Meaning(Verdict.CONFIG, fix="keys"), str(reply.status), sent=False)
    return NotAccepted(Meaning(Verdict.UNKNOWN), str(reply.status), sent=False)


def push(app: App, token: str, *, name: str, phone: str, amount_cents: int, reference: str) -> Accepted | NotAccepted:
    """POST /merchant/v2/payments/: asks a phone for whole shillings, once. `name` is ours, and taken once by Airtel."""
    reply = _call(
        "POST",
        f"{app.base_url}/merchant/v2/payments/",
        token=token,
        json={
            "reference": reference,
            "subscriber": {"country": COUNTRY, "currency": CURRENCY, "msisdn": national(phone)},
            "transaction": {
                "amount": amount_cents // 100, "country": COUNTRY, "currency": CURRENCY, "id": name,
            },
        },
    )  # fmt: skip
    if reply is None:
        return _NO_ANSWER
    codes = reply.codes
    taken = reply.part("status").get("success") is True or classify.IN_PROCESS in codes
    if reply.status == 200 and taken:
        return Accepted(str(reply.part("data", "transaction").get("id") or "")[:64], name)
    code = next((each for each in codes if each.startswith(("DP", "ROUTER", "ESB"))), str(reply.status))
    meanings = [classify.refused(reply.status, each) for each in codes] or [classify.refused(reply.status, "")]
    return NotAccepted(next((each for each in meanings if each.verdict is not Verdict.UNKNOWN), meanings[0]), code)


def enquire(app: App, token: str, name: str) -> Answer | NotAccepted:
    """GET /standard/v1/payments/{id}, by the name that we gave."""
    reply = _call("GET", f"{app.base_url}/standard/v1/payments/{quote(name, safe='')}", token=token)
    if reply is None:
        return _NO_ANSWER
    if reply.status == 401:
        return NotAccepted(Meaning(Verdict.TOKEN), "401")
    transaction = reply.part("data", "transaction")
    if not reply.body or (not transaction and not reply.codes):
        return NotAccepted(Meaning(Verdict.UNKNOWN), str(reply.status))
    fix = next((classify.refused(reply.status, code).fix for code in reply.codes), None)
    if fix is not None and not transaction:
        return NotAccepted(Meaning(Verdict.CONFIG, fix=fix), reply.codes[0])
    status = transaction.get("status")
    meaning, code = classify.enquiry(
        status.upper() if isinstance(status, str) else "", reply.codes[0] if reply.codes else ""
    )
    return Answer(meaning, code, receipt_of(transaction.get("airtel_money_id")))


def read(body: bytes) -> Told | None:
    """Reads a callback; None for anything else. It names our own transaction and has no amount."""
    try:
        said = json.loads(body)
        transaction = said["transaction"]
        name, status = transaction["id"], transaction["status_code"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if not isinstance(name, str) or not 0 < len(name) <= 64 or status not in ("TS", "TF", "TE", "TA", "TIP"):
        return None
    return Told(status, name, None, None, receipt_of(transaction.get("airtel_money_id")) if status == "TS" else None)


def is_signed(body: bytes, key: str) -> bool:
    """Whether a callback's `hash` is Base64 of HMAC-SHA256 under the application's private key.

    Over what exactly, Airtel's page does not say: over the transaction object as it stands in the body, or written
    anew without spaces, as public clients do. Nothing else is taken.
    """
    try:
        said = json.loads(body)
        given, transaction = said["hash"], said["transaction"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return False
    if not isinstance(given, str) or not isinstance(transaction, dict) or not given.isascii():
        return False
    compact = json.dumps(transaction, separators=(",", ":"), ensure_ascii=False)
    escaped = json.dumps(transaction, separators=(",", ":"))
    candidates = {compact, escaped, _as_it_stands(body.decode("utf-8", "replace"), transaction)}
    return any(
        hmac.compare_digest(base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode(), given)
        for text in candidates
    )


def _as_it_stands(text: str, transaction: dict[str, Any]) -> str:
    """That transaction object's own text in a body. Another one of its name may stand beside it, with a hash that is
    true: what is signed must be what is read."""
    found = re.search(r'"transaction"\s*:\s*', text)
    if found is None:
        return ""
    try:
        written, end = json.JSONDecoder().raw_decode(text, found.end())
    except (ValueError, RecursionError):
        return ""
    return text[found.end() : end] if written == transaction else ""


def receipt_of(value: Any) -> str | None:
    """An airtel_money_id; None for anything else."""
    return value if isinstance(value, str) and RECEIPT.fullmatch(value) else None


def national(phone: str) -> str:
    """E.164 without its country code and without a zero, as Airtel wants it."""
    return phone.removeprefix("+254")


def _call(
    method: str, url: str, *, token: str | None = None, timeout: tuple[int, int] = _TIMEOUT, **options: Any
) -> Reply | None:
    """One request, no redirects, a bounded answer. None where there was no answer at all."""
    headers = {"Accept": "*/*", "Content-Type": "application/json"}
    if token is not None:
        headers |= {"Authorization": f"Bearer {token}", "X-Country": COUNTRY, "X-Currency": CURRENCY}
    try:
        with requests.request(
            method, url, headers=headers, timeout=timeout, allow_redirects=False, stream=True, **options
        ) as answer:
            raw = answer.raw.read(_MAX_ANSWER_BYTES, decode_content=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return None
    return Reply(answer.status_code, _parse(raw))


def _parse(raw: bytes) -> dict[str, Any]:
    """A JSON object, or {} for HTML, nothing, or anything else that a gateway may say."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
