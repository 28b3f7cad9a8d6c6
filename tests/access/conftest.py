from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import pytest

from tenants import subscribers
from tenants.access import AccessRequest, Service
from tests.access import shop
from tests.world import Isp, World
from wavu import clock
from wavu.db import transaction
from wavu.tenancy import tenant_scope

NOON = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MAC, OTHER_MAC = "AABBCCDDEEFF", "AABBCCDDEE00"


class Scene(NamedTuple):
    """In A's scope, at noon in Nairobi, with a customer who has a phone; B has the same one, with a package."""

    a: Isp
    b: Isp
    subscriber_id: UUID

    def by_mac(self, mac: str = MAC) -> AccessRequest:
        return AccessRequest(self.a.router_id, Service.HOTSPOT, mac, mac, mac, None)

    def by_code(self, code: str, mac: str = MAC, password: str | None = None) -> AccessRequest:
        return AccessRequest(self.a.router_id, Service.HOTSPOT, code, mac, password or code, None)


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    with clock.fixed(NOON):
        with tenant_scope(world.b.id), transaction():
            theirs = shop.customer(12_345_678)
            subscribers.bind_device(MAC, theirs)
            shop.buy(theirs)
        with tenant_scope(world.a.id), transaction():
            ours = shop.customer(12_345_678)
            subscribers.bind_device(MAC, ours)
            yield Scene(world.a, world.b, ours)
