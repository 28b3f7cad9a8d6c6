"""How an account fares, in words and from what is stored; and silence, which nobody would report otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from tests.browser_client import Browser
from tests.shop import Shop
from wavu import clock, ids
from wavu.db import transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import settlement

CONSOLE, STAFF = "console.wavu.localhost", "staff.wavu.localhost"
NAIROBI = ZoneInfo("Africa/Nairobi")


def _attempts(
    shop: Shop, tenant_id: UUID, number: int, *, state: str, at: datetime, code: str | None = None, called: bool = True,
    took: float = 1.2,
) -> None:  # fmt: skip
    """Attempts as they would be stored, with their callbacks."""
    ((account, subscriber),) = shop.rows(
        "SELECT a.id, s.id FROM mpesa_account a JOIN subscriber s USING (tenant_id) WHERE a.tenant_id = %s LIMIT 1",
        tenant_id,
    )
    for _ in range(number):
        intent = ids.new_id()
        shop.admin.execute(
            "INSERT INTO payment_intent (tenant_id, id, mpesa_account_id, subscriber_id, purchase_id, phone,"
            " amount_cents, reference, description, token_fingerprint, token_sealed, state, code, submitted_at,"
            " answered_at, settled_at, created_at) VALUES (%s, %s, %s, %s, %s, '+254712345678', 1000, %s, 'x', %s, '',"
            " %s, %s, %s, %s, %s, %s)",
            (tenant_id, intent, account, subscriber, ids.new_id(), str(intent), str(intent), state, code, at,
             at + timedelta(seconds=took), at if state == "succeeded" else None, at),
        )  # fmt: skip
        if called:
            shop.admin.execute(
                "INSERT INTO inbound_event (tenant_id, id, kind, intent_id, body_digest, body) VALUES"
                " (%s, %s, 'stk', %s, %s, '')", (tenant_id, ids.new_id(), intent, intent.bytes),
            )  # fmt: skip


def _customer(shop: Shop, tenant_id: UUID) -> None:
    shop.admin.execute(
        "INSERT INTO subscriber (tenant_id, id, phone) VALUES (%s, %s, %s)", (tenant_id, ids.new_id(), "+254712345678")
    )


@pytest.fixture
def known(shop: Shop) -> Shop:
    for isp in (shop.world.a, shop.world.b):
        _customer(shop, isp.id)
    return shop


def _home(shop: Shop, host: str = CONSOLE) -> str:
    browser = Browser(shop.app)
    browser.sign_in(host, shop.world.a.owner)
    browser.get(host)
    return browser.text


def test_what_was_never_tried_does_not_work_yet(known: Shop) -> None:
    home = _home(known)
    assert "Nobody has paid to it yet, so nobody knows whether it works. Not tried yet" in home
    assert "Works" not in home


def test_a_good_hour_in_words(known: Shop) -> None:
    shop, now = known, datetime.now(UTC)
    a, b = shop.world.a.id, shop.world.b.id
    _attempts(shop, a, 95, state="succeeded", at=now - timedelta(minutes=10))
    _attempts(shop, a, 3, state="succeeded", at=now - timedelta(minutes=9), called=False)
    _attempts(shop, a, 2, state="unknown", at=now - timedelta(minutes=8), called=False)
    _attempts(shop, a, 12, state="failed", code="1032", at=now - timedelta(minutes=8))
    _attempts(shop, a, 5, state="pending", at=now - timedelta(seconds=20), called=False)
    _attempts(shop, a, 50, state="failed", code="9999", at=now - timedelta(minutes=61))
    _attempts(shop, b, 50, state="failed", code="9999", at=now - timedelta(minutes=5))
    home = _home(shop)
    assert "98 of 100 payments came through in the last hour; answer in 1.2 s." in home
    assert "12 more were declined by customers." in home
    assert "3 were not reported by M-Pesa: we asked for them." in home
    assert "Works" in home


@pytest.mark.parametrize(("paid", "lost", "says"), [(6, 4, "Troubled"), (1, 9, "Fails")])
def test_a_bad_hour_is_called_so(known: Shop, paid: int, lost: int, says: str) -> None:
    shop, at = known, datetime.now(UTC) - timedelta(minutes=5)
    _attempts(shop, shop.world.a.id, paid, state="succeeded", at=at)
    _attempts(shop, shop.world.a.id, lost, state="failed", code="9999", at=at)
    home = _home(shop)
    assert f"{paid} of 10 payments came through" in home
    assert says in home


def test_a_quiet_hour_is_not_praised(known: Shop) -> None:
    shop = known
    _attempts(shop, shop.world.a.id, 3, state="succeeded", at=datetime.now(UTC) - timedelta(hours=5))
    assert "No payment was decided in the last hour. Quiet" in _home(shop)


def _look(shop: Shop, now: datetime) -> None:
    with clock.fixed(now):
        with shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            settlement.look_for_silence({})
        shop.work("notice_silence")
        shop.work("tell_owners_mpesa_silent", "tell_owner")


def _noon() -> datetime:
    return datetime.now(NAIROBI).replace(hour=12, minute=30, second=0, microsecond=0).astimezone(UTC)


def _usual_days(shop: Shop, now: datetime, days: int = 4) -> None:
    for day in range(1, days + 1):
        _attempts(shop, shop.world.a.id, 2, state="succeeded", at=now - timedelta(days=day, minutes=7 * day))


def test_silence_is_told_once_and_ends_with_a_payment(known: Shop, sent: list[str]) -> None:
    shop, now, isp = known, _noon(), known.world.a
    _usual_days(shop, now)
    _attempts(shop, isp.id, 4, state="expired", at=now - timedelta(minutes=12), called=False)
    _look(shop, now)
    _look(shop, now + timedelta(minutes=5))
    (mail,) = sent
    assert "for half an hour no payment was reported" in mail
    assert "PayBill 600100" in mail
    assert "Customers are asked to pay, and no payment is reported." in _home(shop)
    staff = Browser(shop.app)
    staff.sign_in(STAFF, shop.world.admin, shop.world)
    staff.get(STAFF)
    assert "ISPs whose payments need care Canary A Net Since" in staff.text
    assert staff.text.count("Canary B Net") == 1, "only in the list of what happened"

    _attempts(shop, isp.id, 1, state="succeeded", at=now + timedelta(minutes=6), called=False)
    _look(shop, now + timedelta(minutes=10))
    assert shop.rows("SELECT silent_since IS NULL FROM mpesa_account WHERE kind = 'paybill'") == [(False,)]
    _attempts(shop, isp.id, 1, state="succeeded", at=now + timedelta(minutes=8))
    _look(shop, now + timedelta(minutes=15))
    assert shop.rows("SELECT silent_since IS NULL FROM mpesa_account WHERE kind = 'paybill'") == [(True,)]
    assert len(sent) == 1


@pytest.mark.parametrize(
    "why", ["a payment came", "customers said no", "few asked", "an unusual hour", "night", "by hand"]
)
def test_what_is_no_silence(known: Shop, sent: list[str], why: str) -> None:
    shop, now, isp = known, _noon(), known.world.a
    if why == "night":
        now = now.astimezone(NAIROBI).replace(hour=23).astimezone(UTC)
    _usual_days(shop, now, days=2 if why == "an unusual hour" else 4)
    at = now - timedelta(minutes=12)
    if why == "customers said no":
        _attempts(shop, isp.id, 4, state="failed", code="1032", at=at)
    else:
        _attempts(shop, isp.id, 2 if why == "few asked" else 4, state="expired", at=at, called=False)
    if why == "a payment came":
        _attempts(shop, isp.id, 1, state="succeeded", at=at)
    if why == "by hand":
        shop.admin.execute(
            "INSERT INTO inbound_event (tenant_id, id, kind, mpesa_account_id, body_digest, body, created_at)"
            " SELECT tenant_id, %s, 'c2b', id, 'x', '', %s FROM mpesa_account WHERE kind = 'paybill'",
            (ids.new_id(), at),
        )
    _look(shop, now)
    assert sent == []
    assert shop.rows("SELECT count(silent_since) FROM mpesa_account") == [(0,)]


def test_health_is_read_from_an_index(known: Shop) -> None:
    shop = known
    _attempts(shop, shop.world.a.id, 30, state="succeeded", at=datetime.now(UTC) - timedelta(days=3))
    shop.admin.execute("ANALYZE payment_intent")
    with shop.admin.transaction():
        shop.admin.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(line for (line,) in shop.rows(
            "EXPLAIN SELECT count(*) FROM payment_intent WHERE tenant_id = %s AND mpesa_account_id = %s"
            " AND submitted_at > now() - interval '1 hour'", shop.world.a.id, ids.new_id(),
        ))  # fmt: skip
    assert "ix_payment_intent_asked" in plan
