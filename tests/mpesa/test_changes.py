"""Where money goes changes after a day or by two people; everybody is told, and what was before stays reachable."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.browser_client import Browser
from tests.mpesa.conftest import CONSOLE, RIGHT, Office, colleague, signed_in
from tests.shop import PHONE, Shop
from wavu import clock


def _active(shop: Shop) -> list[str]:
    query = "SELECT party_b FROM mpesa_account WHERE active AND tenant_id = %s"
    return [number for (number,) in shop.rows(query, shop.world.a.id)]


def _change(shop: Shop) -> str:
    ((change,),) = shop.rows("SELECT id FROM mpesa_change WHERE state = 'waiting'")
    return str(change)


def _a_day_later(shop: Shop) -> None:
    shop.admin.execute("UPDATE outbox SET run_at = now() WHERE job = 'apply_mpesa_change' AND state = 'ready'")
    with clock.fixed(clock.now() + timedelta(hours=24, minutes=1)):
        shop.work("apply_mpesa_change")


def test_a_stolen_session_cannot_send_money_away(office: Office, sent: list[str]) -> None:
    """P5: the whole of what a hijacked owner can do is to ask, and everybody hears of it."""
    shop = office.shop
    shop.admin.execute("UPDATE mpesa_account SET contact_email = 'books@old.test' WHERE party_b = '600100'")
    second = colleague(shop, "owner")
    path = office.tested()
    office.post(f"{path}/use")
    office.get()
    assert "All owners are being told." in office.text
    assert "Payments shall go to PayBill 600300" in office.text
    assert "somebody else must approve" in office.text
    assert _active(shop) == ["600100"]
    assert office.post(f"/money/mpesa/changes/{_change(shop)}/approve").status_code == 302
    office.get()
    assert "Somebody else must approve this" in office.text

    shop.work("tell_mpesa_change", "tell_owner", "tell_mpesa_contact")
    assert len(sent) == 3, "both owners, and the contact that was there before"
    for mail in sent:
        assert "Owner canary-a asked that payments to Canary A Net go to PayBill 600300" in mail

    # What others were told of is what takes effect: it cannot be typed over meanwhile, nor started beside.
    assert office.post(f"{path}/edit", **(RIGHT | {"number": "600301"})).status_code == 409
    assert office.post(f"{path}/discard").status_code == 409
    other = office.tested(number="600300", contact_email="")
    office.post(f"{other}/use")
    office.get(other)
    assert "Another change is waiting already" in office.text
    shop.work("apply_mpesa_change")
    assert _active(shop) == ["600100"], "not before its time"

    # The job comes early, as after a mistake of a clock: it waits for its hour.
    shop.admin.execute("UPDATE outbox SET run_at = now() WHERE job = 'apply_mpesa_change'")
    shop.work("apply_mpesa_change")
    assert _active(shop) == ["600100"]

    watchful = Browser(shop.app)
    watchful.sign_in(CONSOLE, second)
    watchful.get(CONSOLE, "/money/mpesa")
    assert watchful.post(CONSOLE, f"/money/mpesa/changes/{_change(shop)}/cancel").status_code == 302
    _a_day_later(shop)
    assert _active(shop) == ["600100"]
    sent.clear()
    shop.work("tell_mpesa_change", "tell_owner", "tell_mpesa_contact")
    assert len(sent) == 3
    assert "is cancelled. Nothing has changed." in sent[0]
    watchful.get(CONSOLE, "/activity")
    assert "Change of where M-Pesa payments go cancelled" in watchful.text


def test_a_second_person_lets_it_take_effect_at_once(office: Office, sent: list[str]) -> None:
    shop = office.shop
    nonce = shop.buy(shop.world.a.id, PHONE)
    shop.work("send_stk")
    path = office.tested()
    office.post(f"{path}/use")
    manager = signed_in(shop, colleague(shop, "manager"))
    manager.get(CONSOLE, "/money/mpesa")
    assert "Approve" in manager.text
    assert manager.post(CONSOLE, f"/money/mpesa/changes/{_change(shop)}/cancel").status_code == 403
    manager.get(CONSOLE, "/money/mpesa")
    assert manager.post(CONSOLE, f"/money/mpesa/changes/{_change(shop)}/approve").status_code == 302
    assert _active(shop) == ["600300"]

    # What was asked of the old account before still arrives, and is the purchase that it was for.
    (prompt,) = shop.sim.prompts()
    shop.sim.answer(prompt.checkout_request_id, "pin")
    assert shop.sim.wait_idle()
    shop.work("settle_callback", "settle_report")
    assert shop.progress(shop.world.a.id, nonce).state == "paid"
    shop.later(121)
    shop.buy(shop.world.a.id, "0712000009")
    shop.work("send_stk")
    assert shop.rows("SELECT shortcode_group FROM provider_receipt") == [("600100",)]
    assert [prompt.merchant.shortcode for prompt in shop.sim.prompts()] == ["600300"]
    _a_day_later(shop)
    assert _active(shop) == ["600300"], "it is over: once"
    shop.work("tell_mpesa_change", "tell_owner", "tell_mpesa_contact")
    assert any("now go to PayBill 600300" in mail for mail in sent)
    shop.check_books()


def test_a_day_later_it_takes_effect_by_itself(office: Office) -> None:
    path = office.tested()
    office.post(f"{path}/use")
    _a_day_later(office.shop)
    assert _active(office.shop) == ["600300"]


def test_an_asker_who_was_put_out_changes_nothing(office: Office) -> None:
    shop = office.shop
    path = office.tested()
    office.post(f"{path}/use")
    shop.admin.execute("UPDATE membership SET role = 'viewer' WHERE id = %s", (shop.world.a.owner.membership_id,))
    _a_day_later(shop)
    assert _active(shop) == ["600100"]
    assert shop.rows("SELECT state FROM mpesa_change") == [("cancelled",)]


def test_new_keys_go_into_the_account_that_m_pesa_knows(office: Office) -> None:
    """Its addresses were taken once: they stay, with the row."""
    shop = office.shop
    shop.admin.execute(
        "UPDATE mpesa_account SET urls_registered_at = now(), hook_fingerprint = 'f' WHERE party_b = '600100'"
    )
    ((account, before),) = shop.rows("SELECT id, passkey_sealed FROM mpesa_account WHERE party_b = '600100'")
    shop.sim.add_app("key-renewed", "secret-renewed", shortcode="600100", passkey="passkey-a")
    office.get(f"/money/mpesa/{account}/edit")
    assert "Nothing changes yet." in office.text
    renewed = {"number": "600100", "consumer_key": "key-renewed", "consumer_secret": "secret-renewed", "passkey": ""}
    answer = office.post(f"/money/mpesa/{account}/edit", **(RIGHT | renewed))
    shop.work("check_mpesa")
    path = answer.location
    office.get(path)
    office.post(f"{path}/confirm", phone="0712345678")
    shop.work("check_mpesa")
    office.get(path)
    assert "M-Pesa knows these numbers from before" in office.text
    office.post(f"{path}/use")
    _a_day_later(shop)
    ((now, after, hook),) = shop.rows(
        "SELECT id, passkey_sealed, hook_fingerprint FROM mpesa_account WHERE active AND party_b = '600100'"
    )
    assert (now, hook) == (account, "f")
    assert after != before, "sealed anew"
    shop.buy(shop.world.a.id, PHONE)
    shop.work("send_stk")
    assert shop.intents() == ["pending"], "with the new keys"


def test_the_database_keeps_a_change_what_it_was_asked_for(office: Office) -> None:
    path = office.tested()
    office.post(f"{path}/use")
    for column, value in (("effective_at", "now()"), ("account_id", "requested_by"), ("contact_email", "'x@y.test'")):
        with pytest.raises(psycopg.errors.RestrictViolation):
            office.shop.admin.execute(f"UPDATE mpesa_change SET {column} = {value}".encode())


def test_another_isps_owner_sees_and_decides_nothing(office: Office) -> None:
    shop = office.shop
    path = office.tested()
    office.post(f"{path}/use")
    change = _change(shop)
    enrolled_other = signed_in(shop, shop.world.b.owner)
    enrolled_other.get(CONSOLE, "/money/mpesa")
    assert "600300" not in enrolled_other.text
    for act in (f"/money/mpesa/changes/{change}/approve", f"/money/mpesa/changes/{change}/cancel", f"{path}/use"):
        assert enrolled_other.post(CONSOLE, act).status_code == 404
    assert enrolled_other.get(CONSOLE, path).status_code == 404
