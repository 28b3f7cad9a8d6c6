from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reconciliation.books import Moved, credited, open_books, payout, receipt
from tests.world import World
from wavu.db import transaction
from wavu.tenancy import tenant_scope


@pytest.fixture
def books(world: World) -> Iterator[World]:
    """A's books, open in A's scope and in one transaction; B has payments of its own on the same day."""
    with tenant_scope(world.b.id), transaction():
        open_books("600300")
        credited([Moved(receipt(900), 70_000), Moved(receipt(1), 12_300)])
        payout(receipt(7), 20_000)
    with tenant_scope(world.a.id), transaction():
        open_books()
        yield world
