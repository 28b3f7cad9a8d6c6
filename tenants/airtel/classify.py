"""What Airtel Money's codes mean for us (docs/airtel.md 4 and 5). Pure: codes in, a verdict out."""

from __future__ import annotations

from tenants.gateway import Meaning, Verdict

_SUCCESS, _PENDING, _UNKNOWN = Meaning(Verdict.SUCCESS), Meaning(Verdict.PENDING), Meaning(Verdict.UNKNOWN)
_FINAL, _REVIEW, _TOKEN = Meaning(Verdict.FINAL), Meaning(Verdict.REVIEW), Meaning(Verdict.TOKEN)

WRONG_PIN, LIMIT, TOO_LITTLE, NO_PIN = (f"DP0080000100{number}" for number in (2, 3, 4, 5))
NO_BALANCE, REFUSED, DO_NOT_HONOR = "DP00800001007", "DP00800001008", "DP00800001009"
NOT_PERMITTED, TIMED_OUT, EXPIRED = "DP00800001010", "DP00800001024", "DP00800001029"
IN_PROCESS, AMBIGUOUS, NOT_FOUND = "DP00800001006", "DP00800001000", "DP00800001025"

# What a customer did, or their purse: says nothing of Airtel.
DECLINED = frozenset({WRONG_PIN, LIMIT, TOO_LITTLE, NO_PIN, NO_BALANCE, REFUSED, NOT_PERMITTED, TIMED_OUT, EXPIRED})
# A no with one of these is the customer's, and will not turn into a yes.
_CERTAIN = frozenset({WRONG_PIN, LIMIT, TOO_LITTLE, NO_BALANCE, REFUSED, NOT_PERMITTED, EXPIRED})
# Airtel asks to be asked no sooner than three minutes after the push: a no without a reason that comes before is early.
_SURE_AFTER = 180

# Codes that a failed attempt is stored with. TF, TE: the status alone, where no response code says why.
RESULTS = {
    "TS": _SUCCESS,
    **dict.fromkeys(("TF", "TE"), _FINAL),
    **dict.fromkeys(("TA", "TIP"), _PENDING),
    **dict.fromkeys((*DECLINED, DO_NOT_HONOR), _FINAL),
    "config": Meaning(Verdict.CONFIG, fix="request"),
}

# ROUTER and ESB codes that refuse a request before anything is executed, and name what the tenant must mend.
_FIXES = {
    "ROUTER001": "wallet",
    "ROUTER005": "country",
    "ROUTER006": "country",
    "ROUTER007": "country",
    "ESB000039": "country",
    "DP00800001026": "signing",
}
# Refused before anything is executed, by a fault of ours or of the phone's number.
_OUR_REQUEST = frozenset({"ROUTER003", "ROUTER112", "ROUTER119", "ESB000033", "ESB000034", "ESB000035", "ESB000036"})


def result(code: str) -> Meaning:
    """A transaction's status, or the response code that an attempt failed with."""
    return RESULTS.get(code, _REVIEW)


def enquiry(status: str, response_code: str) -> tuple[Meaning, str]:
    """(what an answer to a status enquiry means, the code to keep): the transaction's own status decides; the response
    code says why, where it is a reason."""
    if status == "TS":
        return _SUCCESS, status
    if status in {"TF", "TE"}:
        why = response_code if response_code in DECLINED or response_code == DO_NOT_HONOR else status
        return RESULTS[why], why
    # In progress, ambiguous, not found, or nothing that we know: nobody knows.
    return _PENDING, status or response_code or "no status"


def refused(http_status: int, code: str) -> Meaning:
    """An answer to a push that is no acceptance. Only what is surely refused before it is executed ends an attempt; a
    general error may have executed it, and so may whatever nobody has described."""
    if http_status == 401:
        return _TOKEN
    if code in _FIXES:
        return Meaning(Verdict.CONFIG, fix=_FIXES[code])
    if code in _OUR_REQUEST or code in _CERTAIN:
        return _FINAL
    return _UNKNOWN


def is_late_enough(code: str, seconds_since_asked: float) -> bool:
    """Whether a no of an enquiry can be believed already."""
    return code in _CERTAIN or seconds_since_asked >= _SURE_AFTER
