"""What a caller may rely on when it posts."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants import ledger
from tenants.ledger import AlreadyReversed, Leg, NotEnoughMoney
from tests.ledger.conftest import MPESA, Book
from tests.world import World
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope


def test_an_event_posts_once_and_the_other_tenants_book_is_another(book: Book) -> None:
    a, b = book.world.a.id, book.world.b.id
    assert book.pay_in(a, "receipt:174379:QWERTY1234", 1_000)
    assert not book.pay_in(a, "receipt:174379:QWERTY1234", 1_000)
    assert not book.pay_in(a, "receipt:174379:QWERTY1234", 99_000), "the key counts, not what is asked under it"
    assert book.balance(a, book.wallet) == 6_000
    assert book.balance(b, book.wallet) == 5_000
    assert book.balance(a, MPESA) == -6_000


def test_a_wallet_never_falls_below_nothing_and_the_caller_goes_on(book: Book) -> None:
    a = book.world.a.id
    with book.app.app_context(), tenant_scope(a), transaction():
        with pytest.raises(NotEnoughMoney):
            ledger.post("buy", "buy:1", [Leg(book.wallet, -5_001), Leg(ledger.INCOME_ACCESS, 5_001)])
        assert ledger.balance(book.wallet) == 5_000
        assert ledger.post("buy", "buy:1", [Leg(book.wallet, -5_000), Leg(ledger.INCOME_ACCESS, 5_000)])
    assert book.balance(a, book.wallet) == 0
    assert book.balance(a, ledger.INCOME_ACCESS) == 5_000


def test_a_key_that_has_posted_leaves_the_transaction_alone(book: Book) -> None:
    a = book.world.a.id
    with book.app.app_context(), tenant_scope(a), transaction():
        legs = [Leg(book.wallet, -10), Leg(ledger.SUSPENSE, 10)]
        assert ledger.post("move", "move:1", legs, facts={"why": "test"}) is not None
        assert ledger.post("move", "move:1", legs) is None
        assert ledger.post("move", "move:2", legs) is not None
    assert book.balance(a, ledger.SUSPENSE) == 20


def test_a_transaction_is_reversed_at_most_once(book: Book) -> None:
    a = book.world.a.id
    with book.app.app_context(), tenant_scope(a), transaction():
        bought = ledger.post("buy", "buy:1", [Leg(book.wallet, -700), Leg(ledger.INCOME_ACCESS, 700)])
        assert bought is not None
        back = [Leg(book.wallet, 700), Leg(ledger.INCOME_ACCESS, -700)]
        assert ledger.post("reverse", f"rev:{bought}", back, reverses=bought)
        with pytest.raises(AlreadyReversed):
            ledger.post("reverse", "rev:again", back, reverses=bought)
    assert book.balance(a, book.wallet) == 5_000


def test_legs_that_cannot_balance_are_a_bug(book: Book) -> None:
    with book.app.app_context(), tenant_scope(book.world.a.id), transaction():
        for amounts in ([], [5], [5, -4], [0, 0], [5, -5, 0]):
            with pytest.raises(ValueError, match="balance"):
                ledger.post("bad", "bad", [Leg(MPESA, amount) for amount in amounts])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 10**6)), max_size=12),
    st.integers(0, 1),
)
def test_whatever_is_posted_sums_to_nothing(world: World, moves: list[tuple[int, int, int]], which: int) -> None:
    """Random moves between wallets, suspense, income and M-Pesa, refused ones among them."""
    wallets = [ledger.wallet(uuid4()) for _ in range(2)]
    codes = [MPESA, ledger.SUSPENSE, ledger.INCOME_ACCESS, ledger.mpesa("other"), *wallets]
    with tenant_scope((world.a, world.b)[which].id), transaction():
        before = sum(ledger.balance(code) for code in codes)
        for source, target, cents in moves:
            legs = [Leg(codes[5 - source], -cents), Leg(codes[target], cents)]
            try:
                ledger.post("move", str(uuid4()), legs)
            except NotEnoughMoney:
                assert codes[5 - source] in wallets
        db.session.flush()
        assert sum(ledger.balance(code) for code in codes) == before, "the codes are all there are"
        assert min(ledger.balance(code) for code in wallets) >= 0
        assert ledger.audit() == []
