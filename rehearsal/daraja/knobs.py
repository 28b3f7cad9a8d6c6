"""The fault knobs of build sheet section 23.

Groups say which exchange a knob belongs to (GROUPS): requests obey `gateway` and their own group, and all that is
called back obeys `callback`; a rule with an `exchange` tells them apart. Where the portal and the field disagree there
is a knob, and its default is what the field shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rehearsal.simulation import BadKnob, KnobSet, count, flag, knob, names, number, one_of

Span = tuple[float, float]
_amount = number()


def text(value: object) -> object:
    if not isinstance(value, str):
        raise BadKnob("takes text")
    return value


def span(value: object) -> object:
    """Seconds: a number, or [least, most] to draw from."""
    ends = [_amount(end) for end in (value if isinstance(value, list | tuple) else (value, value))]
    if len(ends) != 2 or ends[0] > ends[1]:
        raise BadKnob("takes seconds or [least, most]")
    return (ends[0], ends[1])


def weights(value: object) -> object:
    if not isinstance(value, Mapping):
        raise BadKnob('takes {"outcome": weight}')
    return {str(outcome): _amount(weight) for outcome, weight in value.items()}


FAULTS = (
    "none", "html_403", "html_503", "unreachable", "maintenance", "internal_error", "soap_fault", "fault_envelope",
    "empty_400", "spike_429", "spike_500", "busy", "quota", "hang_before_exec", "hang_after_exec", "error_after_exec",
)  # fmt: skip
FORGERIES = (
    "wrong_amount", "unknown_receipt", "other_checkout", "wrong_token", "off_list_ip", "malformed", "oversized",
)  # fmt: skip


@dataclass(frozen=True)
class Knobs(KnobSet):
    """The knobs of the simulator as a whole, of a rule or of one transaction."""

    oauth_empty_400: bool = knob(False, flag, "refuse even good credentials with the empty HTTP 400")
    oauth_strict_invalidation: bool = knob(True, flag, "a new token kills the app's older ones (portal FAQ)")
    oauth_expires_in_type: str = knob("string", one_of("string", "number"), "portal sample number, fixtures string")
    oauth_ttl: int = knob(3599, count(), "seconds a token lives")

    gateway_fault: str = knob("none", one_of(*FAULTS), "what goes wrong; the *_after_exec ones execute first")
    gateway_chance: float = knob(1.0, number(), "share of requests that meet gateway.fault")
    gateway_slow: tuple[float, float] = knob((0.0, 0.0), span, "real seconds before the answer")
    gateway_hang: float = knob(35.0, number(), "real seconds of a hang before the connection is cut; 0 cuts at once")
    gateway_invalid_token: str = knob(
        "404.001.03",
        one_of("404.001.03", "400.003.01", "401.001", "401.002.01", "401.003.01"),
        "form of Invalid Access Token",
    )
    gateway_wrong_verb: str = knob("405.001", one_of("405.001", "404.001.04"), "answer to GET instead of POST")
    gateway_burst: int = knob(
        0, count(), "requests in 10 s from an address before the firewall answers HTML 403; 0 off"
    )
    gateway_ban: float = knob(60.0, number(), "seconds that HTML 403 then lasts")

    gateway_url_words: str = knob("strict", one_of("strict", "lenient"), "refuse callback URLs with forbidden words")
    gateway_url_refusal: str = knob("400.003.02", one_of("400.003.02", "400.002.02"), "how a forbidden word is refused")

    stk_auto: Mapping[str, float] = field(
        default_factory=dict,
        metadata={"check": weights, "doc": "outcomes with weights for unscripted prompts; empty: a person answers"},
    )
    stk_auto_after: tuple[float, float] = knob((1.0, 1.0), span, "seconds before such an answer")
    stk_prompt_seconds: float = knob(60.0, number(), "life of a prompt")
    stk_timeout_code: str = knob("1037", one_of("1037", "1019", "1032", "1036"), "result of a prompt nobody answered")
    stk_core_delay: float = knob(1.0, number(), "seconds before a result that needs no prompt (17, 1025, 2028 ...)")
    stk_late_success: float = knob(0.0, number(), "the money moves all the same, seconds after a failure; 0 off")
    stk_also_c2b: bool = knob(True, flag, "a push that is paid is also confirmed to the registered C2B URL")
    stk_repeat_window: float = knob(120.0, number(), "seconds in which the same phone and amount give 17; 0 off")
    stk_lock: str = knob("sync", one_of("sync", "async_1001", "off"), "second prompt for one phone")
    stk_long_reference: str = knob("refuse", one_of("refuse", "code_1025", "truncate"), "AccountReference over 12")
    stk_refuse_buy_goods: bool = knob(False, flag, "as the real sandbox: 400.002.02 Invalid TransactionType")
    stk_till_as_shortcode: str = knob("sync", one_of("sync", "async"), "till trap: Merchant does not exist, or later")
    stk_mismatch_code: str = knob("2028", one_of("2028", "SFC_IC0003", "2002"), "wrong TransactionType or PartyB")
    stk_foreign_shortcode: str = knob("refuse", one_of("refuse", "accept"), "shortcode of another app's token")
    stk_wrong_credentials: str = knob("portal", one_of("portal", "live"), "text of Wrong credentials")
    stk_id_form: str = knob("new", one_of("new", "old"), "shape of MerchantRequestID and CheckoutRequestID")
    stk_per_second: float = knob(0.0, number(), "pushes an app may send per second; 0 off")

    query_pending: str = knob("http500", one_of("http500", "4999", "both"), "the two forms of pending; both: drawn")
    query_stuck: bool = knob(False, flag, "pending for ever")
    query_contradict: str = knob("", text, "result code told although the customer paid; empty off")
    query_early_1037: bool = knob(False, flag, "1037 while the customer is still typing")
    query_spelling: str = knob("live", one_of("live", "portal"), "successsfully or successfully")
    query_per_minute: float = knob(0.0, number(), "queries per minute and app, burst 1 (sandbox: 5); 0 off")
    query_rate_form: str = knob("429", one_of("429", "500.003.02"), "answer over query.per_minute and stk.per_second")

    c2b_register_reply: str = knob(
        "official", one_of("official", "no_code", "00000000", "already_registered", "duplicate_notification"),
        "answer to Register URL; the last two register nothing",
    )  # fmt: skip
    c2b_register_again: str = knob(
        "refuse", one_of("refuse", "overwrite"), "URLs that stand: production refuses, the sandbox overwrites"
    )
    c2b_mask: str = knob("spaced", one_of("spaced", "stars"), "MSISDN of v2: 2547 ***** 126 or 25470****149")
    c2b_till_shortcode: str = knob("till", one_of("till", "store"), "BusinessShortCode of a till's payments")
    c2b_transaction_type: str = knob(
        "portal", one_of("portal", "live"), "Pay Bill and Buy Goods, or Customer Merchant Payment for tills"
    )
    c2b_amount_form: str = knob("decimal", one_of("decimal", "whole"), "TransAmount 5.00 or 5")
    c2b_names: str = knob("first", one_of("first", "full", "absent"), "FirstName, MiddleName and LastName")
    c2b_validation_timeout: float = knob(8.0, number(), "real seconds to wait for the validation URL")
    c2b_validation_lost: float = knob(0.0, number(), "share of validation requests that never arrive")
    c2b_simulate_silent: bool = knob(False, flag, "as often in the sandbox: simulate is accepted, nothing happens")

    pull_keys: str = knob("spaced", one_of("spaced", "compact"), "keys of the registration: Response Status or not")
    pull_ref_key: str = knob("ResponseRefID", one_of("ResponseRefID", "RequestID"), "live or sandbox")
    pull_empty: str = knob("1001", one_of("1001", "http500"), "answer where there is nothing")
    pull_lag: float = knob(0.0, number(), "seconds before a payment shows")
    pull_page: int = knob(100, count(1), "rows of a page; nobody documents it")
    pull_msisdn: str = knob("number", one_of("number", "string", "masked"), "form of the payer's number")
    pull_amount: str = knob("string", one_of("string", "number"), "form of the amount")
    pull_zone: str = knob("eat", one_of("eat", "utc"), "what trxDate means; it ends in Z either way")

    statement_dates: str = knob("iso", one_of("iso", "day_first"), "2026-11-21 or 21-11-2026")
    statement_withdrawn: str = knob("negative", one_of("negative", "positive"), "sign of Withdrawn")
    statement_thousands: bool = knob(False, flag, "1,053.00 instead of 1053.00")
    statement_off_by: int = knob(0, count(), "shillings by which the newest line is untrue")

    initiator_delay: tuple[float, float] = knob((1.0, 1.0), span, "seconds between acknowledgement and execution")
    status_party_names: str = knob("proper", one_of("proper", "sample"), "sample: the credit party as DebitPartyName")
    reversal_partial: str = knob("refuse", one_of("refuse", "allow"), "less than the whole payment; not documented")

    qr_code: str = knob("field", one_of("field", "sample"), "ResponseCode of a QR code: 00, or an AG_ id")
    lookup_code: str = knob("sample", one_of("sample", "table"), "ResponseCode of a known organisation: 4000 or 0")

    ratiba_keys: str = knob("portal", one_of("portal", "capitals"), "responseHeader, or ResponseHeader as of failures")
    ratiba_prompt_seconds: float = knob(60.0, number(), "life of the request for a PIN")

    result_code: str = knob("", text, "result told instead of executing anything; empty off")
    result_queue_timeout: str = knob(
        "off", one_of("off", "executed", "expired"), "QueueTimeOutURL is told instead of ResultURL; did money move"
    )
    result_late: float = knob(0.0, number(), "seconds after such a timeout that the result comes all the same; 0 never")
    result_reference: str = knob("object", one_of("object", "array"), "form of ReferenceItem")
    result_failure_parameter: bool = knob(False, flag, "failures have one ResultParameter, an object and no list")

    callback_drop: float = knob(0.0, number(), "share of callbacks, confirmations and results never sent; 1 all")
    callback_duplicate: int = knob(1, count(), "times each callback is sent, all at once")
    callback_duplicate_chance: float = knob(1.0, number(), "share of callbacks that callback.duplicate concerns")
    callback_delay: tuple[float, float] = knob((0.0, 0.0), span, "seconds between result and callback")
    callback_reorder: int = knob(0, count(), "hold this many, then send them last first; 0 off")
    callback_before_response: bool = knob(False, flag, "the callback of a scripted outcome beats the push's own answer")
    callback_retries: int = knob(0, count(), "further tries after anything but a 2xx")
    callback_retry_seconds: float = knob(10.0, number(), "seconds between tries")
    callback_timeout: float = knob(8.0, number(), "real seconds to wait for the receiver")
    callback_source_ip: str = knob("196.201.214.200", text, "X-Forwarded-For of genuine callbacks; empty: no header")
    callback_forge: tuple[str, ...] = knob(
        (), names(*FORGERIES), "forged companions before the genuine one, of C2B too"
    )
    callback_amount: int = knob(0, count(), "amount that genuine callbacks state instead of the true one; 0 off")
    callback_balance_item: str = knob("no_value", one_of("absent", "no_value", "value"), "the Balance item")
    callback_numbers_as_strings: bool = knob(False, flag, "ResultCode, Amount, dates and phones as strings")
    callback_item_order: str = knob("official", one_of("official", "shuffle"), "order of the metadata")
    callback_phone_masked: bool = knob(False, flag, "2547 ***** 126 as since March 2026 on other channels")
    callback_description: str = knob("plain", one_of("plain", "prefixed"), "old [STK_CB - ] texts")


# Which groups an exchange obeys; a rule with `times` is only used up by an exchange that it concerns.
GROUPS: dict[str, frozenset[str]] = {
    "oauth": frozenset({"oauth", "gateway"}),
    "stk": frozenset({"stk", "gateway"}),
    "query": frozenset({"query", "gateway"}),
    "c2b": frozenset({"c2b", "gateway"}),
    "pull": frozenset({"pull", "gateway"}),
    "qr": frozenset({"qr", "gateway"}),
    "lookup": frozenset({"lookup", "gateway"}),
    "ratiba": frozenset({"ratiba", "gateway"}),
    "ratiba_callback": frozenset({"ratiba", "callback"}),
    "callback": frozenset({"callback"}),
    "validation": frozenset({"c2b"}),
    "confirmation": frozenset({"callback", "c2b"}),
}
INITIATOR_APIS = ("status", "balance", "reversal", "b2c")
for _api in INITIATOR_APIS:
    GROUPS[_api] = frozenset({"initiator", _api, "gateway"})
    GROUPS[f"{_api}_result"] = frozenset({"callback", "result"})
    GROUPS[f"{_api}_timeout"] = frozenset({"callback"})
