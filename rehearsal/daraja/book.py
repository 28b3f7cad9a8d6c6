"""The book: every shilling that moved at a shortcode, and the only place that moves it.

Pushes, payments by hand, payouts and reversals write here. Callbacks, Pull Transactions, Transaction Status, Account
Balance and the organisation's statement read here (build sheet 23: "exactly what every public mock lacks").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from .clock import Clock
from .identifiers import Identifiers
from .parties import Merchant, Message, Subscriber

MAX_AMOUNT = 250_000  # portal page MpesaExpressSimulate, FAQ 5: KES per transaction
DAILY_LIMIT = 500_000  # the same FAQ: KES per day, and a customer's balance
MIN_PAYOUT = 10  # build sheet 9


@dataclass
class Transaction:
    """Money that really moved. `amount` is in KES: above zero it came to the shortcode, below zero it left."""

    receipt: str
    kind: str  # "stk", "c2b", "b2c" or "reversal"
    shortcode: str
    till: str | None
    msisdn: str
    name: str
    amount: int
    reference: str
    paid_at: float
    balance: int  # of the shortcode's utility account, afterwards
    checkout_request_id: str = ""
    linked: str = ""  # the receipt that this one reverses
    reversed: int = 0  # KES of it that went back
    conversation_id: str = ""
    originator_conversation_id: str = ""
    third_party_id: str = ""  # what the validation URL called it

    @property
    def credit_party(self) -> str:
        return self.till or self.shortcode


class Book:
    def __init__(self, clock: Clock, ids: Identifiers) -> None:
        self._clock, self._ids = clock, ids
        self.lines: list[Transaction] = []
        self._by_receipt: dict[str, Transaction] = {}
        self._by_shortcode: dict[str, list[Transaction]] = {}

    def of(self, shortcode: str) -> Sequence[Transaction]:
        """In the order in which money moved, as are `lines`."""
        return self._by_shortcode.get(shortcode, [])

    def between(self, shortcode: str, start: float, end: float) -> Sequence[Transaction]:
        """Both moments count."""
        lines, at = self.of(shortcode), attrgetter("paid_at")
        return lines[bisect_left(lines, start, key=at) : bisect_right(lines, end, key=at)]

    def find(self, receipt: str) -> Transaction | None:
        return self._by_receipt.get(receipt)

    def refusal(self, payer: Subscriber, merchant: Merchant, amount: int) -> str | None:
        """The result code of build sheet 4.3 that stops this payment, or None."""
        if amount > MAX_AMOUNT:
            return "3"
        if payer.spent.get(self._clock.eat().date(), 0) + amount > DAILY_LIMIT:
            return "4"
        if payer.balance < amount:
            return "1"
        if merchant.max_balance is not None and merchant.balance + amount > merchant.max_balance:
            return "8"
        return None

    def pay(
        self, payer: Subscriber, merchant: Merchant, amount: int, reference: str, *, receipt: str = "",
        checkout: str = "",
    ) -> Transaction:  # fmt: skip
        """From a customer to a merchant. The caller has asked `refusal`; without a `receipt` a new one is made."""
        today = self._clock.eat().date()
        payer.spent[today] = payer.spent.get(today, 0) + amount
        line = self._move(
            "stk" if checkout else "c2b", payer, merchant, amount, reference, receipt or self._ids.receipt(), checkout
        )
        paid = f"paid to {merchant.name}." if merchant.till else f"sent to {merchant.name} for account {reference}"
        self._tell(payer, line, f"{paid} on {self._day(line)}.", "Transaction cost, Ksh0.00.")
        return line

    def refusal_of_payout(self, merchant: Merchant, customer: Subscriber, amount: int) -> str | None:
        """The result code of build sheet 9 that stops a B2C payment, or None."""
        if not MIN_PAYOUT <= amount <= MAX_AMOUNT:
            return "2" if amount < MIN_PAYOUT else "3"
        if merchant.balance < amount:
            return "1"
        return "8" if customer.balance + amount > DAILY_LIMIT else None

    def pay_out(self, merchant: Merchant, customer: Subscriber, amount: int) -> Transaction:
        """From a merchant to a customer. The caller has asked `refusal_of_payout`."""
        line = self._move("b2c", customer, merchant, -amount, "", self._ids.receipt())
        self._tell(customer, line, f"received from {merchant.name} on {self._day(line)}.")
        return line

    def refusal_of_reversal(self, line: Transaction, merchant: Merchant, amount: int) -> str | None:
        """The result code of build sheet 11 that stops it, or None."""
        if line.reversed:
            return "R000001"
        return "1" if merchant.balance < amount else None

    def reverse(self, line: Transaction, merchant: Merchant, customer: Subscriber, amount: int) -> Transaction:
        """Give a customer's payment back, or a part of it, with a receipt of its own."""
        back = self._move("reversal", customer, merchant, -amount, line.reference, self._ids.receipt())
        back.linked, line.reversed = line.receipt, amount
        self._tell(customer, back, f"of {line.receipt} reversed on {self._day(back)}.")
        return back

    def _move(
        self, kind: str, customer: Subscriber, merchant: Merchant, amount: int, reference: str, receipt: str,
        checkout: str = "",
    ) -> Transaction:  # fmt: skip
        customer.balance -= amount
        merchant.balance += amount
        line = Transaction(
            receipt, kind, merchant.shortcode, merchant.till, customer.msisdn, customer.name, amount, reference,
            self._clock.now(), merchant.balance, checkout,
        )  # fmt: skip
        self.lines.append(line)
        self._by_receipt[receipt] = line
        self._by_shortcode.setdefault(merchant.shortcode, []).append(line)
        return line

    def _tell(self, customer: Subscriber, line: Transaction, what: str, cost: str = "") -> None:
        balance = f"New M-PESA balance is Ksh{customer.balance:,}.00."
        text = f"{line.receipt} Confirmed. Ksh{abs(line.amount):,}.00 {what} {balance} {cost}"
        customer.messages.append(Message(line.paid_at, text.rstrip()))

    def _day(self, line: Transaction) -> str:
        at = self._clock.eat(line.paid_at)
        return f"{at.day}/{at.month}/{at:%y} at {at.hour % 12 or 12}:{at:%M %p}"
