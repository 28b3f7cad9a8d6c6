"""The rules of the gate alone: buckets, the line of those who wait, and the breaker. No clock but the numbers here."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tenants.mpesa import pace
from tenants.mpesa.pace import Rate, State

FIVE, ALL = Rate(5, 5), Rate(20, 20)


def _take(total: State, own: State, now: float, *, in_line: bool = False, patience: float = 3600) -> float:
    return pace.take(total, own, (ALL, FIVE), now, in_line=in_line, patience_seconds=patience)


def test_a_flood_is_lined_up_and_each_comes_back_once() -> None:
    total, own = State(), State()
    waits = [_take(total, own, 1000.0) for _ in range(105)]
    assert waits[:5] == [0] * 5, "the burst"
    line = [wait for wait in waits if wait]
    assert all(round(later - sooner, 6) == 0.2 for sooner, later in pairwise(line)), "one moment for each"
    assert round(line[-1], 6) == 20.0
    assert [_take(total, own, 1000.0 + wait, in_line=True) for wait in line] == [0] * 100


def test_who_comes_later_stands_behind_those_who_wait() -> None:
    total, own = State(), State()
    for _ in range(10):
        _take(total, own, 0.0)
    late = _take(total, own, 0.5)
    assert round(late, 6) == 0.7, "five wait until 1.0; this one comes after them"
    assert _take(total, own, 0.2, in_line=True) == 0


def test_nobody_waits_longer_than_they_may() -> None:
    total, own = State(), State()
    waits = [_take(total, own, 0.0, patience=60) for _ in range(1000)]
    assert sum(wait <= 60.00001 for wait in waits) == 305
    assert _take(total, own, 0.0, patience=61) <= 60.3, "who was sent away took no place"


def test_the_quiet_go_before_those_who_push() -> None:
    total = State()
    pushing = [State() for _ in range(10)]
    for own in pushing:
        for _ in range(5):
            _take(total, own, 0.0)
    assert _take(total, pushing[0], 0.0, in_line=True) > 0, "the common bucket is empty"
    assert _take(total, State(), 0.0) == 0, "and still has a place for one who has not called"


@given(st.lists(st.floats(0, 30), min_size=1, max_size=120))
def test_never_faster_than_the_rate_whenever_they_come(moments: list[float]) -> None:
    """In any window of t seconds at most burst + rate * t go out, by the app and by all."""
    total, own, went = State(), State(), []
    for moment in sorted(moments):
        if _take(total, own, moment, in_line=True) == 0:
            went.append(moment)
    for first, start in enumerate(went):
        for count, end in enumerate(went[first:], 1):
            assert count <= 5 + 5 * (end - start) + 1e-6


def test_the_breaker_rests_longer_each_time_and_one_call_tries() -> None:
    breaker, now, rests = State(), 0.0, []
    assert pace.heard(breaker, "html 403", now), "the firewall speaks of our address"
    for _ in range(6):
        rests.append(pace.stopped_for(breaker, now))
        now += rests[-1]
        assert pace.stopped_for(breaker, now) == 0, "the probe"
        assert pace.stopped_for(breaker, now) > 0, "the others wait for what it says"
        assert pace.heard(breaker, "html 503", now), "a probe that fails needs no second opinion"
    assert rests == [60, 120, 240, 480, 900, 900]
    now += 900
    assert pace.stopped_for(breaker, now) == 0
    assert not pace.heard(breaker, None, now)
    assert breaker == {}
    assert pace.stopped_for(breaker, now) == pace.stopped_for(breaker, now) == 0


def test_one_sick_machine_behind_the_gateway_opens_nothing() -> None:
    breaker = State()
    assert [pace.heard(breaker, "html 503", at) for at in (0, 1)] == [False, False]
    assert not pace.heard(breaker, None, 2), "and a sound answer clears it"
    assert [pace.heard(breaker, "html 503", at) for at in (3, 100, 101, 102)] == [False, False, False, True]


def test_what_was_under_way_before_says_nothing_of_now() -> None:
    breaker = State()
    pace.heard(breaker, "html 403", 0)
    assert not pace.heard(breaker, "html 403", 1), "it rests no longer for that"
    assert not pace.heard(breaker, None, 2), "nor less"
    assert pace.stopped_for(breaker, 2) == 58


def test_a_probe_that_never_comes_back_frees_its_place() -> None:
    breaker = State()
    pace.heard(breaker, "html 403", 0)
    assert pace.stopped_for(breaker, 60) == 0
    assert pace.stopped_for(breaker, 61) == 49
    assert pace.stopped_for(breaker, 110) == 0
