"""A made-up day, written in one place: what Safaricom moved, what we credited and what was bought."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from tenants import ledger, mpesa, reconciliation
from tenants.catalog import Package
from tenants.ledger import Leg
from tenants.mpesa import MpesaAccount
from tenants.payments import ProviderReceipt
from tenants.subscribers import by_phone
from wavu import ids
from wavu.db import db
from wavu.phone import Phone
from wavu.tenancy import current_tenant

DAY = date(2026, 3, 10)
# Nairobi's midnight.
MIDNIGHT = datetime(2026, 3, 9, 21, 0, tzinfo=UTC)
HEADER = (
    "Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,Withdrawn,Balance,"
    "Balance Confirmed,Reason Type,Other Party Info,Linked Transaction ID,A/C No."
)


def receipt(n: int) -> str:
    return f"UC{n:08d}"


class Moved(NamedTuple):
    """A line of a statement; cents, above zero for what came in."""

    receipt: str
    cents: int
    minute: int = 600
    reason: str = "Pay Bill Online"
    linked: str = ""
    account: str = ""

    def line(self) -> str:
        at = f"{MIDNIGHT + timedelta(hours=3, minutes=self.minute):%Y-%m-%d %H:%M:%S}"
        amount = f"{abs(self.cents) // 100}.{abs(self.cents) % 100:02}"
        paid, withdrawn = (amount, "") if self.cents > 0 else ("", amount)
        party = "25471****678 - ASHA"
        return (
            f"{self.receipt},{at},{at},{self.reason} from {party},Completed,{paid},{withdrawn},,true,"
            f"{self.reason},{party},{self.linked},{self.account}"
        )


def statement(
    moved: Iterable[Moved], *, shortcode: str = "600100", first: date = DAY, days: int = 1, header: str = HEADER
) -> bytes:
    about = [
        "Organization Name:,CANARY NET",
        f"Short Code:,{shortcode}",
        f"Time Period:,{first} 00:00:00 - {first + timedelta(days=days - 1)} 23:59:59",
        "",
    ]
    return "\r\n".join([*about, header, *(one.line() for one in moved), ""]).encode()


def take(content: bytes, account: MpesaAccount | None = None, name: str = "s.csv") -> reconciliation.Imported:
    return reconciliation.import_statement((account or the_account()).id, name, io.BytesIO(content))


def the_account() -> MpesaAccount:
    return mpesa.list_accounts()[0]


def open_books(shortcode: str = "600100") -> None:
    """The current tenant has existed for long, with one PayBill and one package."""
    account = mpesa.add_account(
        environment="rehearsal", kind="paybill", business_short_code=shortcode, party_b=shortcode, consumer_key="k",
        consumer_secret="s", passkey="p",
    )  # fmt: skip
    account.created_at = MIDNIGHT - timedelta(days=3)
    current_tenant().created_at = MIDNIGHT
    db.session.execute(text("UPDATE tenant SET created_at = :at WHERE id = app.tenant_id()"), {"at": MIDNIGHT})
    package = Package(
        id=ids.new_id(), name="1 hour", price_cents=1000, validity="hours", validity_count=1, speed_down_bps=5_000_000,
        speed_up_bps=2_000_000,
    )  # fmt: skip
    db.session.add(package)
    db.session.flush()


def subscriber(n: int = 0) -> UUID:
    return by_phone(Phone.parse(f"07{12_345_678 + n}")).id


def credited(moved: Sequence[Moved], subscriber_id: UUID | None = None, *, source: str = "c2b") -> None:
    """What we have of these payments, posted when they were made."""
    owner, group = subscriber_id or subscriber(), the_account().shortcode_group
    for one in moved:
        at = MIDNIGHT + timedelta(minutes=one.minute)
        posted = ledger.post(
            "mpesa_in", f"receipt:rehearsal:{group}:{one.receipt}",
            [Leg(ledger.mpesa(group), -one.cents), Leg(ledger.wallet(owner), one.cents)], facts={},
        )  # fmt: skip
        assert posted is not None
        db.session.add(
            ProviderReceipt(
                id=ids.new_id(), environment="rehearsal", shortcode_group=group, receipt=one.receipt,
                amount_cents=one.cents, source=source, subscriber_id=owner, transaction_id=posted, paid_at=at,
                created_at=at,
            )
        )  # fmt: skip
    db.session.flush()


def bought(owner: UUID, *, minute: int = 601, posted: bool = True, served: bool = True) -> UUID:
    """A purchase of the package, with what of it is there."""
    package = db.session.execute(text("SELECT id FROM package LIMIT 1")).scalar_one()
    purchase_id, at = ids.new_id(), MIDNIGHT + timedelta(minutes=minute)
    values = {
        "id": purchase_id,
        "package": package,
        "owner": owner,
        "at": at,
        "nonce": ids.new_token(),
        "e": ids.new_id(),
    }
    db.session.execute(
        text("""INSERT INTO purchase (tenant_id, id, nonce, package_id, subscriber_id, price_cents, terms, state,
            bought_at, created_at) VALUES (app.tenant_id(), :id, :nonce, :package, :owner, 1000,
            '{"name": "1 hour"}', 'bought', :at, :at)"""),
        values,
    )
    if posted:
        legs = [Leg(ledger.wallet(owner), -1000), Leg(ledger.INCOME_ACCESS, 1000)]
        assert ledger.post("purchase", f"buy:{purchase_id}", legs)
    if served:
        db.session.execute(
            text("""INSERT INTO entitlement (tenant_id, id, purchase_id, subscriber_id, policy, starts_at, ends_at,
                created_at) VALUES (app.tenant_id(), :e, :id, :owner, '{}', :at, :at + interval '1 hour', :at)"""),
            values,
        )
    return purchase_id


def payout(receipt_code: str, cents: int, *, state: str = "paid", method: str = "b2c") -> None:
    """Money that left through us."""
    db.session.execute(
        text("""INSERT INTO payout (tenant_id, id, method, mpesa_account_id, source_code, receipt_id, phone,
                amount_cents, reason, state, needs_second, requested_by, requested_name, approved_by, approved_name,
                original_id, receipt)
            SELECT app.tenant_id(), gen_random_uuid(), :method, a.id, 'liab:suspense:unmatched', r.id, '+254712345678',
                :cents, 'test', :state, false, gen_random_uuid(), 'A', gen_random_uuid(), 'B',
                'W' || :receipt, :receipt
            FROM mpesa_account a, provider_receipt r ORDER BY r.id LIMIT 1"""),
        {"method": method, "cents": cents, "state": state, "receipt": receipt_code},
    )


def found(day: date = DAY) -> dict[tuple[str, str], int]:
    """The open differences of a day: what they cost, by kind and subject."""
    return {(each.kind, each.subject): each.amount_cents for each in reconciliation.match(day).open}
