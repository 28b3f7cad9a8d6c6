"""The stkCallback body in all its shapes, and forgeries of it.

Build sheet 4.1, 4.3 and 23; portal page MpesaExpressSimulate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .courier import Letter, letter
from .forgeries import tampered
from .identifiers import masked
from .knobs import Knobs
from .world import Attempt, World

# Build sheet 4.3.
RESULTS = {
    "0": "The service request is processed successfully.",
    "1": "The balance is insufficient for the transaction.",
    "2": "Declined due to limit rule: less than the minimum transaction amount.",
    "3": "Declined due to limit rule: greater than the maximum transaction amount.",
    "4": "Declined due to limit rule: would exceed daily transfer limit.",
    "8": "Declined due to limit rule: would exceed the maximum balance.",
    "17": "Rule limited.",
    "26": "System busy. Traffic blocking condition in place.",
    "1001": "Unable to lock subscriber, a transaction is already in process for the current subscriber.",
    "1019": "Transaction has expired.",
    "1025": "An error occurred while sending a push request.",
    "1032": "Request cancelled by user.",
    "1036": "SMSC ACK timeout.",
    "1037": "DS timeout user cannot be reached.",
    "2001": "The initiator information is invalid.",
    "2002": "Agent number and Store number do not match.",
    "2006": "Declined due to account rule: The account status does not allow this transaction.",
    "2028": "The request is not permitted according to product assignment.",
    "8006": "The security credential is locked.",
    "9999": "An error occurred while sending a push request.",
    "SFC_IC0003": "The operator does not exist.",
}
_AMOUNT = "@amount@"


@dataclass(frozen=True)
class Told:
    """What one callback claims; a forgery claims something untrue."""

    checkout_request_id: str
    code: str
    amount: int
    receipt: str
    paid_at: float


def description(code: str) -> str:
    return RESULTS.get(code, "Request failed.")


def told_to_payer(code: str, amount: int, merchant: str) -> str:
    """The message on the phone after a failure; empty where none comes."""
    return {
        "1": f"Failed. You do not have enough money in your M-PESA account to pay Ksh{amount:,}.00 to {merchant}.",
        "2001": "Failed. You have entered the wrong PIN.",
        "8006": "Your M-PESA PIN is locked. Call 100 or 200 for help.",
    }.get(code, "")


def genuine(world: World, attempt: Attempt, knobs: Knobs) -> Letter:
    return _letter(world, attempt, _truth(world, attempt, knobs), knobs)


def forged(world: World, attempt: Attempt, forgery: str, knobs: Knobs) -> Letter:
    """A callback that Safaricom did not send; it claims success even if nobody paid."""
    now = world.clock.now()
    told = Told(attempt.checkout_request_id, "0", attempt.amount, world.ids.receipt(), now)
    if forgery == "wrong_amount":
        told = Told(attempt.checkout_request_id, "0", attempt.amount + 1, told.receipt, now)
    elif forgery == "other_checkout":
        told = Told(_somebody_elses(world, attempt), "0", attempt.amount, told.receipt, now)
    elif forgery == "off_list_ip":
        told = _truth(world, attempt, knobs) if attempt.receipt else told
    return tampered(_letter(world, attempt, told, knobs), forgery, world)


def body(world: World, attempt: Attempt, told: Told, knobs: Knobs) -> bytes:
    """JSON as on the wire: ResultCode a number (text for SFC codes), Amount a decimal with two places."""
    prefix = "[STK_CB - ]" if knobs.callback_description == "prefixed" else ""
    callback: dict[str, Any] = {
        "MerchantRequestID": attempt.merchant_request_id,
        "CheckoutRequestID": told.checkout_request_id,
        "ResultCode": int(told.code) if told.code.isdigit() else told.code,
        "ResultDesc": prefix + description(told.code),
    }
    if told.code == "0":
        callback["CallbackMetadata"] = {"Item": _items(world, attempt, told, knobs)}
    if knobs.callback_numbers_as_strings:
        callback["ResultCode"] = str(callback["ResultCode"])
    wire = json.dumps({"Body": {"stkCallback": callback}})
    # json cannot write 50.00: the two places only survive as text put in afterwards.
    quotes = '"' if knobs.callback_numbers_as_strings else ""
    return wire.replace(f'"{_AMOUNT}"', f"{quotes}{told.amount}.00{quotes}").encode()


def _items(world: World, attempt: Attempt, told: Told, knobs: Knobs) -> list[dict[str, Any]]:
    phone: int | str = int(attempt.msisdn)
    if knobs.callback_phone_masked:
        phone = masked(attempt.msisdn)
    items: list[dict[str, Any]] = [
        {"Name": "Amount", "Value": _AMOUNT},
        {"Name": "MpesaReceiptNumber", "Value": told.receipt},
        {"Name": "TransactionDate", "Value": int(f"{world.clock.eat(told.paid_at):%Y%m%d%H%M%S}")},
        {"Name": "PhoneNumber", "Value": phone},
    ]
    if knobs.callback_balance_item == "no_value":
        items.insert(2, {"Name": "Balance"})
    elif knobs.callback_balance_item == "value":
        items.insert(2, {"Name": "Balance", "Value": float(attempt.merchant.balance)})
    if knobs.callback_numbers_as_strings:
        items = [item | {"Value": str(item["Value"])} if "Value" in item else item for item in items]
    if knobs.callback_item_order == "shuffle":
        world.random.shuffle(items)
    return items


def _truth(world: World, attempt: Attempt, knobs: Knobs) -> Told:
    paid_at = attempt.finished_at if attempt.finished_at is not None else world.clock.now()
    amount = knobs.callback_amount or attempt.amount
    return Told(attempt.checkout_request_id, attempt.result_code or "", amount, attempt.receipt or "", paid_at)


def _somebody_elses(world: World, attempt: Attempt) -> str:
    others = [a for a in world.attempts.values() if a is not attempt]
    strangers = [a for a in others if a.merchant is not attempt.merchant]
    chosen = (strangers or others)[-1:]
    return chosen[0].checkout_request_id if chosen else world.ids.checkout(attempt.msisdn)


def _letter(world: World, attempt: Attempt, told: Told, knobs: Knobs) -> Letter:
    content = body(world, attempt, told, knobs)
    return letter("callback", attempt.checkout_request_id, attempt.callback_url, content, knobs)
