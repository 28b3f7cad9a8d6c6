from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from rehearsal.daraja.simulator import Simulator
from tenants import ledger, mpesa, payouts
from tenants.payouts import Payout, Who
from tests.shop import Shop
from wavu import clock
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope

MSISDN, PHONE = "254712345678", "0712345678"
INITIATOR, PASSWORD = "wavuapi", "Secret#2026"
FUNDS = 100_000


class Desk(NamedTuple):
    """Tenant A of the shop, whose initiator the simulator knows. Asha and Brian may approve."""

    shop: Shop
    account_id: UUID
    asha: Who
    brian: Who

    @property
    def sim(self) -> Simulator:
        return self.shop.sim

    @property
    def tenant_id(self) -> UUID:
        return self.shop.world.a.id

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self.shop.app.app_context(), tenant_scope(self.tenant_id), transaction():
            yield

    def paid(self) -> UUID:
        """A customer buys the package for KES 10; the receipt's id."""
        before = {row for (row,) in self.shop.rows("SELECT id FROM provider_receipt")}
        self.shop.later(130)
        self.shop.buy(self.tenant_id, PHONE)
        self.shop.work("send_stk")
        self.sim.answer(MSISDN, "pin")
        assert self.sim.wait_idle()
        self.shop.work("settle_callback")
        (made,) = {row for (row,) in self.shop.rows("SELECT id FROM provider_receipt")} - before
        return UUID(str(made))

    def refund(self, receipt_id: UUID, by: Who | None = None, **changes: Any) -> UUID:
        given: dict[str, Any] = {
            "method": "b2c",
            "amount_cents": 1000,
            "reason": "no internet",
            "end_package": True,
        } | changes
        with self.inside():
            return payouts.request_refund(receipt_id, by=by or self.asha, **given).id

    def go(self, seconds: int = 1, *jobs: str) -> None:
        """Sends what is due, lets the simulator do it, and settles what it tells."""
        self.shop.work("send_payout", "ask_payout", "ask_balance", "ask_status", *jobs)
        self.sim.advance(seconds)
        assert self.sim.wait_idle()
        self.shop.work("settle_result")

    def payout(self, payout_id: UUID) -> Payout:
        with self.inside():
            found = payouts.find_payout(payout_id)
            db.session.expunge(found)
            return found

    def state(self, payout_id: UUID) -> str:
        return self.payout(payout_id).state

    def balance(self, code: str) -> int:
        with self.inside():
            return ledger.balance(code)

    def wallet(self) -> int:
        return sum(int(cents) for (cents,) in self.shop.rows(
            "SELECT balance_cents FROM ledger_account WHERE code LIKE 'liab:wallet:%%' AND tenant_id = %s",
            self.tenant_id,
        ))  # fmt: skip

    def later(self, seconds: int) -> None:
        for column in ("sent_at", "created_at", "approved_at"):
            self.shop.admin.execute(
                f"UPDATE payout SET {column} = {column} - make_interval(secs => %s)".encode(), (seconds,)
            )
        self.shop.later(seconds)

    def sound(self) -> None:
        """The book balances, and what is set aside is what is on its way."""
        with self.inside():
            assert ledger.audit() == []
            pending = ledger.balance(ledger.REFUND_PENDING)
        (under_way,) = self.shop.rows(
            "SELECT coalesce(sum(amount_cents), 0) FROM payout"
            " WHERE state IN ('approved', 'sending', 'accepted', 'unknown', 'review')"
        )
        assert pending == under_way[0]
        assert sum(-line.amount for line in self.sim.book() if line.kind == "b2c") * 100 == sum(
            int(cents) for (cents,) in self.shop.rows(
                "SELECT amount_cents FROM payout WHERE method = 'b2c' AND state = 'paid'"
            )
        )  # fmt: skip


def give_initiator(shop: Shop, sim: Simulator, *, password: str = PASSWORD) -> UUID:
    """In A: an initiator that the simulator knows, and money to pay out."""
    sim.add_app(
        "key-a", "secret-a", "600100", passkey="passkey-a", initiators=[{"name": INITIATOR, "password": PASSWORD}]
    )
    sim.merchant("600100", balance=FUNDS)
    with shop.app.app_context(), tenant_scope(shop.world.a.id), transaction():
        account = mpesa.active_account()
        certificate = mpesa.credential.read_certificate(sim.certificate().encode())
        mpesa.set_initiator(
            account.id, name=INITIATOR, password=password, certificate=certificate.pem,
            password_set_on=clock.local_date(clock.now(), "Africa/Nairobi"),
        )  # fmt: skip
        return account.id


@pytest.fixture
def desk(shop: Shop, sim: Simulator) -> Desk:
    account_id = give_initiator(shop, sim)
    people = [Who(isp.id, name) for isp, name in ((shop.world.a.owner, "Asha"), (shop.world.a.cashier, "Brian"))]
    shop.admin.execute("DELETE FROM outbox")
    return Desk(shop, account_id, *people)
