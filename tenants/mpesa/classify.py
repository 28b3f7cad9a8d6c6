"""What Daraja's codes mean for us (build sheet 2.3, 4.3, 17). Pure: a code and a text in, a verdict out."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What to do. Only FINAL, WAIT and CONFIG end an attempt; UNKNOWN never does."""

    SUCCESS = "success"
    FINAL = "final"  # the customer may try again at once
    WAIT = "wait"  # the customer may try again after a while
    CONFIG = "config"  # the tenant must mend something
    PENDING = "pending"  # still under way
    TOKEN = "token"  # noqa: S105 - the access token is stale: fetch one, send once more
    UNKNOWN = "unknown"  # nobody knows whether it happened
    REVIEW = "review"  # a code that nobody has seen: a person must look


class Meaning(NamedTuple):
    """`wait_seconds` before another attempt makes sense; `fix` names what the tenant must mend."""

    verdict: Verdict
    wait_seconds: int = 0
    fix: str | None = None


_SUCCESS, _PENDING, _UNKNOWN = Meaning(Verdict.SUCCESS), Meaning(Verdict.PENDING), Meaning(Verdict.UNKNOWN)
_FINAL, _REVIEW, _TOKEN = Meaning(Verdict.FINAL), Meaning(Verdict.REVIEW), Meaning(Verdict.TOKEN)


def _config(fix: str) -> Meaning:
    return Meaning(Verdict.CONFIG, fix=fix)


# Build sheet 4.3: result codes of a callback, and of a query where it has one.
RESULTS = {
    "0": _SUCCESS,
    **dict.fromkeys(("1", "2", "3", "4", "1019", "1032", "1036", "1037", "2001", "8006"), _FINAL),
    "17": Meaning(Verdict.WAIT, 120),
    "1001": Meaning(Verdict.WAIT, 60),
    **dict.fromkeys(("26", "1025", "9999"), Meaning(Verdict.WAIT, 120)),
    "8": _config("balance_limit"),
    "21": _config("product"),
    "2002": _config("store_and_till"),
    "2006": _config("account_status"),
    "2028": _config("store_and_till"),
    "SFC_IC0003": _config("store_and_till"),
    "4999": _PENDING,
}


def result(code: str) -> Meaning:
    """A ResultCode, as text whatever its type on the wire."""
    return RESULTS.get(code, _REVIEW)


def answer(status: int, code: str, message: str) -> Meaning:
    """An answer that is not a plain acceptance: HTTP status, errorCode and errorMessage ('' where there is none).

    One errorCode, 500.001.1001, carries five meanings: told apart by the message (build sheet 2.3).
    """
    text = message.lower()
    if code in {"404.001.03", "400.003.01", "401.002.01", "401.003.01"}:
        return _config("product") if "apiproduct" in text else _TOKEN
    if code == "400.008.01":
        return _config("consumer_key")
    if code == "500.001.1001":
        return _merchant_says(text)
    if code == "400.002.02":
        return _config("shortcode") if "shortcode" in text else Meaning(Verdict.FINAL, fix="request")
    if "already registered" in text or "duplicate notification info" in text:
        return Meaning(Verdict.FINAL, fix="request")
    if code in {"500.003.02", "500.003.03"} or status == 429:
        return _UNKNOWN
    if 400 <= status < 500 and code:
        return Meaning(Verdict.FINAL, fix="request")
    return _UNKNOWN


def _merchant_says(text: str) -> Meaning:
    if "being processed" in text:
        return _PENDING
    if "merchant does not exist" in text:
        return _config("shortcode")
    if "wrong credentials" in text:
        return _config("passkey")
    if "unable to lock subscriber" in text:
        return Meaning(Verdict.WAIT, 60)
    return _UNKNOWN


def is_late_enough(code: str, seconds_since_accepted: float) -> bool:
    """Whether a negative answer of a query can be believed: the prompt may still be open (build sheet 4.2, 5)."""
    return seconds_since_accepted >= 90 or code in {"1032", "2001", "1", "2028", "SFC_IC0003", "2002"}
