"""What Daraja's codes mean for us (build sheet 2.3, 4.3, 17). Pure: a code and a text in, a verdict out."""

from __future__ import annotations

from tenants.gateway import Meaning, Verdict

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
        return Meaning(Verdict.FINAL, fix="urls")
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


# Build sheet 8 to 12: results of the APIs that act for an organisation. A code is of its API: 17, which limits a payer
# of STK, is a failure inside Safaricom here; 1 is a customer's empty purse there, and the organisation's own here.
_REFUSED_INITIATOR = _config("initiator")
_ORGANISATION = {
    "0": _SUCCESS,
    **dict.fromkeys(("2001", "18", "20", "8006"), _REFUSED_INITIATOR),
    **dict.fromkeys(("21", "22"), _config("initiator_role")),
    **dict.fromkeys(("11", "2006"), _config("account_status")),
    "2028": _config("initiator_shortcode"),
    # The request exists already: what became of it must be asked.
    "15": _UNKNOWN,
    **dict.fromkeys(("24", "25", "29"), Meaning(Verdict.FINAL, fix="request")),
    **dict.fromkeys(("26", "100000001", "100000002"), Meaning(Verdict.WAIT, 300)),
}
ORGANISATION_RESULTS = {
    "status": _ORGANISATION | {"17": _UNKNOWN, **dict.fromkeys(("2033", "SFC_IC0003"), _FINAL)},
    "balance": _ORGANISATION | {"17": _UNKNOWN},
    "b2c": _ORGANISATION
    | {"1": _config("payout_funds"), **dict.fromkeys(("2", "3", "4", "8", "2040", "SFC_IC0003"), _FINAL)},
    # R000001: it was reversed before, and nothing is left to do (build sheet 22.3).
    "reversal": _ORGANISATION | {"1": _config("payout_funds"), "R000001": _SUCCESS, "R000002": _FINAL},
}


def organisation_result(api: str, code: str) -> Meaning:
    """A ResultCode of `status`, `balance`, `b2c` or `reversal`, as text whatever its type on the wire."""
    return ORGANISATION_RESULTS[api].get(code, _REVIEW)


def is_duplicate(code: str) -> bool:
    """Whether Daraja has a request with this OriginatorConversationID already (build sheet 2.3)."""
    return code == "500.002.1001"


def is_no_such_path(code: str) -> bool:
    """Whether the gateway does not know the address: it refuses before anything is executed (build sheet 2.3)."""
    return code in {"404.001.01", "404.002.01", "404.003.01"}
