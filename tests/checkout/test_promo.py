"""Promotional credit: limited, spent before money, ended on its day, and never anybody's money."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tenants import checkout, ledger
from tenants.checkout import PromoGrant, promo
from tests.checkout.conftest import DAY, MAC, NOON, Office
from wavu import audit
from wavu.db import db, savepoint


def test_it_pays_first_and_money_the_rest(office: Office, other: Office) -> None:
    with office.at():
        office.pays_in(office.line_id, 150_000)
        office.grants(office.line_id, 40_000)
        bought = office.buys(office.line_id, office.month_id)
        assert (bought.promo_cents, bought.price_cents) == (40_000, 150_000)
        assert ledger.balance(ledger.INCOME_ACCESS) == 110_000
        assert ledger.balance(ledger.INCOME_PROMO) == 40_000
        assert ledger.balance(ledger.PROMO_COST) == -40_000
    assert office.wallet(office.line_id) == (40_000, 0)
    assert other.wallet(other.line_id) == (300_000, 7_777)


def test_the_soonest_to_end_goes_first(office: Office) -> None:
    with office.at():
        late, soon = office.grants(office.phone_id, 3_000, 20), office.grants(office.phone_id, 3_000, 10)
        office.pays_in(office.phone_id, 1_000)
        office.buys(office.phone_id, office.day_id, MAC)
        left = {grant.id: grant.left_cents for grant in db.session.scalars(select(PromoGrant))}
        assert (left[soon], left[late]) == (0, 1_000)
    assert office.wallet(office.phone_id) == (1_000, 1_000)


def test_what_is_taken_back_goes_where_it_came_from_and_ends_once_more(office: Office) -> None:
    with office.at():
        office.pays_in(office.phone_id, 2_000)
        office.grants(office.phone_id, 3_000, 2)
        bought = office.buys(office.phone_id, office.day_id, MAC)
        purchase_id = bought.id
    assert office.wallet(office.phone_id) == (0, 0)
    office.works(NOON + 2 * DAY)
    with office.at(NOON + 2 * DAY):
        assert checkout.give_back(purchase_id)
    assert office.wallet(office.phone_id) == (2_000, 3_000), "credit comes back as credit"
    office.works(NOON + 2 * DAY + timedelta(minutes=1))
    assert office.wallet(office.phone_id) == (2_000, 0)
    with office.at():
        assert ledger.balance(ledger.PROMO_COST) == 0
        assert ledger.balance(ledger.INCOME_PROMO) == 0


def test_it_ends_on_its_day_once_and_pays_no_later(office: Office, other: Office) -> None:
    with office.at():
        office.grants(office.line_id, 40_000, 3)
        office.grants(office.line_id, 10_000, 5)
    end = NOON + 3 * DAY
    with office.at(end):
        assert promo.usable_cents(office.line_id) == 10_000, "before the clock has come by, too"
    for minute in range(3):
        office.works(end + timedelta(minutes=minute))
    assert office.wallet(office.line_id) == (0, 10_000)
    assert other.wallet(other.line_id) == (300_000, 7_777)


def test_limits_of_a_grant(office: Office, other: Office) -> None:
    with office.at():
        for cents in (0, -1, promo.MOST_CENTS + 1):
            with pytest.raises(promo.TooMuchPromo):
                office.grants(office.phone_id, cents)
        for days in (0, -1, 367):
            with pytest.raises(promo.BadExpiry):
                office.grants(office.phone_id, 100, days)
        promo.set_most(900)
        with pytest.raises(promo.TooMuchPromo):
            office.grants(office.phone_id, 901)
        office.grants(office.phone_id, 900)
        assert [entry.action for entry in audit.trail(limit=2)] == ["promo.granted", "promo.limit_set"]
    with other.at():
        assert promo.most_cents() == promo.MOST_CENTS, "B has said nothing"


def test_pressing_twice_grants_once(office: Office) -> None:
    with office.at():
        assert office.grants(office.phone_id, 900, nonce="n") == office.grants(office.phone_id, 900, nonce="n")
    assert office.wallet(office.phone_id) == (0, 900)


def test_credit_alone_pays_a_renewal_and_money_stays(office: Office) -> None:
    with office.at():
        promo.set_most(1_000_000)
        office.pays_in(office.line_id, 160_000)
        office.buys(office.line_id, office.month_id)
        checkout.renewals.switch_on(office.line_id, office.month_id, by="Asha")
        office.grants(office.line_id, 150_000)
    office.works(NOON.replace(month=12) - DAY)
    assert office.wallet(office.line_id) == (10_000, 0)


def test_what_a_grant_says_never_changes(office: Office) -> None:
    with office.at():
        office.grants(office.phone_id, 900)
        found = db.session.scalars(select(PromoGrant).where(PromoGrant.subscriber_id == office.phone_id)).one()
        with pytest.raises(IntegrityError), savepoint():
            found.amount_cents = 1
            db.session.flush()
