"""From the button to the closed day: what the simulator's own statement says is what our book says, to the shilling."""

from __future__ import annotations

import io
from datetime import date, datetime, timedelta

from rehearsal.daraja.simulator import Simulator
from tenants import ledger, mpesa, reconciliation
from tests.shop import Shop
from tests.world import Isp
from wavu import clock
from wavu.db import transaction
from wavu.tenancy import current_tenant, tenant_scope


def import_from(shop: Shop, isp: Isp, shortcode: str) -> reconciliation.Imported:
    """The simulator's statement of three days around this one, into an ISP's books."""
    now = shop.sim.clock.eat()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    content = shop.sim.statement(shortcode, midnight - timedelta(days=1), midnight + timedelta(days=2))
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        account = mpesa.list_accounts()[0]
        return reconciliation.import_statement(account.id, "statement.csv", io.BytesIO(content.encode()))


def looked_at(shop: Shop, isp: Isp, day: date) -> list[tuple[str, int]]:
    with shop.app.app_context(), tenant_scope(isp.id), transaction(), clock.fixed(_tomorrow()):
        return [(each.kind, each.amount_cents) for each in reconciliation.match(day).open]


def _tomorrow() -> datetime:
    return clock.now() + timedelta(days=1, hours=1)


def pay_and_settle(shop: Shop, isp: Isp, phone: str) -> None:
    shop.buy(isp.id, phone)
    shop.work()
    shop.sim.answer("254" + phone[1:], "pin")
    assert shop.sim.wait_idle()
    shop.work()


def test_a_day_closes_to_the_shilling_against_the_simulators_statement(shop: Shop) -> None:
    for n in range(3):
        pay_and_settle(shop, shop.world.a, f"0712{345_678 + n}")
    pay_and_settle(shop, shop.world.b, "0733000001")
    # One callback is lost, and nobody asks.
    shop.sim.set_knobs({"callback.drop": 1.0})
    pay_and_settle(shop, shop.world.a, "0722000001")
    today = clock.local_date(clock.now(), "Africa/Nairobi")
    assert import_from(shop, shop.world.a, "600100").statement.row_count == 4
    import_from(shop, shop.world.b, "600200")
    assert looked_at(shop, shop.world.a, today) == [("missing_with_us", 1_000)]
    assert looked_at(shop, shop.world.b, today) == []
    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction():
        assert reconciliation.credit(today) == 1
    assert looked_at(shop, shop.world.a, today) == []
    for isp, cents in ((shop.world.a, 4_000), (shop.world.b, 1_000)):
        with shop.app.app_context(), tenant_scope(isp.id), clock.fixed(_tomorrow()), transaction():
            closed = reconciliation.close_day(today)
            (shortcode,) = closed.totals["shortcodes"]
            assert shortcode["stated_payment"]["cents"] == shortcode["credited"]["cents"] == cents
            assert closed.totals["service"]["served_cents"] == cents
            assert -ledger.balance(ledger.mpesa(mpesa.list_accounts()[0].shortcode_group)) == cents
            assert reconciliation.first_broken_seal() is None
            assert current_tenant().id == isp.id
    shop.check_books()


def test_a_planted_shilling_and_a_reversal_made_outside(shop: Shop, sim: Simulator) -> None:
    for n in range(2):
        pay_and_settle(shop, shop.world.a, f"0712{345_678 + n}")
    first = shop.sim.book()[0]
    shop.sim.set_knobs({"statement.off_by": 1})
    import_from(shop, shop.world.a, "600100")
    today = clock.local_date(clock.now(), "Africa/Nairobi")
    assert looked_at(shop, shop.world.a, today) == [("amount_differs", 100)]
    shop.sim.set_knobs({"statement.off_by": 0})
    back = shop.sim.reverse(first.receipt)
    known = tuple(line.receipt for line in shop.sim.book()[:2])
    content = "\r\n".join(line for line in shop.sim.statement("600100").splitlines() if not line.startswith(known))
    with shop.app.app_context(), tenant_scope(shop.world.a.id), clock.fixed(_tomorrow()):
        with transaction():
            reconciliation.import_statement(mpesa.list_accounts()[0].id, "r.csv", io.BytesIO(content.encode()))
        with transaction():
            reconciliation.take_back(today, back.receipt, "Customer care")
    assert looked_at(shop, shop.world.a, today) == [("amount_differs", 100)]
    shop.check_books()
