"""What exists in the simulator: apps, tokens, merchants, subscribers, attempts and the book of receipts.

All APIs read this one store (build sheet 23: "exactly what every public mock lacks"). Nothing here speaks HTTP. Callers
hold `world.lock` while they look or change.
"""

from __future__ import annotations

import random
import string
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from rehearsal.simulation import Unknown

from .clock import Clock
from .knobs import GROUPS, Knobs, Span

EXPRESS = "M-PESA EXPRESS"  # the API product that STK push and query belong to
MAX_AMOUNT = 250_000  # portal page MpesaExpressSimulate, FAQ 5: KES per transaction
DAILY_LIMIT = 500_000  # the same FAQ: KES per day
WRONG_PINS_UNTIL_LOCKED = 3


@dataclass
class App:
    consumer_key: str
    consumer_secret: str = field(repr=False)
    shortcode: str
    products: set[str]


@dataclass(frozen=True)
class Token:
    value: str
    consumer_key: str
    products: frozenset[str]  # as ticked when the token was issued (build sheet 2.4)
    expires_at: float


@dataclass
class Merchant:
    """A PayBill, or a till with the store number that went live (build sheet section 4, "Till trap")."""

    shortcode: str
    passkey: str = field(repr=False)
    name: str
    till: str | None = None
    balance: int = 0
    max_balance: int | None = None

    @property
    def credit_party(self) -> str:
        return self.till or self.shortcode

    @property
    def transaction_type(self) -> str:
        return "CustomerBuyGoodsOnline" if self.till else "CustomerPayBillOnline"


@dataclass(frozen=True)
class Message:
    at: float
    text: str


@dataclass
class Subscriber:
    msisdn: str
    name: str = "ASHA"
    pin: str | None = None  # None: any four digits but 0000
    balance: int = 10_000
    reachable: bool = True
    wrong_pins: int = 0
    spent: dict[date, int] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def knows(self, pin: str) -> bool:
        return pin == self.pin if self.pin is not None else pin != "0000"


@dataclass(frozen=True)
class Receipt:
    """Money that really moved: one line of the book."""

    receipt: str
    shortcode: str
    till: str | None
    msisdn: str
    amount: int
    reference: str
    paid_at: float
    checkout_request_id: str


@dataclass
class Script:
    """What the person with a phone will do next time, and knobs that hold for that transaction only."""

    outcome: str
    after: float | None = None
    knobs: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Rule:
    """Knobs for exchanges that match. The first `skip` of them pass, then it holds `times` times (None: for ever)."""

    id: int
    knobs: Mapping[str, object]
    shortcode: str | None = None
    msisdn: str | None = None
    consumer_key: str | None = None
    times: int | None = None
    skip: int = 0

    def concerns(self, exchange: str, about: Mapping[str, str]) -> bool:
        groups = {name.partition(".")[0] for name in self.knobs}
        wanted = {"shortcode": self.shortcode, "msisdn": self.msisdn, "consumer_key": self.consumer_key}
        matches = all(about.get(key) == value for key, value in wanted.items() if value is not None)
        return self.times != 0 and matches and bool(groups & GROUPS[exchange])


@dataclass
class Attempt:
    """One accepted STK push. `result_code` is None while it is being processed."""

    merchant_request_id: str
    checkout_request_id: str
    consumer_key: str
    merchant: Merchant
    msisdn: str
    amount: int
    reference: str
    description: str
    callback_url: str
    accepted_at: float
    prompt_text: str
    knobs: Knobs  # as they stood when the push was accepted
    script: Script | None = None
    prompting: bool = False
    ignored: bool = False
    result_code: str | None = None
    finished_at: float | None = None
    receipt: str | None = None

    @property
    def open(self) -> bool:
        return self.result_code is None

    def as_json(self) -> dict[str, object]:
        own = {k: v for k, v in vars(self).items() if k not in ("merchant", "knobs", "script")}
        return own | {"shortcode": self.merchant.shortcode, "till": self.merchant.till, "merchant": self.merchant.name}


class World:
    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.lock = clock.lock
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - faults and ids must repeat for a seed; nothing here is secret
        self.knobs = Knobs()
        self.rules: list[Rule] = []
        self.scripts: dict[str, deque[Script]] = {}
        self.apps: dict[str, App] = {}
        self.tokens: dict[str, Token] = {}
        self.merchants: dict[str, Merchant] = {}
        self.subscribers: dict[str, Subscriber] = {}
        self.attempts: dict[str, Attempt] = {}
        self._by_phone: dict[str, list[Attempt]] = {}
        self.book: list[Receipt] = []
        self._receipts: set[str] = set()

    # -- chance and knobs

    def chance(self, share: float) -> bool:
        return share >= 1 or (share > 0 and self.random.random() < share)

    def draw(self, seconds: Span) -> float:
        return seconds[0] if seconds[0] == seconds[1] else self.random.uniform(*seconds)

    def effective(
        self, exchange: str, about: Mapping[str, str], script: Script | None = None, *, spend: bool = True
    ) -> Knobs:
        """The knobs for one exchange: global, then rules in order, then the script's. `spend` counts rules down."""
        knobs = self.knobs
        for rule in self.rules:
            if not rule.concerns(exchange, about):
                continue
            if rule.skip:
                rule.skip -= spend
                continue
            if rule.times is not None:
                rule.times -= spend
            knobs = knobs.changed(rule.knobs)
        return knobs.changed(script.knobs if script else {})

    # -- who

    def subscriber(self, msisdn: str) -> Subscriber:
        return self.subscribers.setdefault(msisdn, Subscriber(msisdn))

    def merchant_of_till(self, number: str) -> Merchant | None:
        return next((m for m in self.merchants.values() if m.till == number), None)

    def attempt(self, checkout_request_id: str) -> Attempt:
        if checkout_request_id not in self.attempts:
            raise Unknown(f"there is no attempt {checkout_request_id!r}")
        return self.attempts[checkout_request_id]

    def prompts(self, msisdn: str | None = None) -> list[Attempt]:
        """What phones show right now."""
        asked = self.attempts.values() if msisdn is None else self.attempts_of(msisdn)
        return [a for a in asked if a.prompting]

    def attempts_of(self, msisdn: str) -> list[Attempt]:
        return self._by_phone.get(msisdn, [])

    def add_attempt(self, attempt: Attempt) -> None:
        self.attempts[attempt.checkout_request_id] = attempt
        self._by_phone.setdefault(attempt.msisdn, []).append(attempt)

    # -- tokens

    def issue_token(self, app: App, ttl: float, *, strict: bool) -> Token:
        """Portal page Authorization: "each request invalidates the previous token" (strict)."""
        if strict:
            self.kill_tokens(app.consumer_key)
        value = self._word(string.ascii_letters + string.digits, 28)
        token = Token(value, app.consumer_key, frozenset(app.products), self.clock.now() + ttl)
        self.tokens[value] = token
        return token

    def live_token(self, value: str) -> Token | None:
        token = self.tokens.get(value)
        return token if token and token.expires_at > self.clock.now() else None

    def kill_tokens(self, consumer_key: str) -> None:
        self.tokens = {v: t for v, t in self.tokens.items() if t.consumer_key != consumer_key}

    # -- money

    def refusal_of_transfer(self, payer: Subscriber, merchant: Merchant, amount: int) -> str | None:
        """The result code of build sheet 4.3 that stops this payment, or None."""
        today = self.clock.eat().date()
        if amount > MAX_AMOUNT:
            return "3"
        if payer.spent.get(today, 0) + amount > DAILY_LIMIT:
            return "4"
        if payer.balance < amount:
            return "1"
        if merchant.max_balance is not None and merchant.balance + amount > merchant.max_balance:
            return "8"
        return None

    def transfer(self, payer: Subscriber, merchant: Merchant, amount: int, reference: str, checkout: str) -> Receipt:
        """Move the money and write the book. The caller has asked `refusal_of_transfer`."""
        now = self.clock.now()
        today = self.clock.eat(now).date()
        payer.balance -= amount
        payer.spent[today] = payer.spent.get(today, 0) + amount
        merchant.balance += amount
        line = Receipt(
            self.new_receipt(), merchant.shortcode, merchant.till, payer.msisdn, amount, reference, now, checkout
        )
        self.book.append(line)
        payer.messages.append(Message(now, self._confirmation(payer, merchant, line)))
        return line

    def _confirmation(self, payer: Subscriber, merchant: Merchant, line: Receipt) -> str:
        at = self.clock.eat(line.paid_at)
        day = f"{at.day}/{at.month}/{at:%y} at {at.hour % 12 or 12}:{at:%M %p}"
        paid = f"paid to {merchant.name}." if merchant.till else f"sent to {merchant.name} for account {line.reference}"
        return (
            f"{line.receipt} Confirmed. Ksh{line.amount:,}.00 {paid} on {day}. "
            f"New M-PESA balance is Ksh{payer.balance:,}.00. Transaction cost, Ksh0.00."
        )

    # -- identifiers (build sheet 2.6)

    def new_receipt(self) -> str:
        """Year letter (2006 = A), month letter, day (1-9 then A-V), seven more; never twice."""
        today = self.clock.eat()
        head = chr(ord("A") + (today.year - 2006) % 26) + chr(ord("A") + today.month - 1)
        head += "123456789ABCDEFGHIJKLMNOPQRSTUV"[today.day - 1]
        while True:
            receipt = head + self._word(string.ascii_uppercase + string.digits, 7)
            if receipt not in self._receipts:
                self._receipts.add(receipt)
                return receipt

    def new_request_id(self, form: str = "new") -> str:
        """`f1e2-4b95-a71d-b30d3cdbb7a7942864`, or the older `29115-34620561-1`."""
        if form == "old":
            return f"{self.random.randint(10_000, 99_999)}-{self.random.randint(10_000_000, 99_999_999)}-1"
        hexes = [self._word("0123456789abcdef", n) for n in (4, 4, 4, 12)]
        return "-".join(hexes) + self._word(string.digits, self.random.choice((4, 6)))

    def new_checkout_id(self, msisdn: str, form: str = "new") -> str:
        """`ws_CO_` + DDMMYYYYHHmmss (EAT) + milliseconds, not padded + nine digits of the phone; older: no phone."""
        now = self.clock.eat()
        milliseconds = now.microsecond // 1000
        while True:
            old = f"{milliseconds:03d}{self.random.randrange(10)}"
            tail = f"{milliseconds % 1000}{msisdn[-9:]}" if form == "new" else old
            checkout = f"ws_CO_{now:%d%m%Y%H%M%S}{tail}"
            if checkout not in self.attempts:
                return checkout
            milliseconds += 1

    def _word(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choice(alphabet) for _ in range(length))
