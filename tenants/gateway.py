"""What a gateway for mobile money must offer, so that `tenants.payments` can take money through it.

Three things: ask a phone for money, say what became of that, and read what the gateway calls back with. Whatever a peer
says, or does not say, is one of the values below and never an exception. The attempt's states, its receipt and the
ledger are payments' own, and the same for all gateways.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID


class Verdict(StrEnum):
    """What to do. Only FINAL, WAIT and CONFIG end an attempt; UNKNOWN never does."""

    SUCCESS = "success"
    FINAL = "final"  # the customer may try again at once
    WAIT = "wait"  # the customer may try again after a while
    CONFIG = "config"  # the tenant must mend something
    PENDING = "pending"  # still under way
    TOKEN = "token"  # noqa: S105 - the access token is stale: fetch one, send once more
    UNKNOWN = "unknown"  # nobody knows whether it happened
    REVIEW = "review"  # a code that nobody has seen: a person must look


class Meaning(NamedTuple):
    """`wait_seconds` before another attempt makes sense; `fix` names what the tenant must mend."""

    verdict: Verdict
    wait_seconds: int = 0
    fix: str | None = None


class NotAccepted(NamedTuple):
    """What came instead of an answer, and what it means. `sent` is False where the request surely was not executed;
    `wait_seconds` where our own gate kept it back: come back then, and say that you are in line."""

    meaning: Meaning
    code: str
    sent: bool = True
    wait_seconds: float = 0.0


class Accepted(NamedTuple):
    """The request was taken. Nobody has paid. `checkout_request_id` is the name under which it can be asked about."""

    merchant_request_id: str
    checkout_request_id: str


class Answer(NamedTuple):
    """What became of an attempt, by the gateway's own word: proof. `receipt` where the gateway tells it."""

    meaning: Meaning
    code: str
    receipt: str | None = None


class Told(NamedTuple):
    """What a callback claims of an attempt. Money in cents; None where it does not say."""

    code: str
    checkout_request_id: str | None
    merchant_request_id: str | None
    amount_cents: int | None
    receipt: str | None


class Prompt(NamedTuple):
    """What a phone is asked. `phone` is E.164, `amount_cents` whole shillings; `name` is the attempt's own where the
    gateway takes one, and `callback_url` where it wants one with each request."""

    phone: str
    amount_cents: int
    name: str | None
    reference: str
    description: str
    callback_url: str


class Account(Protocol):
    """A tenant's account at a gateway. One receipt is one within (environment, shortcode_group), whoever reports it."""

    @property
    def id(self) -> UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def shortcode_group(self) -> str: ...
    @property
    def ledger_code(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def fault(self) -> str | None: ...


class Gateway(Protocol):
    """One kind of gateway. `prompt` and `query` read what they need in the running transaction and give back the call,
    which is made outside of any; the rest asks nobody.

    `asks_after`: seconds after a prompt at which silence is asked about. `declined`: codes that are a customer's own no
    and say nothing about the gateway. `names_itself`: the attempt has a name of ours before anything is sent.
    """

    @property
    def provider(self) -> str: ...
    @property
    def asks_after(self) -> tuple[int, ...]: ...
    @property
    def declined(self) -> frozenset[str]: ...
    @property
    def names_itself(self) -> bool: ...

    def account(self, account_id: UUID) -> Account: ...

    def prompt(
        self, account_id: UUID, prompt: Prompt, *, in_line: bool, patience_seconds: float
    ) -> Callable[[], Accepted | NotAccepted]:
        """Asks a phone for money: once, whatever happens."""

    def query(self, account_id: UUID, name: str, *, in_line: bool) -> Callable[[], Answer | NotAccepted]:
        """Asks what became of an attempt."""

    def meaning(self, code: str) -> Meaning:
        """Of a code in a callback, or that an attempt failed with."""

    def believes_no(self, code: str, seconds: float) -> bool:
        """Whether a no of query(), so long after the prompt, can be believed: the prompt may still be open."""

    def read(self, body: bytes) -> Told | None:
        """Reads a callback; None for anything else."""

    def trusts(self, account: Account, body: bytes, peer: str | None, meaning: Meaning) -> bool:
        """Whether a callback's own word is enough, or query() must say so too."""

    def note_works(self, account_id: UUID, *, paid: bool) -> None:
        """A prompt was accepted, or even paid: whatever that disproves is no longer wrong with the account."""

    def note_fault(self, account_id: UUID, fix: str | None) -> None:
        """Says on the account what its tenant must mend, if it is that."""
