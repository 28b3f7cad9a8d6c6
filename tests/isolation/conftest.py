from __future__ import annotations

from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from tenants import access, airtel, checkout, mpesa, payments, payouts, reconciliation, subscribers
from tenants.airtel.setup import Values
from tenants.catalog import Package
from tenants.checkout import PaymentClaim
from tenants.mpesa import MpesaAccount, MpesaBalance, MpesaChange
from tenants.mpesa.changes import Asker
from tenants.mpesa.setup import Numbers
from tenants.payments import ProviderReceipt
from tenants.payments.receipts import Report, credit
from tenants.payouts import Who
from tests.world import Isp, World
from wavu import clock
from wavu.db import TenantRow, db, transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope


def _money(isp: Isp, letter: str) -> None:
    """A payment that nobody is known to own, at a PayBill of the ISP's; and one that was taken at the desk."""
    secrets = {name: f"{name} of canary-{letter}" for name in ("consumer_key", "consumer_secret", "passkey")}
    with tenant_scope(isp.id), transaction():
        account: MpesaAccount = mpesa.add_account(
            environment="sandbox", kind="paybill", business_short_code="600300", party_b="600300", **secrets
        )
        said = Report(
            f"UKO7RT61{letter.upper()}V", 5_000, "c2b", f"CANARY-{letter.upper()}", "2547 ***** 126",
            f"Payer canary-{letter}", datetime(2026, 11, 24, 9, tzinfo=UTC), "600300",
        )  # fmt: skip
        credit(account, said)
        mpesa.set_initiator(
            account.id, name=f"initiator canary-{letter}", password_set_on=date(2026, 11, 1),
            ready=b64encode(f"credential canary-{letter}".encode().ljust(256)).decode(),
        )  # fmt: skip
        receipt = db.session.scalars(select(ProviderReceipt)).one()
        payouts.set_limit(1, by=f"Owner canary-{letter}")
        payouts.request_refund(
            receipt.id, method="reversal", amount_cents=5_000, reason=f"reason canary-{letter}",
            by=Who(isp.owner.id, f"Owner canary-{letter}"),
        )  # fmt: skip
        mpesa.begin(account.id, "balance")
        db.session.add(MpesaBalance(mpesa_account_id=account.id, as_of=clock.now(), accounts={"accounts": []}))
        reconciliation.open_case(date(2026, 11, 24), "unmatched", said.receipt, f"Who is canary-{letter}?")
        customer = subscribers.add_line(username=f"line-{letter}", password="x", name=f"Line canary-{letter}")
        _asked(account, receipt.id, customer.id, letter)
        payments.take(
            nonce=letter * 32, subscriber_id=customer.id, method="cash", amount_cents=700,
            reference=f"slip canary-{letter}", by_id=isp.cashier.id, by=f"Cashier canary-{letter}",
        )  # fmt: skip
        _wallet(isp, letter, customer.id)


def _wallet(isp: Isp, letter: str, customer_id: UUID) -> None:
    """A package that was sold at the desk for credit and money, and renews itself."""
    package = Package(
        name=f"Daily canary-{letter}", price_cents=1_000, validity="days", speed_down_bps=5_000_000,
        speed_up_bps=2_000_000, sold_on_hotspot=False, sold_on_pppoe=True,
    )  # fmt: skip
    db.session.add(package)
    db.session.flush()
    seller_id, seller = isp.owner.id, f"Owner canary-{letter}"
    checkout.promo.set_most(40_000)
    checkout.promo.grant(
        nonce=letter * 32, subscriber_id=customer_id, amount_cents=500, reason=f"sorry canary-{letter}",
        expires_at=clock.now() + timedelta(days=3), by_id=seller_id, by=seller,
    )  # fmt: skip
    checkout.sales.sell(
        nonce=letter * 32, subscriber_id=customer_id, package_id=package.id, due_cents=0, method=None, by_id=seller_id,
        by=seller,
    )  # fmt: skip
    checkout.renewals.switch_on(customer_id, package.id, by=seller)
    _prompt(isp, letter, customer_id)


def _prompt(isp: Isp, letter: str, customer_id: UUID) -> None:
    """A prompt that was answered with a no, by the phone of the customer, who is online."""
    right = db.session.scalars(select(access.Entitlement)).one()
    intent = payments.request_stk(
        purchase_id=right.purchase_id, subscriber_id=customer_id, phone=Phone("+254733000777"), amount_cents=1_000,
        description=f"canary-{letter}",
    )  # fmt: skip
    assert payments.receive_callback(str(intent.token), f"canary-{letter}".encode(), None)
    subscribers.bind_device(f"02CA00CA00{ord(letter):02X}", customer_id)
    now = clock.now()
    db.session.add(
        access.AccessSession(
            router_id=isp.router_id, subscriber_id=customer_id, entitlement_id=right.id,
            session_key=f"key canary-{letter}", acct_session_id=f"canary-{letter}", user_name=f"line-{letter}",
            mac=f"02CA00CA00{ord(letter):02X}", service="pppoe", started_at=now, updated_at=now, check_at=now,
        )
    )  # fmt: skip
    db.session.flush()


def _asked(account: MpesaAccount, receipt_id: UUID, customer_id: UUID, letter: str) -> None:
    """What customers and staff asked for: a payment looked for, a standing order, a QR code."""
    code = mpesa.code_to_pay(
        account, reference=f"QCANARY{letter.upper()}", amount_cents=5_000, title=f"canary-{letter}"
    )
    code.state, code.picture = "ready", f"picture of canary-{letter}".encode()
    nonce = letter * 32
    db.session.add(
        PaymentClaim(
            nonce=nonce, code=f"UKO7RT61{letter.upper()}W", phone="+254733000777", channel="pppoe",
            subscriber_id=customer_id, receipt_id=receipt_id, state="used",
        )
    )  # fmt: skip
    package = Package(
        name=f"Home canary-{letter}", price_cents=150_000, validity="months", speed_down_bps=5_000_000,
        speed_up_bps=5_000_000, sold_on_pppoe=True,
    )  # fmt: skip
    db.session.add(package)
    account.standing_orders = True
    db.session.flush()
    order = checkout.ask_standing_order(
        nonce=nonce, package_id=package.id, phone=Phone("+254733000777"), line_id=customer_id,
        starts_on=date(2026, 12, 1),
    )  # fmt: skip
    assert checkout.receive_standing_order(order.token or "", f"canary-{letter}".encode(), None)


def _set_up(isp: Isp, letter: str) -> None:
    """An account on its way, which waits to take the place of the other."""
    with tenant_scope(isp.id), transaction():
        draft = mpesa.setup.start_draft(
            Numbers("sandbox", "paybill", "600301", "600301"), contact_email=f"books@canary-{letter}.test",
            key=f"key canary-{letter}", secret=f"secret canary-{letter}", passkey=f"passkey canary-{letter}",
        )  # fmt: skip
        mpesa.setup.start_checks(draft, mpesa.setup.BEFORE)
        for check in mpesa.setup.checks_of(draft.id).values():
            check.state, check.facts = "ok", {"name": f"CANARY-{letter.upper()}"}
        db.session.flush()
        mpesa.changes.use(draft, Asker(isp.owner.id, f"Owner canary-{letter}"))


def _airtel(isp: Isp, letter: str) -> None:
    """An Airtel Money account that waits to take payments."""
    with tenant_scope(isp.id), transaction():
        draft = airtel.setup.start_draft(
            Values(
                "staging", f"70030{letter}", f"id canary-{letter}", f"secret canary-{letter}", f"hash canary-{letter}",
                f"airtel@canary-{letter}.test",
            )
        )  # fmt: skip
        draft.checks = {step: {"state": "ok", "code": None} for step in airtel.setup.STEPS}
        db.session.flush()
        airtel.changes.use(draft, by_id=isp.owner.id, by=f"Owner canary-{letter}")


@pytest.fixture
def world(world: World) -> World:
    """Two ISPs that have a row of everything that a page of theirs may name."""
    for isp, letter in ((world.a, "a"), (world.b, "b")):
        _money(isp, letter)
        _set_up(isp, letter)
        _airtel(isp, letter)
    return world


def row_of(isp: Isp, table: type[TenantRow]) -> UUID:
    """The id of an ISP's only row."""
    with tenant_scope(isp.id), transaction():
        return db.session.scalars(select(table.id)).one()


def account_of(isp: Isp) -> UUID:
    with tenant_scope(isp.id), transaction():
        return db.session.scalars(select(MpesaAccount.id).where(MpesaAccount.draft)).one()


def change_of(isp: Isp) -> UUID:
    return row_of(isp, MpesaChange)
