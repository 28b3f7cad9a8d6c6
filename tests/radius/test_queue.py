"""A package that waits behind another, at the wire: the phone comes back by itself and goes on with it."""

from __future__ import annotations

from tests.access import shop
from tests.radius.conftest import ACCEPT, PHONE, REJECT, Wire, accounting, hotspot


def test_used_up_data_goes_on_with_what_waits(wire: Wire) -> None:
    with wire.inside():
        who = shop.customer(12_345_678)
        wire.bind_phone(who)
        first = shop.buy(who, validity="days", data_cap_bytes=5_000_000)
        second = shop.buy(who, follows=first, speed_down_bps=9_000_000)
    accepted = wire.log_in(hotspot(wire.world.a, PHONE, PHONE))
    assert accepted.code == ACCEPT
    assert first.id.bytes in accepted[25][0]
    for status, used in ((1, 0), (3, 3_000_000), (2, 5_000_000)):
        assert wire.tell(accounting(wire.world.a, status, accepted[25][0], down=used, seconds=60 * status))
    again = wire.log_in(hotspot(wire.world.a, PHONE, PHONE))
    assert again.code == ACCEPT
    assert second.id.bytes in again[25][0]
    assert 3590 <= int.from_bytes(again[27][0]) <= 3600
    assert wire.log_in(hotspot(wire.world.b, PHONE, PHONE), wire.world.b).code == REJECT
