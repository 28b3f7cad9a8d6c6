"""B2C and B2Pochi: what an organisation pays to a customer.

Build sheet 9; portal pages BusinessToCustomer and BusinessToPochi.
"""

from __future__ import annotations

from functools import partial

from . import fields
from .gateway import Call, Handler, Refusal, Reply, bad_request
from .initiator import InitiatorDesk, Outcome, Parameter, Task
from .parties import B2C_ROLE
from .world import Payout, World

_COMMANDS = ("SalaryPayment", "BusinessPayment", "PromotionPayment")
_LONGEST_ID = 64  # the portal says "<20 chars" and prints longer ones


class B2cDesk:
    def __init__(self, world: World, initiators: InitiatorDesk) -> None:
        self.world, self.initiators = world, initiators
        self.pay_v1: Handler = partial(self._pay, commands=_COMMANDS, chosen=False)
        self.pay_v3: Handler = partial(self._pay, commands=_COMMANDS, chosen=True)
        self.pay_pochi: Handler = partial(self._pay, commands=("BusinessPayToPochi",), chosen=True)

    def _pay(self, call: Call, *, commands: tuple[str, ...], chosen: bool) -> Reply:
        """`chosen`: the caller names the OriginatorConversationID, and cannot use it twice."""
        original = fields.plain(call.body.get("OriginatorConversationID")) if chosen else ""
        if chosen and not 1 <= len(original) <= _LONGEST_ID:
            raise bad_request("OriginatorConversationID")
        merchant = fields.own_merchant(call, self.world, "PartyA")
        fields.choice(call.body, "CommandID", *commands)
        amount, msisdn = fields.amount(call.body), fields.msisdn(call.body, "PartyB")
        if len(fields.plain(call.body.get("Occassion"))) > 100:
            raise bad_request("Occassion")
        asked = self.initiators.read(call, "InitiatorName", original)
        if original in self.world.payouts:
            raise Refusal(500, "500.002.1001", "Duplicate OriginatorConversationID.")
        payout = Payout(
            asked.originator_conversation_id, asked.conversation_id, merchant, msisdn, amount,
            self.world.clock.now(),
        )  # fmt: skip
        self.world.payouts[payout.originator_conversation_id] = payout
        task = Task(
            "b2c", B2C_ROLE, merchant, asked, lambda: self._execute(payout),
            reference=("QueueTimeoutURL", asked.timeout_url), on_refusal=payout.refuse,
        )  # fmt: skip
        return self.initiators.take(task, call.knobs)

    def _execute(self, payout: Payout) -> Outcome:
        customer, merchant = self.world.subscriber(payout.msisdn), payout.merchant
        if refusal := self.world.book.refusal_of_payout(merchant, customer, payout.amount):
            payout.refuse(refusal)
            return Outcome(refusal)
        line = self.world.book.pay_out(merchant, customer, payout.amount)
        line.originator_conversation_id = payout.originator_conversation_id
        line.conversation_id = payout.conversation_id
        payout.status, payout.receipt = "Completed", line.receipt
        parameters: list[Parameter] = [
            ("TransactionAmount", payout.amount),
            ("TransactionReceipt", line.receipt),
            ("ReceiverPartyPublicName", f"{customer.msisdn} - {customer.name}"),
            ("TransactionCompletedDateTime", f"{self.world.clock.eat():%d.%m.%Y %H:%M:%S}"),
            ("B2CUtilityAccountAvailableFunds", float(merchant.balance)),
            ("B2CWorkingAccountAvailableFunds", 0.0),
            ("B2CRecipientIsRegisteredCustomer", "Y"),
            ("B2CChargesPaidAccountAvailableFunds", 0.0),
        ]
        return Outcome(receipt=line.receipt, parameters=parameters)
