"""How fast calls may leave, and when none may: token buckets and a circuit breaker, as pure rules over plain numbers.

Instants are seconds since the epoch. A bucket is one number, the instant at which it will be full again (the generic
cell rate algorithm): no refilling, no clock of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# The breaker's rest after it opens, doubled each time that its probe fails (build sheet 19).
REST_SECONDS, MOST_REST_SECONDS = 60, 900
# A probe that never came back frees its place after this; longer than any call may take.
_PROBE_SECONDS = 50
# What kind of HTML page weighs how much; at _ENOUGH the breaker opens. 403 is the firewall speaking of our address;
# one 503 may be one sick machine behind it, and counts for as long as _FORGETS.
WEIGHTS = {"html 403": 3, "html 503": 1}
_ENOUGH, _FORGETS_SECONDS = 3, 60
# Whoever has been quiet goes before those who push: so many calls of the common bucket are kept for the former.
_RESERVE = 10
# Sums of seconds since 1970 are exact to a few of these.
_NOTHING = 1e-5

State = dict[str, Any]


class Rate(NamedTuple):
    """So many calls a second, and how many may leave in one moment after a rest."""

    per_second: float
    burst: int

    @property
    def interval(self) -> float:
        return 1 / self.per_second


class Turn(NamedTuple):
    """What the gate says: go now (`wait_seconds` 0), or come back then. `down` tells that the breaker is open."""

    wait_seconds: float = 0.0
    down: bool = False


def take(
    total: State, own: State, rates: tuple[Rate, Rate], now: float, *, in_line: bool, patience_seconds: float
) -> float:
    """Seconds to wait for a place; 0 takes it now from the common bucket and the app's own, which are changed in place.

    Who must wait gets a moment of its own in the app's line, each one interval after the last: a flood is looked at
    twice, not again and again. Come back then and say `in_line`. Nobody gets a moment beyond their patience.
    """
    all_of_us, one = rates
    full_at, own_full_at = max(total.get("full", 0), now), max(own.get("full", 0), now)
    kept = _RESERVE if own_full_at == now else 0
    wait = max(
        full_at - now - all_of_us.interval * (all_of_us.burst + kept - 1),
        own_full_at - now - one.interval * (one.burst - 1),
    )
    wait = wait if wait > _NOTHING else 0.0
    line_ends = own.get("line", 0)
    if not in_line and (wait or line_ends > now):
        mine = max(line_ends, now) + one.interval if line_ends > now else now + wait
        if mine - now <= patience_seconds + _NOTHING:
            own["line"] = mine
        return float(mine - now)
    if wait:
        # Late, and so are others: they come one by one, before those who stand in line for later.
        own["late"] = max(own.get("late", 0) + one.interval, now + wait)
        return float(own["late"] - now)
    total["full"], own["full"] = full_at + all_of_us.interval, own_full_at + one.interval
    return 0.0


def stopped_for(breaker: State, now: float) -> float:
    """Seconds for which nothing may be sent. After the rest, 0 for one caller, whose call is the probe."""
    if not breaker.get("until"):
        return 0.0
    if now < breaker["until"]:
        return float(breaker["until"] - now)
    if now < breaker.get("probe", 0):
        return float(breaker["probe"] - now)
    breaker["probe"] = now + _PROBE_SECONDS
    return 0.0


def heard(breaker: State, kind: str | None, now: float) -> bool:
    """Notes how a call ended: a key of WEIGHTS, or None for any sound answer. True where the breaker opened by it.

    What answers of before it opened say, good or bad, changes nothing while it rests.
    """
    if now < breaker.get("until", 0):
        return False
    if kind is None:
        breaker.clear()
        return False
    since = breaker.get("since", now)
    if now - since > _FORGETS_SECONDS:
        since, breaker["bad"] = now, 0
    breaker["since"], breaker["bad"] = since, breaker.get("bad", 0) + WEIGHTS[kind]
    # A probe that fails opens it at once, whatever it weighs.
    if breaker["bad"] < _ENOUGH and not breaker.get("times"):
        return False
    times = breaker.get("times", 0)
    rest = min(REST_SECONDS * 2**times, MOST_REST_SECONDS)
    breaker.clear()
    breaker.update(times=times + 1, until=now + rest)
    return True
