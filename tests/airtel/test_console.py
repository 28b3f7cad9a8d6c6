"""Setting Airtel Money up on the console: values tested, a change by a day or by two, switched on and off."""

from __future__ import annotations

import pytest

from rehearsal.airtel import AirtelSimulator
from tests.airtel.conftest import MSISDN, Counter
from tests.browser_client import Browser
from tests.mpesa.conftest import CONSOLE, colleague, signed_in
from tests.shop import Shop

RIGHT = {
    "environment": "rehearsal", "merchant_number": "700300", "client_id": "client-new", "client_secret": "secret-new",
    "hash_key": "", "contact_email": "books@accountant.test",
}  # fmt: skip
PATH = "/money/airtel"


@pytest.fixture
def owner(shop: Shop, airtel: AirtelSimulator) -> Browser:
    airtel.add_app("client-new", "secret-new", "700300", name="ISP A")
    return signed_in(shop, shop.world.a.owner)


def _start(shop: Shop, owner: Browser, **changed: str) -> str:
    owner.get(CONSOLE, f"{PATH}/new")
    answer = owner.post(CONSOLE, f"{PATH}/new", RIGHT | changed)
    assert answer.status_code == 302, answer.text
    shop.work("check_airtel")
    owner.get(CONSOLE, PATH)
    ((found,),) = shop.rows("SELECT id::text FROM airtel_account WHERE state = 'draft'")
    return str(found)


def _states(shop: Shop) -> list[str]:
    return [state for (state,) in shop.rows("SELECT state FROM airtel_account ORDER BY created_at")]


def test_from_the_keys_to_a_payment(shop: Shop, airtel: AirtelSimulator, owner: Browser) -> None:
    account = _start(shop, owner)
    assert owner.text.count("Right") == 2
    owner.post(CONSOLE, f"{PATH}/{account}/use")
    assert _states(shop) == ["waiting"]
    owner.get(CONSOLE, PATH)
    assert "somebody else must approve" in owner.text
    assert shop.rows("SELECT count(*) FROM outbox WHERE job = 'tell_airtel_change'") == [(1,)]
    assert owner.post(CONSOLE, f"{PATH}/{account}/approve").status_code == 302
    assert _states(shop) == ["waiting"], "not by who asked"
    manager = signed_in(shop, colleague(shop, "manager"))
    manager.get(CONSOLE, PATH)
    manager.post(CONSOLE, f"{PATH}/{account}/approve")
    assert _states(shop) == ["on"]
    counter = Counter(shop, airtel)
    airtel.set_callback("client-new", counter.callback_url(counter.a))
    airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    owner.get(CONSOLE, PATH)
    assert "1 of 1 payments came through" in owner.text
    assert "Not yet" not in owner.text, "Airtel has called back"
    owner.get(CONSOLE, "/money")
    assert "Airtel Money" in owner.text
    owner.get(CONSOLE, "/money/reports?by=sources")
    assert "Airtel Money" in owner.text


@pytest.mark.parametrize(
    ("changed", "knobs", "said"),
    [
        ({"client_secret": "wrong"}, {}, "does not know this client id and secret"),
        ({}, {"gateway.country": "not_allowed"}, "not approved for Kenya"),
        ({}, {"gateway.country": "no_wallet"}, "has no wallet yet"),
        ({}, {"gateway.fault": "html_503"}, "Airtel gave no answer"),
    ],
)
def test_the_page_tells_which_value_is_wrong(
    shop: Shop, airtel: AirtelSimulator, owner: Browser, changed: dict[str, str], knobs: dict[str, object], said: str
) -> None:
    airtel.set_knobs(knobs)
    account = _start(shop, owner, **changed)
    assert said in owner.text
    owner.post(CONSOLE, f"{PATH}/{account}/use")
    assert _states(shop) == ["draft"], "not before it is tested"


def test_secrets_are_never_shown_again(shop: Shop, owner: Browser) -> None:
    account = _start(shop, owner, hash_key="private-key-9")
    for path in (PATH, f"{PATH}/{account}/edit"):
        page = owner.get(CONSOLE, path)
        assert not any(secret in page.text for secret in ("client-new", "secret-new", "private-key-9"))
    owner.post(CONSOLE, f"{PATH}/{account}/edit", RIGHT | {"client_id": "", "client_secret": "", "hash_key": ""})
    shop.work("check_airtel")
    owner.get(CONSOLE, PATH)
    assert owner.text.count("Right") == 2, "an empty field keeps what was set"
    stored = str(shop.rows("SELECT * FROM airtel_account"))
    assert "secret-new" not in stored


def test_a_day_later_it_takes_effect_and_any_owner_can_cancel_before(shop: Shop, owner: Browser) -> None:
    account = _start(shop, owner)
    owner.post(CONSOLE, f"{PATH}/{account}/use")
    owner.post(CONSOLE, f"{PATH}/{account}/cancel")
    assert _states(shop) == ["draft"]
    owner.post(CONSOLE, f"{PATH}/{account}/use")
    shop.admin.execute("UPDATE outbox SET run_at = now() WHERE job = 'apply_airtel_change'")
    shop.work("apply_airtel_change")
    assert _states(shop) == ["waiting"], "neither at once, nor by what was cancelled"
    shop.admin.execute("ALTER TABLE airtel_account DISABLE TRIGGER guard")
    shop.admin.execute("UPDATE airtel_account SET effective_at = now()")
    shop.admin.execute("ALTER TABLE airtel_account ENABLE TRIGGER guard")
    shop.admin.execute("UPDATE outbox SET run_at = now() WHERE job = 'apply_airtel_change'")
    shop.work("apply_airtel_change")
    assert _states(shop) == ["on"]


def test_other_keys_of_the_same_merchant_keep_its_callback_address(counter: Counter) -> None:
    shop, before = counter.shop, counter.callback_url(counter.a)
    counter.airtel.add_app("client-two", "secret-two", "70010a", name="ISP A")
    owner = signed_in(shop, shop.world.a.owner)
    ((account,),) = shop.rows("SELECT id::text FROM airtel_account WHERE tenant_id = %s", counter.a)
    owner.get(CONSOLE, f"{PATH}/{account}/edit")
    owner.post(
        CONSOLE, f"{PATH}/{account}/edit",
        RIGHT | {"merchant_number": "70010a", "client_id": "client-two", "client_secret": "secret-two"},
    )  # fmt: skip
    shop.work("check_airtel")
    ((draft,),) = shop.rows("SELECT id::text FROM airtel_account WHERE state = 'draft'")
    owner.get(CONSOLE, PATH)
    owner.post(CONSOLE, f"{PATH}/{draft}/use")
    manager = signed_in(shop, colleague(shop, "manager"))
    manager.get(CONSOLE, PATH)
    manager.post(CONSOLE, f"{PATH}/{draft}/approve")
    assert counter.callback_url(counter.a) == before
    counter.airtel.set_callback("client-two", before)
    counter.airtel.script(MSISDN, "pay")
    nonce = counter.asks()
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    assert counter.airtel.total("client-two") == 10


def test_switched_off_it_is_not_offered_and_what_is_late_still_settles(counter: Counter) -> None:
    shop = counter.shop
    nonce = counter.asks()
    owner = signed_in(shop, shop.world.a.owner)
    ((account,),) = shop.rows("SELECT id::text FROM airtel_account WHERE tenant_id = %s", counter.a)
    owner.get(CONSOLE, PATH)
    owner.post(CONSOLE, f"{PATH}/{account}/switch", {"on": "no"})
    counter.airtel.answer(counter.name(), "pay")
    counter.settles()
    assert counter.state(nonce)[0] == "paid"
    from tenants.payments import gateways

    gateways.forget()
    counter.asks(phone="0733888888")
    assert shop.rows("SELECT provider FROM payment_intent ORDER BY id")[-1] == ("mpesa",)
    owner.get(CONSOLE, PATH)
    owner.post(CONSOLE, f"{PATH}/{account}/switch", {"on": "yes"})
    assert _states(shop).count("on") == 2, "B's was never off"
    counter.check_books()


def test_without_a_second_factor_nothing_is_changed(shop: Shop, airtel: AirtelSimulator) -> None:
    browser = Browser(shop.app)
    browser.sign_in(CONSOLE, shop.world.a.owner)
    browser.get(CONSOLE, PATH)
    assert browser.get(CONSOLE, f"{PATH}/new").status_code == 302
    browser.post(CONSOLE, f"{PATH}/new", RIGHT)
    assert _states(shop) == []


def test_the_database_lets_no_draft_take_payments(shop: Shop, owner: Browser) -> None:
    _start(shop, owner)
    with pytest.raises(Exception, match="takes payments after a change"):
        shop.admin.execute("UPDATE airtel_account SET state = 'on'")
