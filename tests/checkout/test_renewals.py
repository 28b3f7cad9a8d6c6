"""Packages that renew themselves: once per period, without a gap, whole or not at all, by the rules that are told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from tenants import access, checkout, ledger
from tenants.access import entitlements
from tenants.checkout import Purchase, renewals
from tests.checkout.conftest import DAY, MAC, NOON, Office
from wavu.db import db
from wavu.errors import NotFound
from wavu.tenancy import current_tenant

MONTH_ENDS = NOON.replace(month=12)


def _renewing(office: Office, cents: int = 0) -> None:
    """The line is paid for a month, its renewal is on, and so much is in the wallet."""
    with office.at():
        office.pays_in(office.line_id, 150_000 + cents)
        office.buys(office.line_id, office.month_id)
        renewals.switch_on(office.line_id, office.month_id, by="Asha")


def test_it_renews_a_day_before_without_a_gap_and_once(office: Office, other: Office) -> None:
    _renewing(office, 200_000)
    office.works(MONTH_ENDS - DAY - timedelta(minutes=1))
    assert len(office.rights(office.line_id)) == 1, "not before its time"
    for minutes in range(3):
        office.works(MONTH_ENDS - DAY + timedelta(minutes=minutes))
    first, second = office.rights(office.line_id)
    assert first[1] == second[0] == MONTH_ENDS
    assert second[1] == MONTH_ENDS.replace(year=2027, month=1)
    assert office.wallet(office.line_id) == (50_000, 0)
    with office.at():
        made = db.session.scalars(select(Purchase).where(Purchase.renewal_id.is_not(None))).one()
        assert made.posting_key == f"renew:{office.renewal().id}:{MONTH_ENDS.isoformat()}"
        assert ledger.find(made.posting_key) is not None
    found = office.renewal()
    assert (found.state, found.said) == ("on", None)
    assert found.check_at == second[1] - DAY
    assert other.wallet(other.line_id)[0] == 300_000, "whatever is due of B's is B's to do"


def test_the_other_isps_renewal_is_its_own(office: Office, other: Office) -> None:
    _renewing(office)
    other.works(MONTH_ENDS - DAY)
    office.jobs(MONTH_ENDS - DAY)
    assert len(other.rights(other.line_id)) == 2
    assert len(office.rights(office.line_id)) == 1
    assert office.wallet(office.line_id) == (0, 0)


def test_not_enough_posts_nothing_and_money_that_comes_renews(office: Office) -> None:
    _renewing(office, 149_999)
    office.works(MONTH_ENDS - DAY)
    assert (office.renewal().state, office.renewal().said) == ("on", "short")
    assert office.wallet(office.line_id) == (149_999, 0), "no partial"
    with office.at():
        assert db.session.scalars(select(Purchase).where(Purchase.renewal_id.is_not(None))).all() == []
    later = MONTH_ENDS - timedelta(hours=2)
    with office.at(later):
        office.pays_in(office.line_id, 1)
        checkout.money_arrived(office.line_id)
    office.jobs(later)
    assert office.rights(office.line_id)[1][0] == MONTH_ENDS, "without a gap"
    assert office.wallet(office.line_id) == (0, 0)
    assert office.renewal().said is None


def test_money_that_comes_days_after_the_end_renews_from_then(office: Office) -> None:
    _renewing(office)
    office.works(MONTH_ENDS - DAY)
    late = MONTH_ENDS + 2 * DAY
    office.works(late)
    assert office.renewal().said == "short"
    with office.at(late):
        office.pays_in(office.line_id, 150_000)
        checkout.money_arrived(office.line_id)
    office.jobs(late)
    assert office.rights(office.line_id)[1] == (late, late.replace(year=2027, month=1, day=26, hour=9))


def test_after_three_days_it_gives_up(office: Office) -> None:
    _renewing(office)
    office.works(MONTH_ENDS - DAY)
    office.works(MONTH_ENDS + 3 * DAY - timedelta(minutes=1))
    assert office.renewal().state == "on"
    office.works(MONTH_ENDS + 3 * DAY)
    assert (office.renewal().state, office.renewal().said) == ("off", "gave_up")
    with office.at(MONTH_ENDS + 3 * DAY):
        office.pays_in(office.line_id, 150_000)
        checkout.money_arrived(office.line_id)
    office.works(MONTH_ENDS + 4 * DAY)
    assert office.wallet(office.line_id) == (150_000, 0)


def test_switched_off_it_renews_nothing(office: Office) -> None:
    _renewing(office, 150_000)
    with office.at():
        renewals.switch_off(office.renewal().id)
    office.works(MONTH_ENDS)
    assert office.wallet(office.line_id) == (150_000, 0)
    assert (office.renewal().state, office.renewal().said) == ("off", "switched_off")


@pytest.mark.parametrize("change", [{"on_sale": False}, {"sold_on_pppoe": False}])
def test_what_is_not_sold_any_more_is_not_renewed(office: Office, change: dict[str, bool]) -> None:
    _renewing(office, 150_000)
    office.package(office.month_id, **change)
    office.works(MONTH_ENDS - DAY)
    assert (office.renewal().state, office.renewal().said) == ("off", "withdrawn")
    assert office.wallet(office.line_id) == (150_000, 0)


def test_a_higher_price_waits_until_somebody_agrees_and_a_lower_one_is_paid(office: Office) -> None:
    _renewing(office, 400_000)
    office.package(office.month_id, price_cents=160_000)
    office.works(MONTH_ENDS - DAY)
    assert (office.renewal().state, office.renewal().said) == ("on", "price")
    assert office.wallet(office.line_id) == (400_000, 0)
    agreed = MONTH_ENDS - timedelta(hours=3)
    with office.at(agreed):
        renewals.switch_on(office.line_id, office.month_id, by="Asha")
    office.jobs(agreed)
    assert office.wallet(office.line_id) == (240_000, 0)
    office.package(office.month_id, price_cents=100_000)
    office.works(MONTH_ENDS.replace(year=2027, month=1) - DAY)
    assert office.wallet(office.line_id) == (140_000, 0)


def test_who_pays_by_hand_is_not_charged_twice(office: Office) -> None:
    _renewing(office, 300_000)
    with office.at(MONTH_ENDS - 2 * DAY):
        office.buys(office.line_id, office.month_id)
    office.works(MONTH_ENDS - DAY)
    assert len(office.rights(office.line_id)) == 2
    assert office.wallet(office.line_id) == (150_000, 0)
    january = MONTH_ENDS.replace(year=2027, month=1)
    office.works(january - DAY)
    assert office.rights(office.line_id)[2][0] == january


def test_what_is_given_back_is_not_bought_again(office: Office) -> None:
    _renewing(office, 150_000)
    office.works(MONTH_ENDS - DAY)
    with office.at(MONTH_ENDS - timedelta(hours=5)):
        made = db.session.scalars(select(Purchase).where(Purchase.renewal_id.is_not(None))).one()
        assert checkout.give_back(made.id)
    assert (office.renewal().state, office.renewal().said) == ("off", "returned")
    office.works(MONTH_ENDS)
    assert office.wallet(office.line_id) == (150_000, 0)


def test_a_queue_that_moves_up_brings_its_renewal_forward(office: Office) -> None:
    """Of two periods the first is used up early, so the second begins and ends sooner than was foreseen."""
    office.package(office.month_id, data_cap_bytes=1_000)
    _renewing(office, 450_000)
    with office.at():
        office.buys(office.line_id, office.month_id)
    early = NOON + 3 * DAY
    with office.at(early):
        first = access.current([office.line_id], early, "pppoe")
        assert first is not None
        entitlements.use(first.id, 1, 1_000)
    office.works(early)
    second_ends = office.rights(office.line_id)[1][1]
    assert second_ends == early.replace(month=12)
    assert office.renewal().check_at == second_ends - DAY
    office.works(second_ends - DAY)
    assert office.rights(office.line_id)[2][0] == second_ends


def test_a_short_package_renews_in_its_last_quarter() -> None:
    assert renewals.due_at(NOON, NOON + timedelta(hours=1)) == NOON + timedelta(minutes=45)
    assert renewals.due_at(NOON, NOON + DAY) == NOON + timedelta(hours=18)
    assert renewals.due_at(NOON, NOON + 30 * DAY) == NOON + 29 * DAY


def test_a_phones_holder_spends_what_follows_their_purchase_and_no_more(office: Office) -> None:
    """Somebody else's money, and the customer's credit, lie in the same wallet."""
    with office.at():
        office.pays_in(office.phone_id, 105_000)
        bought = office.buys(office.phone_id, office.day_id, MAC)
        office.grants(office.phone_id, 50_000)
        renewals.switch_on_held(bought.nonce, [bought.nonce], 5_000)
        nonce, purchase_id = bought.nonce, bought.id
    due = NOON + timedelta(hours=18)
    office.works(due)
    assert office.renewal().said == "short"
    assert office.wallet(office.phone_id) == (100_000, 50_000)
    with office.at(due):
        # As if 50 shillings more had come in for this purchase.
        db.session.scalars(select(Purchase).where(Purchase.id == purchase_id)).one().wallet_cents = 5_000
        db.session.flush()
        checkout.try_renewals(office.phone_id)
    # A purchase that holds as much as it cost has nothing left over.
    office.jobs(due)
    assert office.renewal().said == "short"
    with office.at(due):
        db.session.scalars(select(Purchase).where(Purchase.id == purchase_id)).one().promo_cents = 5_000
        db.session.flush()
        checkout.try_renewals(office.phone_id)
    office.jobs(due)
    assert office.renewal().said is None
    assert office.wallet(office.phone_id) == (95_000, 50_000), "money that followed the purchase, no credit"
    first, second = office.rights(office.phone_id)
    assert first[1] == second[0]
    with office.at(due):
        assert checkout.holdings(None, [nonce]).balance is None, "it is spent"


def test_who_holds_no_name_switches_nothing(office: Office, other: Office) -> None:
    with office.at():
        office.pays_in(office.line_id, 300_000)
        bought = office.buys(office.line_id, office.month_id)
        later = office.buys(office.line_id, office.month_id)
        with pytest.raises(NotFound):
            renewals.switch_on_held(bought.nonce, [], 150_000)
        with pytest.raises(renewals.PriceChanged):
            renewals.switch_on_held(bought.nonce, [bought.nonce], 140_000)
        renewals.switch_on_held(bought.nonce, [bought.nonce], 150_000)
        with pytest.raises(renewals.AlreadyRenews):
            renewals.switch_on_held(later.nonce, [later.nonce], 150_000)
        with pytest.raises(NotFound):
            renewals.switch_off_held(later.nonce, [later.nonce])
        nonce = bought.nonce
    with other.at(), pytest.raises(NotFound):
        renewals.switch_off_held(nonce, [nonce])
    with office.at():
        renewals.switch_off_held(nonce, [nonce])
    assert office.renewal().state == "off"


def test_a_suspended_isp_renews_nothing(office: Office) -> None:
    _renewing(office, 150_000)
    with office.at():
        current_tenant().status = "suspended"
    office.works(MONTH_ENDS - DAY)
    assert office.wallet(office.line_id) == (150_000, 0)


def test_nothing_to_renew_is_said(office: Office) -> None:
    with office.at(), pytest.raises(renewals.NothingToRenew):
        renewals.switch_on(office.line_id, office.month_id, by="Asha")
