"""Each yes with its limits, each no with its reason."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from tenants import access, subscribers
from tenants.access import AccessRequest, AccessSession, Chap, Entitlement, Grant, Refusal, Service
from tests.access import shop
from tests.access.conftest import MAC, NOON, OTHER_MAC, Scene
from tests.access.shop import HOUR
from wavu import clock
from wavu.db import db
from wavu.web.i18n import catalogue


def _granted(request: AccessRequest) -> Grant:
    outcome = access.authorize(request)
    assert isinstance(outcome, Grant), outcome
    return outcome


def _reason(request: AccessRequest) -> str:
    outcome = access.authorize(request)
    assert isinstance(outcome, Refusal), outcome
    swahili = outcome.text(catalogue("sw").gettext)
    assert swahili != outcome.text(str), "every refusal is there in Swahili"
    assert len(swahili.encode()) <= 253
    return outcome.reason


def _session(scene: Scene, right: Entitlement, mac: str, heard: timedelta = timedelta(0)) -> AccessSession:
    key = str(uuid4())
    session = AccessSession(
        id=uuid4(), router_id=scene.a.router_id, subscriber_id=right.subscriber_id, entitlement_id=right.id,
        session_key=key, acct_session_id="80100001", user_name=mac, mac=mac, service="hotspot",
        started_at=NOON - heard, updated_at=NOON - heard,
    )  # fmt: skip
    db.session.add(session)
    db.session.flush()
    return session


def test_before_the_purchase_no_and_after_it_yes(scene: Scene) -> None:
    assert _reason(scene.by_mac()) == "no_package"
    right = shop.buy(scene.subscriber_id)
    granted = _granted(scene.by_mac())
    assert granted == Grant(right.id, scene.subscriber_id, 3600, 2_000_000, 5_000_000, None, 1)
    with clock.fixed(NOON + timedelta(minutes=5)):
        assert _granted(scene.by_mac()).timeout_seconds == 3600, "paid time begins with the first session"
    with clock.fixed(NOON + timedelta(minutes=20)):
        assert _granted(scene.by_mac()).timeout_seconds == 2400
    with clock.fixed(NOON + HOUR - timedelta(milliseconds=1)):
        assert _granted(scene.by_mac()).timeout_seconds == 1, "0 would be no limit"
    with clock.fixed(NOON + HOUR):
        outcome = access.authorize(scene.by_mac())
    assert isinstance(outcome, Refusal)
    assert outcome.text(str) == "Your package ended on 24/11/2026 13:00."


def test_limits_are_what_is_left(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id, time_cap_seconds=1800, data_cap_bytes=5 * 2**32)
    right.used_seconds, right.used_bytes = 600, 2**32
    granted = _granted(scene.by_mac())
    assert (granted.timeout_seconds, granted.bytes_left) == (1200, 4 * 2**32)
    right.used_seconds = 1800
    assert _reason(scene.by_mac()) == "time_used_up"
    right.used_seconds, right.used_bytes = 0, 6 * 2**32
    assert _reason(scene.by_mac()) == "data_used_up"


def test_a_mac_address_is_only_its_owners(scene: Scene) -> None:
    shop.buy(scene.subscriber_id)
    request = scene.by_mac()
    assert _reason(request._replace(mac=OTHER_MAC)) == "unknown_user"
    assert _reason(request._replace(mac=None)) == "unknown_user"
    assert _reason(scene.by_mac(OTHER_MAC)) == "no_package"
    assert isinstance(access.authorize(request._replace(user_name="aa-bb-cc-dd-ee-ff", password="")), Grant)


def test_a_code_works_once_for_its_device_within_its_time(scene: Scene) -> None:
    codes = [access.make_login_code(scene.subscriber_id, OTHER_MAC) for _ in range(50)]
    assert all(re.fullmatch(r"[A-HJKMNP-Z2-9]{24}", code) for code in codes)
    assert len(set(codes)) == 50
    code = codes[0]
    assert _reason(scene.by_code(code, OTHER_MAC)) == "no_package"
    shop.buy(scene.subscriber_id)
    assert _reason(scene.by_code(code, MAC)) == "other_device"
    assert _reason(scene.by_code(code, OTHER_MAC, password="x")) == "wrong_password"
    assert _reason(scene.by_code(code[::-1], OTHER_MAC)) == "unknown_user"
    assert _reason(scene.by_mac(OTHER_MAC)) == "no_package"
    assert isinstance(access.authorize(scene.by_code(code, OTHER_MAC)), Grant), "no refusal has used it up"
    assert _reason(scene.by_code(code, OTHER_MAC)) == "code_spent"
    assert isinstance(access.authorize(scene.by_mac(OTHER_MAC)), Grant), "the device is known from now on"
    with clock.fixed(NOON + timedelta(seconds=120)):
        assert _reason(scene.by_code(codes[1], OTHER_MAC)) == "code_spent"


def _chap(password: str, challenge: bytes = bytes(range(16))) -> Chap:
    return Chap(b"\x07", hashlib.md5(b"\x07" + password.encode() + challenge).digest(), challenge)  # noqa: S324


def test_a_line_proves_its_password(scene: Scene) -> None:
    shop.buy(shop.line("kamau", "siri kubwa"), devices=1, service="pppoe")
    pap = AccessRequest(scene.a.router_id, Service.PPPOE, "kamau", MAC, "siri kubwa", None)
    assert _granted(pap).port_limit is None
    assert _reason(pap._replace(password="siri")) == "wrong_password"
    assert _reason(pap._replace(password=None)) == "wrong_password"
    assert _reason(pap._replace(user_name="KAMAU")) == "unknown_user"
    assert isinstance(access.authorize(pap._replace(password=None, chap=_chap("siri kubwa"))), Grant)
    assert _reason(pap._replace(password="siri kubwa", chap=_chap("siri"))) == "wrong_password"
    assert _reason(pap._replace(service=Service.HOTSPOT)) == "unknown_user", "a line is no hotspot account"
    assert _reason(pap._replace(service=Service.LOGIN)) == "router_login"


def test_devices_are_counted_without_the_own_and_without_stale_ones(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id, devices=2)
    _session(scene, right, MAC)
    _session(scene, right, "000000000001")
    assert isinstance(access.authorize(scene.by_mac()), Grant), "it comes back itself"
    subscribers.bind_device(OTHER_MAC, scene.subscriber_id)
    assert _reason(scene.by_mac(OTHER_MAC)) == "too_many_devices"
    second = shop.buy(scene.subscriber_id)
    assert _granted(scene.by_mac(OTHER_MAC)).entitlement_id == second.id, "a second purchase is for a second phone"
    _session(scene, second, "000000000002", heard=timedelta(minutes=14))
    assert isinstance(access.authorize(scene.by_mac(OTHER_MAC)), Grant), "it was not heard of for 14 minutes"
    _session(scene, second, "000000000003", heard=timedelta(minutes=13))
    assert _reason(scene.by_mac(OTHER_MAC)) == "too_many_devices"


def test_phones_that_come_together_do_not_all_find_the_last_place(scene: Scene) -> None:
    """After a power cut all log in before accounting tells of the first."""
    right = shop.buy(scene.subscriber_id)
    subscribers.bind_device(OTHER_MAC, scene.subscriber_id)
    assert isinstance(access.authorize(scene.by_mac()), Grant)
    assert isinstance(access.authorize(scene.by_mac()), Grant), "it asks again, for the answer was lost"
    assert _reason(scene.by_mac(OTHER_MAC)) == "too_many_devices"
    with clock.fixed(NOON + timedelta(seconds=59)):
        assert _reason(scene.by_mac(OTHER_MAC)) == "too_many_devices"
        assert not access.has_room(right, OTHER_MAC, clock.now())
    with clock.fixed(NOON + timedelta(seconds=61)):
        assert isinstance(access.authorize(scene.by_mac(OTHER_MAC)), Grant), "the first never began"


def test_a_place_is_free_as_soon_as_its_session_has_ended(scene: Scene) -> None:
    right = shop.buy(scene.subscriber_id)
    subscribers.bind_device(OTHER_MAC, scene.subscriber_id)
    assert isinstance(access.authorize(scene.by_mac()), Grant)
    session = _session(scene, right, MAC)
    assert _reason(scene.by_mac(OTHER_MAC)) == "too_many_devices"
    session.stopped_at = NOON
    db.session.flush()
    assert isinstance(access.authorize(scene.by_mac(OTHER_MAC)), Grant)
    assert _reason(scene.by_mac()) == "too_many_devices"


def test_whoever_else_pays_for_a_device_takes_nothing_from_its_owner(scene: Scene) -> None:
    """A MAC address is no secret: the longest right that somebody bought for it serves."""
    week = shop.buy(scene.subscriber_id, ends_at=NOON + timedelta(days=7))
    stranger = shop.customer(87_654_321)
    subscribers.bind_device(MAC, stranger)
    hour = shop.buy(stranger)
    assert _granted(scene.by_mac()).entitlement_id == week.id
    with clock.fixed(NOON + timedelta(hours=2)):
        assert _granted(scene.by_mac()).entitlement_id == week.id, "and still does when the shorter one has ended"
    code = access.make_login_code(stranger, MAC)
    assert _granted(scene.by_code(code)).entitlement_id == week.id
    assert hour.subscriber_id == stranger


def test_old_codes_are_forgotten_some_at_a_time(scene: Scene) -> None:
    for _ in range(12):
        access.make_login_code(scene.subscriber_id, MAC)
    for kept in (3, 2, 3):
        with clock.fixed(NOON + timedelta(days=41)):
            access.make_login_code(scene.subscriber_id, MAC)
        assert len(db.session.scalars(select(access.LoginCode.id)).all()) == kept


@pytest.mark.parametrize("nobody", ["", "\x00", "AABBCC", "ñandú", "x" * 253])
def test_nobody(scene: Scene, nobody: str) -> None:
    user = nobody.replace("\0", "")
    assert _reason(AccessRequest(scene.a.router_id, Service.HOTSPOT, user, None, user, None)) == "unknown_user"
    assert _reason(AccessRequest(UUID(int=0), Service.PPPOE, user, MAC, user, None)) == "unknown_user"
