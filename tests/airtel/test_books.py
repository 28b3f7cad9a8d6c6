"""What Airtel Money brought, in the books: the day, the reports, the list of payments, and refunds."""

from __future__ import annotations

import pytest

from tenants import payments, payouts, reconciliation
from tenants.payments.models import ProviderReceipt
from tenants.payouts import Who
from tenants.payouts.refusals import PaidWithAirtel
from tests.airtel.conftest import MSISDN, Counter
from tests.browser_client import Browser
from tests.mpesa.conftest import CONSOLE
from wavu import clock
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope


@pytest.fixture
def paid(counter: Counter) -> Counter:
    """One payment for A, and one for B beside it."""
    for tenant_id, msisdn in ((counter.a, MSISDN), (counter.b, "733000111")):
        counter.airtel.script(msisdn, "pay")
        counter.asks(tenant_id, f"0{msisdn}")
    counter.settles()
    return counter


def test_the_day_has_it_by_its_account_and_misses_no_statement_of_safaricoms(paid: Counter) -> None:
    with paid.shop.app.app_context(), tenant_scope(paid.a), transaction():
        day = reconciliation.match(clock.local_date(clock.now(), "Africa/Nairobi"))
    (ours,) = day.totals["shortcodes"]
    assert (ours["shortcode_group"], ours["credited"]) == ("airtel 70010a", {"cents": 1000, "count": 1})
    assert ("asset:airtel:70010a", 1000) in {(line["code"], line["came"]) for line in day.totals["book"]}
    about = {(each.kind, each.shortcode_group, each.amount_cents) for each in day.differences}
    assert about == {("no_statement", "600100", 0)}, "M-Pesa's own, about no money"


def test_reports_and_the_list_show_the_method(paid: Counter) -> None:
    browser = Browser(paid.shop.app)
    browser.sign_in(CONSOLE, paid.shop.world.a.owner)
    receipt = paid.shop.rows("SELECT receipt FROM provider_receipt WHERE tenant_id = %s", paid.a)[0][0]
    other = paid.shop.rows("SELECT receipt FROM provider_receipt WHERE tenant_id = %s", paid.b)[0][0]
    for path in ("/money", f"/money?q={receipt}", "/money/reports?by=sources", "/money/reports?by=shortcodes"):
        browser.get(CONSOLE, path)
        assert "Airtel Money" in browser.text.replace("Airtel Money Payments", ""), path
        assert other not in browser.text
    browser.get(CONSOLE, "/money/reports?by=shortcodes")
    assert "Airtel Money 70010a" in browser.text


def test_it_counts_as_proven_and_m_pesa_cannot_send_it_back(paid: Counter) -> None:
    with paid.shop.app.app_context(), tenant_scope(paid.a), transaction():
        receipt = db.session.query(ProviderReceipt).one()
        assert payments.is_proven(receipt)
        owner = paid.shop.world.a.owner
        with pytest.raises(PaidWithAirtel):
            payouts.request_refund(
                receipt.id, method="reversal", amount_cents=1000, reason="x", by=Who(owner.id, "Owner"),
                end_package=True,
            )  # fmt: skip
        payouts.refund_to_wallet(receipt.id, reason="x", by=Who(owner.id, "Owner"))
    paid.check_books()
