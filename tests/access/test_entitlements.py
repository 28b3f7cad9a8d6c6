"""Granted once, started by the first session once, and the one that ends last counts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tenants import access
from tenants.access import entitlements
from tests.access import shop
from tests.access.conftest import NOON, Scene
from tests.access.shop import HOUR


def test_a_purchase_has_one_entitlement_however_often_it_is_granted(scene: Scene) -> None:
    bought = shop.purchase(scene.subscriber_id)
    first = access.grant(bought.id, scene.subscriber_id, bought.terms, NOON + HOUR, starts_at=NOON)
    again = access.grant(bought.id, scene.subscriber_id, bought.terms, NOON + 9 * HOUR, starts_at=NOON + HOUR)
    assert again.id == first.id
    assert (again.starts_at, again.ends_at) == (NOON, NOON + HOUR)
    assert access.entitlement_of(bought.id) is first


@pytest.mark.parametrize(("hours", "expected"), [(1, 2), (5, 5)])
def test_a_provisional_one_becomes_final_and_never_shorter(scene: Scene, hours: int, expected: int) -> None:
    bought, who = shop.purchase(scene.subscriber_id), scene.subscriber_id
    first = access.grant(bought.id, who, bought.terms, NOON + 2 * HOUR, starts_at=NOON, provisional=True)
    assert first.provisional
    final = access.grant(bought.id, who, bought.terms, NOON + hours * HOUR, starts_at=NOON)
    assert (final.id, final.provisional, final.ends_at) == (first.id, False, NOON + expected * HOUR)
    late = access.grant(bought.id, who, bought.terms, NOON + 9 * HOUR, starts_at=NOON, provisional=True)
    assert (late.provisional, late.ends_at) == (False, NOON + expected * HOUR)


@pytest.mark.parametrize(("waited", "more"), [(1, 3), (2, 2), (5, 2)])
def test_what_was_served_provisionally_was_paid_for(scene: Scene, waited: int, more: int) -> None:
    """Four hours, two of them before the receipt came; a pause that was no fault of the customer's does not count."""
    bought, who = shop.purchase(scene.subscriber_id, validity_count=4), scene.subscriber_id
    access.grant(bought.id, who, bought.terms, NOON + 2 * HOUR, starts_at=NOON, provisional=True)
    late = NOON + waited * HOUR
    final = access.grant(bought.id, who, bought.terms, late + 4 * HOUR, starts_at=late)
    assert final.ends_at == late + more * HOUR


def test_the_calendar_does_not_move_for_what_was_served(scene: Scene) -> None:
    bought, who = shop.purchase(scene.subscriber_id, validity="until_midnight"), scene.subscriber_id
    access.grant(bought.id, who, bought.terms, NOON + 2 * HOUR, starts_at=NOON, provisional=True)
    assert (
        access.grant(bought.id, who, bought.terms, NOON + 12 * HOUR, starts_at=NOON + HOUR).ends_at == NOON + 12 * HOUR
    )


def test_the_current_one_ends_last_among_those_that_run_and_are_not_used_up(scene: Scene) -> None:
    who = scene.subscriber_id
    short = shop.buy(who)
    long = shop.buy(who, validity="days", data_cap_bytes=100)
    shop.buy(who, at=NOON + 48 * HOUR)
    assert access.current([who], NOON) is long
    long.used_bytes = 100
    assert access.current([who], NOON) is short
    assert access.current([who], NOON - timedelta(seconds=1)) is None
    assert access.current([who], NOON + HOUR) is None, "half-open: it has ended at the instant itself"
    assert access.current([shop.customer(99_999_999)], NOON) is None


@pytest.mark.parametrize(
    ("validity", "minutes", "moved"),
    [("hours", 5, 5), ("days", 15, 15), ("hours", 16, 0), ("hours", -1, 0), ("until_midnight", 5, 0), ("months", 5, 0)],
)
def test_the_first_session_moves_start_and_end_once(scene: Scene, validity: str, minutes: int, moved: int) -> None:
    right = shop.buy(scene.subscriber_id, validity=validity)
    end, began = right.ends_at, NOON + timedelta(minutes=minutes)
    if 0 < minutes <= 15:
        assert entitlements.end_if_begun(right, began) == end + timedelta(minutes=moved)
    entitlements.activate(right.id, began)
    assert right.starts_at == NOON + timedelta(minutes=moved)
    assert right.ends_at == end + timedelta(minutes=moved)
    assert right.activated_at is not None
    entitlements.activate(right.id, began + timedelta(minutes=7))
    assert right.ends_at == end + timedelta(minutes=moved)
    assert entitlements.end_if_begun(right, began + timedelta(minutes=3)) == right.ends_at
