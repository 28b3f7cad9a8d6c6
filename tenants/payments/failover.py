"""Which gateway asks a phone, and when one counts as down. Rules only: no clock, no database.

A gateway is judged by our own attempts, never by what it says of itself: of the latest that are decided, and that no
customer declined, how many were paid.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from wavu.phone import Phone

# So many of the latest attempts are looked at; fewer than AT_LEAST of them say nothing. They are down where less than
# FEWEST of them were paid; a few in a row that were paid show that it works again, whatever came before.
LATEST, AT_LEAST, FEWEST, WORKS_AGAIN = 10, 5, 0.4, 2


class Standing(NamedTuple):
    """One of the tenant's gateways, as a customer meets it. `paybill` is the number to pay to by hand, where there is
    one that takes account numbers; `label` names the account."""

    provider: str
    label: str
    down: bool
    paybill: str | None


def is_down(paid: Sequence[bool]) -> bool:
    """Of the latest attempts, the newest first: whether each was paid. Customers are still let try while it is down, by
    their own choice or their number's: those are the probes that show when it works again."""
    seen = paid[:LATEST]
    if len(seen) < AT_LEAST or all(seen[:WORKS_AGAIN]):
        return False
    return sum(seen) < FEWEST * len(seen)


def choose(phone: Phone, wish: str | None, offered: Collection[str], down: Collection[str]) -> str | None:
    """The gateway that asks this phone; None where none is offered. What the customer wished, else the one of the
    number's operator; a number of neither goes to one that is not down. A number's own gateway is kept while it is
    down: its purse is there, and nothing else could reach it."""
    if wish in offered:
        return wish
    own = {"safaricom": "mpesa", "airtel": "airtel"}.get(phone.operator or "")
    if own in offered:
        return own
    order = [name for name in ("mpesa", "airtel") if name in offered]
    return next((name for name in order if name not in down), order[0] if order else None)
