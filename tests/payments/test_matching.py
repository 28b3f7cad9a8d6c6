"""Staff say whose an unmatched payment is."""

from __future__ import annotations

from uuid import UUID

import pytest

from tenants import checkout, payments
from tests.payments.test_by_hand import STRANGER, _balances, _everything_arrived, _number, hand
from tests.shop import Shop
from wavu.db import transaction
from wavu.errors import Refused
from wavu.tenancy import tenant_scope

__all__ = ["hand"]


def _item(shop: Shop, tenant_id: UUID) -> payments.Unmatched:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        (found,) = payments.list_unmatched()
        return found


def _match(shop: Shop, tenant_id: UUID, item_id: UUID, customer: str, cents: int) -> str:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        return checkout.match_unmatched(item_id, customer, cents)


def test_staff_match_and_split_to_the_cent(hand: Shop) -> None:
    isp, number = hand.world.a, _number(hand, hand.world.a.id)
    other = _number(hand, isp.id, "0733000222")
    hand.sim.pay(STRANGER, "600100", 50, "whose")
    hand.sim.wait_idle()
    hand.work("settle_report")
    item = _item(hand, isp.id).item.id
    for customer, cents in (
        (number, 5001),
        (number, 0),
        (number, -100),
        ("11111111", 100),
        (_number(hand, hand.world.b.id), 1),
    ):
        with pytest.raises(Refused):
            _match(hand, isp.id, item, customer, cents)
    with pytest.raises(Refused):
        _match(hand, hand.world.b.id, item, _number(hand, hand.world.b.id), 100)
    _match(hand, isp.id, item, number, 2000)
    assert _item(hand, isp.id).item.left_cents == 3000
    _match(hand, isp.id, item, other, 3000)
    with pytest.raises(Refused):
        _match(hand, isp.id, item, number, 1)
    assert _balances(hand, isp.id) == (2000, 0)
    assert _balances(hand, isp.id, "0733000222") == (3000, 0)
    _everything_arrived(hand)


@pytest.mark.parametrize("slip", ["wrong", "missing", "swapped", "letter", "phone"])
def test_suggestions_find_whom_a_slip_of_the_finger_meant(hand: Shop, slip: str) -> None:
    number = _number(hand, hand.world.a.id)
    at = next(i for i in range(1, 7) if number[i] != number[i + 1])
    typed = {
        "wrong": number[:3] + str((int(number[3]) + 1) % 10) + number[4:],
        "missing": number[:4] + number[5:],
        "swapped": number[:at] + number[at + 1] + number[at] + number[at + 2 :],
        "letter": number.replace("0", "O") if "0" in number else "O" + number,
        "phone": "0712345678",
    }[slip]
    hand.sim.pay(STRANGER, "600100", 50, typed)
    hand.sim.wait_idle()
    hand.work("settle_report")
    with hand.app.app_context(), tenant_scope(hand.world.a.id), transaction():
        (found,) = payments.list_unmatched()
        suggested = payments.suggest_owners(found.receipt)
    assert number in [suggestion.number for suggestion in suggested]
    assert _balances(hand, hand.world.a.id) == (0, 5000), "nothing is credited for likeness"
