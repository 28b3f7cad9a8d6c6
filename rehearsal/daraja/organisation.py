"""What an organisation asks about its own account: Transaction Status, Account Balance and Reversal.

Build sheet 8, 11 and 12; portal pages of these names.
"""

from __future__ import annotations

from . import fields
from .book import Transaction
from .clock import Clock
from .gateway import Call, Reply, bad_request
from .initiator import InitiatorDesk, Outcome, Parameter, Task
from .knobs import Knobs
from .parties import BALANCE_ROLE, REVERSAL_ROLE, STATUS_ROLE, Merchant
from .world import Payout, World


class OrganisationDesk:
    def __init__(self, world: World, initiators: InitiatorDesk) -> None:
        self.world, self.initiators = world, initiators

    def status(self, call: Call) -> Reply:
        """By receipt, or by the OriginatorConversationID of a payout."""
        merchant = fields.own_merchant(call, self.world, "PartyA")
        asked = self.initiators.read(call)
        fields.choice(call.body, "CommandID", "TransactionStatusQuery")
        fields.choice(call.body, "IdentifierType", "4", "2", "1")
        receipt, original = (call.body.get(name) for name in ("TransactionID", "OriginalConversationID"))
        if receipt == "" and original:
            # Field (2026-07-18): an empty TransactionID beside the other one is acknowledged with nothing at all.
            empty = ("OriginatorConversationID", "ConversationID", "ResponseCode", "ResponseDescription")
            return Reply(dict.fromkeys(empty, ""))
        if not receipt and not original:
            raise bad_request("TransactionID", "send TransactionID or OriginalConversationID")
        occasion = fields.plain(call.body.get("Occasion")) or None
        task = Task(
            "status", STATUS_ROLE, merchant, asked,
            lambda: self._status(merchant, fields.plain(receipt), fields.plain(original), call.knobs),
            reference=("Occasion", occasion),
        )  # fmt: skip
        return self.initiators.take(task, call.knobs)

    def _status(self, merchant: Merchant, receipt: str, original: str, knobs: Knobs) -> Outcome:
        payout = self.world.payouts.get(original)
        line = self.world.book.find(receipt or (payout.receipt if payout else ""))
        if line is not None and line.shortcode == merchant.shortcode:
            return Outcome(parameters=_of_transaction(line, merchant, self.world.clock, knobs))
        if payout is not None and payout.merchant is merchant and not receipt:
            return Outcome(parameters=_of_payout(payout, self.world.clock))
        return Outcome("2033")

    def balance(self, call: Call) -> Reply:
        merchant = fields.own_merchant(call, self.world, "PartyA")
        asked = self.initiators.read(call)
        fields.choice(call.body, "CommandID", "AccountBalance")
        fields.choice(call.body, "IdentifierType", "4", "2", "1")
        task = Task(
            "balance", BALANCE_ROLE, merchant, asked, lambda: self._balance(merchant),
            reference=("QueueTimeoutURL", asked.timeout_url), codes_as_text=True,
        )  # fmt: skip
        return self.initiators.take(task, call.knobs)

    def _balance(self, merchant: Merchant) -> Outcome:
        accounts = {
            "Working Account": 0, "Float Account": 0, "Utility Account": merchant.balance, "Charges Paid Account": 0,
            "Organization Settlement Account": 0,
        }  # fmt: skip
        told = "&".join(f"{name}|KES|{kes}.00|{kes}.00|0.00|0.00" for name, kes in accounts.items())
        at = f"{self.world.clock.eat():%Y%m%d%H%M%S}"
        return Outcome(parameters=[("AccountBalance", told), ("BOCompletedTime", at)])

    def reversal(self, call: Call) -> Reply:
        merchant = fields.own_merchant(call, self.world, "ReceiverParty")
        asked = self.initiators.read(call)
        fields.choice(call.body, "CommandID", "TransactionReversal")
        fields.choice(call.body, "RecieverIdentifierType", "11")
        receipt, amount = fields.plain(call.body.get("TransactionID")), fields.amount(call.body)
        if not receipt:
            raise bad_request("TransactionID")
        task = Task(
            "reversal", REVERSAL_ROLE, merchant, asked, lambda: self._reverse(merchant, receipt, amount, call.knobs),
            reference=("QueueTimeoutURL", asked.timeout_url),
        )  # fmt: skip
        return self.initiators.take(task, call.knobs)

    def _reverse(self, merchant: Merchant, receipt: str, amount: int, knobs: Knobs) -> Outcome:
        line = self.world.book.find(receipt)
        if line is None or line.shortcode != merchant.shortcode or line.kind not in ("stk", "c2b"):
            return Outcome("R000002")
        if amount > line.amount or (amount < line.amount and knobs.reversal_partial == "refuse"):
            return Outcome("R000002")
        if refusal := self.world.book.refusal_of_reversal(line, merchant, amount):
            return Outcome(refusal)
        customer = self.world.subscriber(line.msisdn)
        back = self.world.book.reverse(line, merchant, customer, amount)
        account = f"Utility Account|KES|{merchant.balance}.00|{merchant.balance}.00|0.00|0.00"
        parameters: list[Parameter] = [
            ("DebitAccountBalance", account),
            ("Amount", f"{amount}.00"),
            ("TransCompletedTime", f"{self.world.clock.eat():%Y%m%d%H%M%S}"),
            ("OriginalTransactionID", line.receipt),
            ("Charge", "0.00"),
            ("CreditPartyPublicName", f"{customer.msisdn} - {customer.name}"),
            ("DebitPartyPublicName", f"{merchant.shortcode} - {merchant.name}"),
        ]
        return Outcome(receipt=back.receipt, parameters=parameters)


def _of_transaction(line: Transaction, merchant: Merchant, clock: Clock, knobs: Knobs) -> list[Parameter]:
    at = f"{clock.eat(line.paid_at):%Y%m%d%H%M%S}"
    customer, organisation = f"{line.msisdn} - {line.name}", f"{merchant.credit_party} - {merchant.name}"
    debit, credit = (customer, organisation) if line.amount > 0 else (organisation, customer)
    reasons = {
        "b2c": "Business Payment to Customer via API",
        "reversal": "Organization Reversal Initiated",
    }
    return [
        ("DebitPartyName", debit),
        # The portal's sample names both parties by the key of one.
        ("DebitPartyName" if knobs.status_party_names == "sample" else "CreditPartyName", credit),
        ("OriginatorConversationID", line.originator_conversation_id or None),
        ("InitiatedTime", at),
        ("DebitAccountType", "MMF Account For Customer" if line.amount > 0 else "Utility Account"),
        ("DebitPartyCharges", None),
        ("TransactionReason", None),
        ("ReasonType", reasons.get(line.kind, "Customer Buy Goods Online" if line.till else "Pay Bill Online")),
        ("TransactionStatus", "Completed"),
        ("FinalisedTime", at),
        ("Amount", f"{abs(line.amount)}"),
        ("ConversationID", line.conversation_id or None),
        ("ReceiptNo", line.receipt),
    ]


def _of_payout(payout: Payout, clock: Clock) -> list[Parameter]:
    """One that moved no money, or has not yet."""
    return [
        ("OriginatorConversationID", payout.originator_conversation_id),
        ("InitiatedTime", f"{clock.eat(payout.accepted_at):%Y%m%d%H%M%S}"),
        ("TransactionStatus", payout.status),
        ("Amount", f"{payout.amount}"),
        ("ConversationID", payout.conversation_id),
    ]
