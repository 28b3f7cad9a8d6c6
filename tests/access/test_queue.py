"""What was bought while another package ran begins when that one is over, whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tenants import access, catalog
from tenants.access import AccessRequest, Entitlement, Grant, Refusal, Service, entitlements
from tests.access import shop
from tests.access.conftest import MAC, NOON, Scene
from tests.access.shop import HOUR
from wavu import clock
from wavu.db import db


def _let_in(scene: Scene, at: datetime) -> tuple[UUID, int]:
    """(under which entitlement, for how many seconds)."""
    with clock.fixed(at):
        granted = access.authorize(scene.by_mac())
    assert isinstance(granted, Grant), granted
    return granted.entitlement_id, granted.timeout_seconds


def _span(right: Entitlement) -> tuple[datetime, datetime]:
    db.session.refresh(right)
    return right.starts_at, right.ends_at


def test_the_second_begins_when_the_first_ends(scene: Scene) -> None:
    first = shop.buy(scene.subscriber_id)
    second = shop.buy(scene.subscriber_id, follows=first, speed_down_bps=9_000_000)
    entitlements.activate(first.id, NOON)
    assert _let_in(scene, NOON + timedelta(minutes=50)) == (first.id, 600)
    assert _let_in(scene, NOON + HOUR) == (second.id, 3600)
    assert _let_in(scene, NOON + HOUR + timedelta(minutes=20)) == (second.id, 2400)
    with clock.fixed(NOON + 2 * HOUR):
        assert isinstance(access.authorize(scene.by_mac()), Refusal)


def test_a_queue_moves_with_a_late_first_session(scene: Scene) -> None:
    first = shop.buy(scene.subscriber_id)
    second = shop.buy(scene.subscriber_id, follows=first)
    third = shop.buy(scene.subscriber_id, follows=second)
    entitlements.activate(first.id, NOON + timedelta(minutes=10))
    late = NOON + timedelta(minutes=10)
    assert _span(first) == (late, late + HOUR)
    assert _span(second) == (late + HOUR, late + 2 * HOUR)
    assert _span(third) == (late + 2 * HOUR, late + 3 * HOUR)


@pytest.mark.parametrize("cap", ["data_cap_bytes", "time_cap_seconds"])
def test_what_waits_begins_at_once_when_the_first_is_used_up(scene: Scene, cap: str) -> None:
    caps: dict[str, Any] = {cap: 1_000}
    first = shop.buy(scene.subscriber_id, validity="days", **caps)
    second = shop.buy(scene.subscriber_id, follows=first)
    third = shop.buy(scene.subscriber_id, follows=second)
    at = NOON + 3 * HOUR
    with clock.fixed(at):
        entitlements.use(first.id, 999, 999)
        assert _span(second)[0] == first.ends_at, "one is left of it"
        entitlements.use(first.id, 1, 1)
    assert _span(second) == (at, at + HOUR)
    assert _span(third) == (at + HOUR, at + 2 * HOUR)
    assert _let_in(scene, at) == (second.id, 3600)
    with clock.fixed(at + timedelta(minutes=30)):
        entitlements.use(first.id, 50, 50)
    assert _span(second) == (at, at + HOUR), "what has begun is not moved by what a late report adds"


def test_a_provisional_one_that_becomes_final_moves_what_waits(scene: Scene) -> None:
    bought = shop.purchase(scene.subscriber_id, validity="days")
    who, terms = scene.subscriber_id, bought.terms
    first = access.grant(bought.id, who, terms, NOON + 2 * HOUR, starts_at=NOON, provisional=True)
    second = shop.buy(who, follows=first)
    assert _span(second)[0] == NOON + 2 * HOUR
    access.grant(bought.id, who, terms, NOON + 24 * HOUR, starts_at=NOON)
    assert _span(second) == (NOON + 24 * HOUR, NOON + 25 * HOUR)


@pytest.mark.parametrize(
    ("starts", "bought", "expected"),
    [
        ("2026-11-24T07:00", "2026-11-24T07:00", "2026-11-24T21:00"),
        # Nairobi's midnight is 21:00 UTC. Fourteen hours were for sale: one that begins at 20:59 is not one minute.
        ("2026-11-24T20:59", "2026-11-24T07:00", "2026-11-25T21:00"),
        ("2026-11-24T21:00", "2026-11-24T07:00", "2026-11-25T21:00"),
        ("2026-11-25T06:00", "2026-11-24T07:00", "2026-11-25T21:00"),
        ("2026-11-25T07:30", "2026-11-24T07:00", "2026-11-26T21:00"),
    ],
)
def test_until_midnight_is_never_less_for_waiting(starts: str, bought: str, expected: str) -> None:
    terms = {"validity": "until_midnight", "validity_count": 1}
    begins, paid = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (starts, bought))
    ends = catalog.ends_at(terms, begins, "Africa/Nairobi", bought_at=paid)
    assert ends == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert catalog.ends_at(terms, begins, "Africa/Nairobi") <= ends


def test_a_lines_right_opens_no_hotspot_and_a_phones_no_line(scene: Scene) -> None:
    kamau = shop.line("kamau", "siri")
    line = AccessRequest(scene.a.router_id, Service.PPPOE, "kamau", MAC, "siri", None)
    hotspot = shop.buy(kamau)
    assert isinstance(access.authorize(line), Refusal)
    home = shop.buy(kamau, service="pppoe")
    assert access.current([kamau], NOON) is hotspot
    assert access.current([kamau], NOON, "pppoe") is home
    granted = access.authorize(line)
    assert isinstance(granted, Grant)
    assert granted.entitlement_id == home.id
    shop.buy(scene.subscriber_id, service="pppoe")
    refused = access.authorize(scene.by_mac())
    assert isinstance(refused, Refusal)
    assert refused.reason == "no_package"


def test_room_for_one_more_device(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id, devices=2)
    assert access.has_room(right, MAC, NOON)
    for mac in ("000000000001", "000000000002"):
        db.session.add(
            access.AccessSession(
                id=uuid4(), router_id=scene.a.router_id, subscriber_id=scene.subscriber_id, entitlement_id=right.id,
                session_key=mac, acct_session_id=mac, user_name=mac, mac=mac, service="hotspot", started_at=NOON,
                updated_at=NOON,
            )
        )  # fmt: skip
    db.session.flush()
    assert not access.has_room(right, MAC, NOON)
    assert access.has_room(right, "000000000001", NOON), "it is one of the two"
