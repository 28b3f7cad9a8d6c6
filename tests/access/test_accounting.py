"""Sessions as routers report them: any order, twice, not at all. The end is the same, and usage is counted once."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from tenants import access
from tenants.access import AccessSession, AccountingUpdate, ClassToken, Entitlement, Service, Status
from tests.access import shop
from tests.access.conftest import MAC, NOON, OTHER_MAC, Scene
from wavu import clock, ids
from wavu.db import db


def _update(scene: Scene, status: Status, minute: float = 0, **changes: object) -> AccountingUpdate:
    at = NOON + timedelta(minutes=minute)
    fields: dict[str, object] = {
        "router_id": scene.a.router_id, "status": status, "service": Service.HOTSPOT, "token": None,
        "class_value": None, "acct_session_id": "80100001", "user_name": MAC, "calling_station_id": "AA:BB:CC:DD:EE:FF",
        "mac": MAC, "framed_address": "10.5.50.7", "happened_at": at, "received_at": at, "seconds": 0, "bytes_up": 0,
        "bytes_down": 0, "cause": "User-Request" if status is Status.STOP else None,
    }  # fmt: skip
    return AccountingUpdate(**(fields | changes))  # type: ignore[arg-type]


def _life(scene: Scene, token: ClassToken | None, start: float = 0) -> list[AccountingUpdate]:
    """A session of 20 minutes that passes 4 GB."""

    def at(status: Status, minutes: int, up: int, down: int) -> AccountingUpdate:
        return _update(scene, status, start + minutes, token=token, seconds=minutes * 60, bytes_up=up, bytes_down=down)

    return [
        at(Status.START, 0, 0, 0), at(Status.INTERIM, 5, 10, 2**31), at(Status.INTERIM, 10, 20, 2**32 + 5),
        at(Status.STOP, 20, 30, 2**32 + 9),
    ]  # fmt: skip


def _sessions() -> list[AccessSession]:
    return list(db.session.scalars(select(AccessSession).order_by(AccessSession.started_at, AccessSession.id)))


def _used(right: Entitlement) -> tuple[int, int]:
    db.session.refresh(right)
    return right.used_seconds, right.used_bytes


@pytest.mark.parametrize("with_class", [True, False])
def test_every_order_and_every_copy_ends_alike(scene: Scene, with_class: bool) -> None:
    chance = random.Random(7)
    orders = list(itertools.permutations(range(4)))
    for number, order in enumerate(orders if with_class else [*orders[:1], (0, 0, 1, 1, 3, 2, 3)]):
        right = shop.buy(scene.subscriber_id, validity="days")
        token = ClassToken(ids.new_id(), right.id) if with_class else None
        life = _life(scene, token, start=number * 30)
        told = [life[place] for place in order]
        told += chance.sample(told, 2)
        for update in told if number % 2 else [told]:
            access.record(update if isinstance(update, list) else [update])
        session = _sessions()[-1]
        began = NOON + timedelta(minutes=number * 30)
        assert (session.started_at, session.stopped_at) == (began, began + timedelta(minutes=20)), order
        assert (session.seconds, session.bytes_up, session.bytes_down) == (1200, 30, 2**32 + 9)
        assert session.cause == "User-Request"
        assert len(_sessions()) == number + 1
        if with_class:
            assert _used(right) == (1200, 2**32 + 39)


def test_usage_of_two_devices_adds_up_and_the_neighbour_has_none(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id, devices=2)
    for number, mac in enumerate((MAC, OTHER_MAC)):
        token = ClassToken(ids.new_id(), right.id)
        access.record([update._replace(mac=mac, acct_session_id=f"8{number}") for update in _life(scene, token)])
    assert _used(right) == (2400, 2 * (2**32 + 39))
    assert {session.subscriber_id for session in _sessions()} == {scene.subscriber_id}


def test_without_our_class_the_names_tell_whose_it_is(scene: Scene) -> None:
    right, line = shop.buy(scene.subscriber_id), shop.line("kamau", "x")
    code = access.make_login_code(scene.subscriber_id, OTHER_MAC)
    access.record(
        [
            _update(scene, Status.START),
            _update(scene, Status.START, user_name=code, mac=OTHER_MAC, acct_session_id="80100002"),
            _update(scene, Status.START, user_name="kamau", service=Service.PPPOE, acct_session_id="81100001"),
            _update(scene, Status.START, user_name="stranger", mac=None, acct_session_id="80100009"),
        ]
    )
    found = {session.acct_session_id: session for session in _sessions()}
    assert found["80100001"].entitlement_id == found["80100002"].entitlement_id == right.id
    assert (found["81100001"].subscriber_id, found["81100001"].entitlement_id) == (line, None)
    assert (found["80100009"].subscriber_id, found["80100009"].user_name) == (None, "stranger")


def test_a_start_after_a_lost_stop_closes_the_old_session(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id, validity="days")
    first, second = (ClassToken(ids.new_id(), right.id) for _ in range(2))
    access.record([_update(scene, Status.START, token=first)])
    access.record([_update(scene, Status.INTERIM, 5, token=first, seconds=300)])
    access.record([_update(scene, Status.START, 9, token=second, acct_session_id="80100002")])
    old, new = _sessions()
    db.session.refresh(old)
    assert (old.stopped_at, old.cause) == (NOON + timedelta(minutes=5), "superseded")
    assert new.stopped_at is None
    access.record([_update(scene, Status.STOP, 8, token=first, seconds=480)])
    assert (old.stopped_at, old.cause, old.seconds) == (NOON + timedelta(minutes=8), "User-Request", 480)
    assert _used(right)[0] == 480


def test_a_session_id_that_is_used_again_is_another_session(scene: Scene) -> None:
    access.record([_update(scene, Status.START), _update(scene, Status.START, 0.5)])
    assert len(_sessions()) == 1, "a Start that came twice"
    access.record([_update(scene, Status.STOP, 10, seconds=600), _update(scene, Status.START, 20)])
    access.record([_update(scene, Status.INTERIM, 25, seconds=300), _update(scene, Status.INTERIM, 10, seconds=600)])
    assert [(session.seconds, session.stopped_at is None) for session in _sessions()] == [(600, False), (600, True)]


def test_a_router_that_restarts_has_no_sessions_and_a_living_one_comes_back(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id, validity="days", devices=9)
    tokens = [ClassToken(ids.new_id(), right.id) for _ in range(2)]
    macs = (MAC, OTHER_MAC)
    access.record([_update(scene, Status.START, token=token, mac=mac) for token, mac in zip(tokens, macs, strict=True)])
    access.record([_update(scene, Status.ON, 5, mac=None), _update(scene, Status.START, 5, mac="000000000001")])
    for session in _sessions():
        db.session.refresh(session)
    assert [session.cause for session in _sessions()] == ["router restarted"] * 2 + [None]
    access.record([_update(scene, Status.INTERIM, 6, token=tokens[0], seconds=360)])
    assert [session.stopped_at is None for session in _sessions()] == [True, False, True]
    access.record([_update(scene, Status.OFF, 6)])
    db.session.expire_all()
    assert not [session for session in _sessions() if session.stopped_at is None]


def test_the_first_report_of_a_session_starts_the_paid_time(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id)
    late = _update(scene, Status.INTERIM, 10, token=ClassToken(ids.new_id(), right.id), seconds=300)
    access.record([late])
    assert right.starts_at == NOON + timedelta(minutes=5), "its Start was lost, but it says how long it has run"
    assert right.ends_at == NOON + timedelta(minutes=65)


def _due(now: datetime) -> set[str]:
    names = {session.id: session.user_name for session in _sessions()}
    return {names[ending.session_id] for ending in access.sessions_to_end(now)}


def test_an_end_that_moves_is_followed(scene: Scene) -> None:
    later, sooner = shop.buy(scene.subscriber_id), shop.buy(scene.subscriber_id, validity="days")
    for name, right in {"later": later, "sooner": sooner}.items():
        token = ClassToken(ids.new_id(), right.id)
        access.record([_update(scene, Status.START, token=token, user_name=name, mac=name)])
    later.ends_at, sooner.ends_at = NOON + timedelta(hours=2), NOON + timedelta(minutes=30)
    assert _due(NOON + timedelta(minutes=31)) == {"sooner"}
    assert _due(NOON + timedelta(minutes=61)) == {"sooner"}
    assert _due(NOON + timedelta(hours=2)) == {"later", "sooner"}


def test_what_must_end_is_named_once_in_five_minutes(scene: Scene) -> None:
    hour, capped = shop.buy(scene.subscriber_id), shop.buy(scene.subscriber_id, validity="days", data_cap_bytes=1000)
    timed = shop.buy(scene.subscriber_id, validity="days", time_cap_seconds=600)
    for name, right in {"hour": hour, "capped": capped, "timed": timed}.items():
        token = ClassToken(ids.new_id(), right.id)
        access.record([_update(scene, Status.START, token=token, user_name=name, mac=name)])
    access.record([_update(scene, Status.START, user_name="nobody", mac=None)])
    assert _due(NOON + timedelta(minutes=1)) == {"nobody"}
    assert _due(NOON + timedelta(minutes=6)) == set()
    capped.used_bytes, timed.used_seconds = 1000, 600
    assert _due(NOON + timedelta(minutes=6, seconds=1)) == {"nobody", "capped", "timed"}
    with clock.fixed(NOON + timedelta(hours=1)):
        assert _due(NOON + timedelta(hours=1)) == {"nobody", "hour", "capped", "timed"}
    assert _due(NOON + timedelta(hours=25)) == set()
    assert {session.cause for session in _sessions()} == {"lost"}, "nothing was heard of them for a day"
