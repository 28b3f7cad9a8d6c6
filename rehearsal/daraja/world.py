"""What exists in the simulator: apps, tokens, merchants, subscribers, attempts and the book.

All APIs read this one store. Nothing here speaks HTTP. Callers hold `world.lock` while they look or change.
"""

from __future__ import annotations

import random
import string
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from rehearsal.simulation import Unknown

from .book import Book
from .clock import Clock
from .identifiers import Identifiers
from .knobs import GROUPS, Knobs, Span
from .parties import Merchant, Subscriber


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
    exchange: str | None = None
    times: int | None = None
    skip: int = 0

    def concerns(self, exchange: str, about: Mapping[str, str]) -> bool:
        if self.exchange not in (None, exchange):
            return False
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


@dataclass
class Payout:
    """One accepted B2C request."""

    originator_conversation_id: str
    conversation_id: str
    merchant: Merchant
    msisdn: str
    amount: int
    accepted_at: float
    status: str = "Authorized"
    receipt: str = ""

    def refuse(self, code: str) -> None:
        """No money will move: it was declined, or without a code it timed out in the queue."""
        self.status = "Declined" if code else "Expired"


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
        self.payouts: dict[str, Payout] = {}
        self._by_phone: dict[str, list[Attempt]] = {}
        self.ids = Identifiers(self.clock, self.random)
        self.book = Book(self.clock, self.ids)

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

    def merchant(self, shortcode: str) -> Merchant:
        if shortcode not in self.merchants:
            raise Unknown(f"there is no merchant {shortcode!r}")
        return self.merchants[shortcode]

    def payee(self, number: str) -> Merchant | None:
        """Whom a customer pays at this PayBill or till number."""
        return next((m for m in self.merchants.values() if m.credit_party == number), None)

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
        value = self.ids.word(string.ascii_letters + string.digits, 28)
        token = Token(value, app.consumer_key, frozenset(app.products), self.clock.now() + ttl)
        self.tokens[value] = token
        return token

    def live_token(self, value: str) -> Token | None:
        token = self.tokens.get(value)
        return token if token and token.expires_at > self.clock.now() else None

    def kill_tokens(self, consumer_key: str) -> None:
        self.tokens = {v: t for v, t in self.tokens.items() if t.consumer_key != consumer_key}
