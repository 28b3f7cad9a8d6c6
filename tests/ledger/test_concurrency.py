"""Sixteen writers at once: no wallet below nothing, no deadlock, each event once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from tenants import ledger
from tenants.ledger import Leg, NotEnoughMoney
from tests.ledger.conftest import MPESA, Book
from wavu import ids
from wavu.db import transaction
from wavu.tenancy import tenant_scope

WRITERS, EACH, SEED = 16, 12, 20261124


def test_sixteen_writers_on_one_wallet(book: Book) -> None:
    """Half of them buy more than there is, keys repeat, and accounts are used in every order."""
    a, other = book.world.a.id, ledger.wallet(ids.new_id())
    codes = [book.wallet, other, MPESA, ledger.INCOME_ACCESS, ledger.SUSPENSE]

    def write(writer: int) -> tuple[int, int, int]:
        chance, posted, refused, repeated = random.Random(SEED + writer), 0, 0, 0
        for _ in range(EACH):
            source, target = chance.sample(codes, 2) if chance.random() < 0.5 else (book.wallet, codes[3])
            legs, key = [Leg(source, -(cents := chance.randint(100, 900))), Leg(target, cents)], chance.randrange(150)
            try:
                with book.app.app_context(), tenant_scope(a), transaction():
                    done = ledger.post("move", f"move:{key}", legs)
                posted, repeated = posted + (done is not None), repeated + (done is None)
            except NotEnoughMoney:
                refused += 1
        return posted, refused, repeated

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(write, range(WRITERS)))
    posted, refused, repeated = (sum(column) for column in zip(*outcomes, strict=True))
    print(f"seed {SEED}: {posted} posted, {refused} refused, {repeated} repeated")
    assert posted + refused + repeated == WRITERS * EACH
    assert min(posted, refused, repeated) > 0, "the test means nothing otherwise"
    assert book.balance(a, book.wallet) >= 0
    assert book.balance(a, other) >= 0
    assert book.faults(a) == []
    assert book.balance(book.world.b.id, book.wallet) == 5_000
