"""Who holds money in the simulator: customers with a phone, and the organisations they pay."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

WRONG_PINS_UNTIL_LOCKED = 3

# Roles of initiators, as the organisation portal names them (build sheet 16).
B2C_ROLE = "ORG B2C API Initiator"
STATUS_ROLE = "Transaction Status query ORG API"
BALANCE_ROLE = "Balance Query ORG API"
REVERSAL_ROLE = "Org Reversals Initiator"
ROLES = (B2C_ROLE, STATUS_ROLE, BALANCE_ROLE, REVERSAL_ROLE)


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

    def enter_pin(self, *, right: bool) -> str | None:
        """The result code of build sheet 4.3 that a PIN meets, or None: it opens the account."""
        if self.wrong_pins >= WRONG_PINS_UNTIL_LOCKED:
            return "8006"
        self.wrong_pins = 0 if right else self.wrong_pins + 1
        return None if right else "2001"


@dataclass(frozen=True)
class C2bUrls:
    """Where an organisation hears of its customers' payments (build sheet 6.1)."""

    version: str  # v1 hashes the payer's number, v2 masks it
    response_type: str
    confirmation_url: str
    validation_url: str


@dataclass
class Initiator:
    """A user of the organisation portal in whose name an app acts."""

    name: str
    password: str = field(repr=False)
    roles: tuple[str, ...] = ROLES
    wrong: int = 0  # passwords in a row


@dataclass
class Merchant:
    """A PayBill, or a till with the store number that went live (build sheet section 4, "Till trap").

    `balance` is the utility account. Customers are asked for approval at the validation URL only where `validation` is
    on: Safaricom switches it on at request (build sheet 6.3).
    """

    shortcode: str
    passkey: str = field(repr=False)
    name: str
    till: str | None = None
    balance: int = 0
    max_balance: int | None = None
    validation: bool = False
    urls: C2bUrls | None = None
    pulls: bool = False  # registered for Pull Transactions
    initiators: dict[str, Initiator] = field(default_factory=dict)

    @property
    def credit_party(self) -> str:
        """The number that customers know."""
        return self.till or self.shortcode

    @property
    def transaction_type(self) -> str:
        return "CustomerBuyGoodsOnline" if self.till else "CustomerPayBillOnline"
