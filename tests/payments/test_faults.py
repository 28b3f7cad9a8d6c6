"""An M-Pesa account that needs mending: its ISP's people are told, once, and nobody else is."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from tenants import mpesa
from tests.browser_client import Browser
from tests.shop import PHONE, Shop
from tests.world import Someone
from wavu.accounts import Person
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope

MSISDN = "254712345678"
CONSOLE = "console.wavu.localhost"
WRONG_KEY = "The consumer key or secret is wrong: copy both again from your Daraja app."


def _set(shop: Shop, tenant_id: UUID, **secrets: str) -> None:
    with shop.app.app_context(), tenant_scope(tenant_id), transaction():
        account = mpesa.active_account()
        account.token_expires_at = None
        for name, value in secrets.items():
            setattr(account, name, value)


def _pay(shop: Shop, tenant_id: UUID, phone: str = PHONE) -> None:
    shop.buy(tenant_id, phone)
    shop.work("send_stk")


def _home(shop: Shop, someone: Someone) -> str:
    browser = Browser(shop.app)
    browser.sign_in(CONSOLE, someone)
    browser.get(CONSOLE)
    return browser.text


def _faults(shop: Shop) -> list[tuple[str, str | None, bool]]:
    return shop.rows("SELECT kind, fault, fault_since IS NULL FROM mpesa_account ORDER BY kind")


def test_a_wrong_key_is_told_once_and_gone_when_it_works(shop: Shop, sent: list[str]) -> None:
    isp = shop.world.a
    _set(shop, isp.id, consumer_key="not-the-key")
    _pay(shop, isp.id)
    assert shop.intents("code") == ["config"]
    assert _faults(shop) == [("paybill", WRONG_KEY, False), ("till", None, True)]
    home = _home(shop, isp.owner)
    assert f"M-Pesa payments fail at PayBill 600100 {WRONG_KEY} Since" in home
    for hidden in ("not-the-key", "secret-a", "passkey-a"):
        assert hidden not in home
    assert "M-Pesa" not in _home(shop, isp.cashier), "it is not theirs to mend"
    other = _home(shop, shop.world.b.owner)
    assert "payments fail" not in other
    assert "Till 5123456 Store 600200 · Rehearsal Nobody has paid to it yet" in other
    assert "Not tried yet" in other

    shop.work()
    (mail,) = sent
    assert "M-Pesa payments fail at PayBill 600100" in mail
    assert WRONG_KEY in mail
    assert f"http://{CONSOLE}:{shop.settings.public_port}/" in mail

    shop.later(121)
    _pay(shop, isp.id, "0712000001")
    _set(shop, isp.id, consumer_key="key-a", passkey="not-the-passkey")
    shop.later(121)
    _pay(shop, isp.id, "0712000002")
    assert "paste the one that Safaricom mailed" in _home(shop, isp.owner)
    shop.work()
    assert len(sent) == 1, "one mail a day"

    _set(shop, isp.id, passkey="passkey-a")
    shop.later(121)
    _pay(shop, isp.id)
    assert _faults(shop)[0] == ("paybill", None, True)
    assert "payments fail" not in _home(shop, isp.owner)


def test_each_owner_reads_it_in_their_language(shop: Shop, sent: list[str]) -> None:
    with shop.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        owner = db.session.scalars(select(Person).where(Person.id == shop.world.b.owner.id)).one()
        owner.locale = "sw"
    for isp in (shop.world.a, shop.world.b):
        _set(shop, isp.id, consumer_key="not-the-key")
        _pay(shop, isp.id, "0712000001")
    shop.work()
    english, swahili = sorted(sent, key=lambda text: text.startswith("Habari"))
    assert "Canary A Net cannot pay: M-Pesa payments fail at PayBill 600100." in english
    assert "Malipo ya M-Pesa".lower() in swahili.lower()
    assert "Canary B Net" in swahili
    assert "Till 5123456" in swahili


def test_a_fault_that_is_mended_before_its_mail_leaves_is_not_mailed(shop: Shop, sent: list[str]) -> None:
    _set(shop, shop.world.a.id, consumer_key="not-the-key")
    _pay(shop, shop.world.a.id)
    _set(shop, shop.world.a.id, consumer_key="key-a")
    shop.later(121)
    _pay(shop, shop.world.a.id)
    shop.work()
    assert sent == []


def test_a_full_account_is_not_mended_by_a_prompt_but_by_money(shop: Shop, sent: list[str]) -> None:
    shop.sim.script(MSISDN, "8", "pay", "pay")
    _pay(shop, shop.world.a.id)
    shop.sim.advance(30)
    assert shop.sim.wait_idle()
    shop.work()
    full = "Your M-Pesa account is full: move money to your bank."
    assert _faults(shop)[0] == ("paybill", full, False)
    assert len(sent) == 1
    shop.later(121)
    _pay(shop, shop.world.a.id)
    assert _faults(shop)[0] == ("paybill", full, False), "the phone rings, and no money has come"
    shop.sim.advance(30)
    assert shop.sim.wait_idle()
    shop.work()
    assert _faults(shop) == [("paybill", None, True), ("till", None, True)]
