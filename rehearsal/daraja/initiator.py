"""What the APIs that act for an organisation share: the initiator, the acknowledgement, and the Result that follows.

Build sheet 8, 16 and 18. An API is a handler that checks its own fields and hands over a `Task`; what becomes of it is
told to its ResultURL, or to its QueueTimeOutURL, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import fields
from .callbacks import RESULTS
from .certificate import password_in
from .courier import Courier, letter
from .gateway import Call, Reply, bad_request
from .knobs import Knobs
from .parties import WRONG_PINS_UNTIL_LOCKED, Merchant
from .world import World

Parameter = tuple[str, object]  # key and value; None: the item comes without a Value

_DESCRIPTIONS = RESULTS | {
    "11": "The DebitParty is in an invalid state.",
    "21": "The initiator is not allowed to initiate this request.",
    "2033": "The transaction record does not exist.",
    "2040": "Credit Party customer type can't be supported by the service.",
    "R000001": "The transaction has already been reversed.",
    "R000002": "The OriginalTransactionID is invalid.",
}


@dataclass(frozen=True)
class Outcome:
    """How a task ended. `receipt` is the transaction's own; without one a dummy is told (build sheet 2.6)."""

    code: str = "0"
    receipt: str = ""
    parameters: Sequence[Parameter] = ()


@dataclass(frozen=True)
class Asked:
    """The fields that every request has, and the ids that it is answered with."""

    initiator: str
    credential: str
    result_url: str
    timeout_url: str
    conversation_id: str
    originator_conversation_id: str


@dataclass(frozen=True)
class Task:
    api: str  # as in knobs.INITIATOR_APIS
    role: str
    merchant: Merchant
    asked: Asked
    execute: Callable[[], Outcome]
    reference: Parameter
    # Account Balance tells ResultType and ResultCode as text (build sheet 12).
    codes_as_text: bool = False
    # Hears of it, with the code if there is one, where it is never executed.
    on_refusal: Callable[[str], None] = lambda code: None


class InitiatorDesk:
    def __init__(self, world: World, courier: Courier) -> None:
        self.world, self.courier = world, courier

    def read(self, call: Call, initiator: str = "Initiator", original: str = "") -> Asked:
        """The initiator's name may have another key, and the OriginatorConversationID may be the caller's."""
        name, credential = (_needed(call, key) for key in (initiator, "SecurityCredential"))
        result_url, timeout_url = (_address(call, key) for key in ("ResultURL", "QueueTimeOutURL"))
        if not 2 <= len(fields.plain(call.body.get("Remarks"))) <= 100:
            raise bad_request("Remarks", "2 to 100 characters")
        ids = self.world.ids
        return Asked(name, credential, result_url, timeout_url, ids.conversation(), original or ids.request())

    def take(self, task: Task, knobs: Knobs) -> Reply:
        """Acknowledge, and do it a little later."""
        self.world.clock.after(self.world.draw(knobs.initiator_delay), lambda: self._run(task))
        return Reply(
            {
                "OriginatorConversationID": task.asked.originator_conversation_id,
                "ConversationID": task.asked.conversation_id,
                "ResponseCode": "0",
                "ResponseDescription": "Accept the service request successfully.",
            }
        )

    # -- afterwards

    def _run(self, task: Task) -> None:
        knobs = self._knobs(task, "result")
        if knobs.result_queue_timeout == "expired":
            task.on_refusal("")
            self._tell_timeout(task)
            return
        code = knobs.result_code or self._refusal(task)
        if code:
            task.on_refusal(code)
        outcome = Outcome(code) if code else task.execute()
        if knobs.result_queue_timeout == "off":
            self._tell(task, outcome, knobs)
            return
        self._tell_timeout(task)
        if knobs.result_late:
            self.world.clock.after(knobs.result_late, lambda: self._tell(task, outcome, knobs))

    def _refusal(self, task: Task) -> str:
        """Build sheet 16: a wrong credential is told later, and the third locks it."""
        initiator = task.merchant.initiators.get(task.asked.initiator)
        if initiator is None:
            return "2001"
        if initiator.wrong >= WRONG_PINS_UNTIL_LOCKED:
            return "8006"
        if password_in(task.asked.credential) != initiator.password:
            initiator.wrong += 1
            return "2001"
        initiator.wrong = 0
        return "" if task.role in initiator.roles else "21"

    def _tell(self, task: Task, outcome: Outcome, knobs: Knobs) -> None:
        code: int | str = int(outcome.code) if outcome.code.isdigit() else outcome.code
        as_text = task.codes_as_text or knobs.callback_numbers_as_strings
        result: dict[str, object] = {
            "ResultType": "0" if as_text else 0,
            "ResultCode": f"{code}" if as_text else code,
            "ResultDesc": _DESCRIPTIONS.get(outcome.code, "Request failed."),
            "OriginatorConversationID": task.asked.originator_conversation_id,
            "ConversationID": task.asked.conversation_id,
            "TransactionID": outcome.receipt or self.world.ids.dummy_receipt(),
        }
        items = [_item(*parameter) for parameter in outcome.parameters]
        if items:
            result["ResultParameters"] = {"ResultParameter": items}
        elif knobs.result_failure_parameter:
            now = f"{self.world.clock.eat():%Y%m%d%H%M%S}"
            result["ResultParameters"] = {"ResultParameter": _item("BOCompletedTime", int(now))}
        reference = _item(*task.reference)
        result["ReferenceData"] = {"ReferenceItem": [reference] if knobs.result_reference == "array" else reference}
        self._send(task, "result", task.asked.result_url, result, knobs)

    def _tell_timeout(self, task: Task) -> None:
        """Nobody documents the body (build sheet 18); this one looks like a Result without an outcome."""
        told: dict[str, object] = {
            "ResultType": 1,
            "ResultCode": 1,
            "ResultDesc": "The service request timed out in the queue.",
            "OriginatorConversationID": task.asked.originator_conversation_id,
            "ConversationID": task.asked.conversation_id,
        }
        self._send(task, "timeout", task.asked.timeout_url, told, self._knobs(task, "timeout"))

    def _send(self, task: Task, what: str, url: str, result: dict[str, object], knobs: Knobs) -> None:
        made = letter(
            f"{task.api}_{what}", task.asked.conversation_id, url, json.dumps({"Result": result}).encode(), knobs
        )
        self.courier.dispatch(self.courier.copies(made, knobs), knobs)

    def _knobs(self, task: Task, what: str) -> Knobs:
        return self.world.effective(f"{task.api}_{what}", {"shortcode": task.merchant.shortcode})


def _needed(call: Call, name: str) -> str:
    value = fields.plain(call.body.get(name))
    if not value:
        raise bad_request(name)
    return value


def _address(call: Call, name: str) -> str:
    address = fields.url(call.body, name)
    fields.refuse_words(name, address, call.knobs)
    return address


def _item(key: str, value: object) -> dict[str, object]:
    return {"Key": key} if value is None else {"Key": key, "Value": value}
