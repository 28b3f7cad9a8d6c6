"""Setting an account up: every wrong value is named, nothing moves money, and secrets are never seen again."""

from __future__ import annotations

import pytest

from tests.mpesa.conftest import CONSOLE, RIGHT, Office, signed_in
from tests.shop import Shop


def test_from_letters_to_a_first_shilling(office: Office, sent: list[str]) -> None:
    shop = office.shop
    shop.admin.execute("UPDATE mpesa_account SET active = false")
    office.get()
    assert "There is no M-Pesa account yet" in office.text
    office.get("/")
    assert office.browser.page.select('[aria-labelledby="payments"] a[href="/money/mpesa"]'), "home leads on"
    path = office.start()
    assert "Consumer key and secret" in office.text
    assert "Safaricom says that this number belongs to" in office.text
    assert "Is this you?" in office.text
    for hidden in ("key-new", "secret-new", "passkey-new"):
        assert hidden not in office.browser.page.decode()
    assert not shop.sim.prompts(), "nothing was asked of anybody"

    assert office.post(f"{path}/confirm", phone="12").status_code == 422
    assert "That is not a Kenyan mobile number" in office.text
    assert office.post(f"{path}/confirm", phone="0712345678").status_code == 302
    office.get(path)
    assert "Being tested" in office.text
    assert office.browser.page.find("meta", {"http-equiv": "refresh"})
    shop.work("check_mpesa")
    office.get(path)
    assert "Try it with KES 1" in office.text
    assert not office.browser.page.find("meta", {"http-equiv": "refresh"})

    office.post(f"{path}/try", **{"trial-phone": "0712345678"})
    shop.work("send_stk")
    office.get(path)
    assert "Look at the phone, and approve with the M-Pesa PIN." in office.text
    (prompt,) = shop.sim.prompts()
    shop.sim.answer(prompt.checkout_request_id, "pin")
    assert shop.sim.wait_idle()
    shop.work("settle_callback", "settle_report")
    office.get(path)
    assert "KES 1 has arrived, receipt" in office.text
    shop.check_books()

    office.post(f"{path}/use")
    office.get()
    assert "PayBill 600300 now takes payments." in office.text
    assert "1 of 1 payments came through in the last hour; answer in" in office.text
    registered = "urls_registered_at IS NOT NULL, pull_registered_at IS NOT NULL"
    active = shop.rows(f"SELECT party_b, contact_email, {registered} FROM mpesa_account WHERE active")
    assert active == [("600300", RIGHT["contact_email"], True, True)]
    shop.work()
    assert sent == [], "a first account is nobody's loss"
    office.get("/activity")
    for line in ("Setting up of an M-Pesa account begun", "M-Pesa account confirmed as ours", "takes payments"):
        assert line in office.text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"consumer_secret": "typo"}, "Safaricom does not know this consumer key and secret."),
        ({"consumer_key": "typo"}, "Safaricom does not know this consumer key and secret."),
        ({"number": "600999"}, "Safaricom knows no such number of this kind."),
        ({"passkey": "typo"}, "The passkey does not belong to this number."),
        (
            {"kind": "till", "number": "5123456", "store": "5123456"},
            "For a Till the store number is asked for, not the till number",
        ),
    ],
)
def test_a_wrong_value_is_named(office: Office, wrong: dict[str, str], says: str) -> None:
    path = office.start(**wrong)
    assert says in office.text
    assert "Is this you?" not in office.text
    assert office.post(f"{path}/use").status_code == 302
    office.get(path)
    assert "Test this account first" in office.text
    assert office.shop.rows("SELECT party_b FROM mpesa_account WHERE active ORDER BY 1") == [("5123456",), ("600100",)]

    office.get(f"{path}/edit")
    fields = {str(field["name"]): field.get("value", "") for field in office.browser.page.find_all("input")}
    assert fields["number"] == wrong.get("number", RIGHT["number"])
    assert not fields["passkey"], "never shown again"
    assert office.post(f"{path}/edit", **RIGHT).status_code == 302
    office.shop.work("check_mpesa")
    office.get(path)
    assert "Is this you?" in office.text, "mended, and tested again"


def test_what_no_form_may_miss(office: Office) -> None:
    office.get("/money/mpesa/new")
    assert (
        office.post("/money/mpesa/new", **(RIGHT | {"kind": "till", "passkey": " ", "number": "12"})).status_code == 422
    )
    for sentence in ("A Till has a store number too", "This is a number of 5 to 7 digits", "Fill this in"):
        assert sentence in office.text
    assert office.post("/money/mpesa/new", **(RIGHT | {"environment": "mars"})).status_code == 422
    assert office.shop.rows("SELECT count(*) FROM mpesa_account") == [(2,)]


def test_a_look_up_that_the_app_lacks_is_no_fault(office: Office) -> None:
    products = ["M-PESA EXPRESS", "CUSTOMER TO BUSINESS"]
    office.shop.sim.add_app("key-poor", "secret-poor", shortcode="600400", passkey="p", products=products)
    office.tested(number="600400", consumer_key="key-poor", consumer_secret="secret-poor", passkey="p")
    assert "Your app may not look this up, which is no fault." in office.text
    assert "Your app may not ask. Have Safaricom add the product Pull Transactions" in office.text
    assert "Use this account" in office.text


def test_urls_that_another_system_holds(office: Office) -> None:
    office.shop.sim.set_knobs({"c2b.register_reply": "already_registered"})
    path = office.tested()
    assert "In the Daraja portal open Self Services, then URL Management" in office.text
    assert "Use this account" in office.text, "prompts and Pull work meanwhile"
    office.shop.sim.reset_knobs()
    office.post(f"{path}/confirm", phone="0712345678")
    office.shop.work("check_mpesa")
    office.get(path)
    assert "Self Services" not in office.text


@pytest.mark.parametrize(
    ("fault", "says"),
    [("html_403", "M-Pesa is not answering."), ("internal_error", "M-Pesa gave no answer. Test again.")],
)
def test_no_answer_is_no_wrong_value(office: Office, fault: str, says: str) -> None:
    office.shop.sim.set_knobs({"gateway.fault": fault})
    path = office.start()
    if fault == "html_403":
        office.post(f"{path}/check")
        office.shop.work("check_mpesa")
        office.get(path)
    assert says in office.text
    assert "Wrong" not in office.text


def test_only_an_owner_with_two_steps_and_a_fresh_password(shop: Shop, office: Office) -> None:
    from tests.browser_client import Browser
    from tests.mpesa.conftest import colleague

    plain = Browser(shop.app)
    plain.sign_in(CONSOLE, shop.world.b.owner)
    plain.get(CONSOLE, "/money/mpesa")
    assert "Turn on two-step sign-in first" in plain.text
    assert plain.get(CONSOLE, "/money/mpesa/new").location == "/money/mpesa"
    assert plain.post(CONSOLE, "/money/mpesa/new", dict(RIGHT)).location == "/money/mpesa"

    manager = signed_in(shop, colleague(shop, "manager"))
    assert manager.get(CONSOLE, "/money/mpesa").status_code == 200
    assert manager.get(CONSOLE, "/money/mpesa/new").status_code == 403

    path = office.tested()
    shop.admin.execute("UPDATE sign_in SET proven_at = proven_at - interval '20 minutes'")
    for act in ("/check", "/use", "/try", "/confirm", "/discard"):
        assert office.post(f"{path}{act}", **{"phone": "0712345678", "trial-phone": "0712345678"}).location.startswith(
            "/prove"
        ), act
    assert office.get("/money/mpesa/new").location.startswith("/prove")
    assert shop.rows("SELECT count(*) FROM mpesa_change") == [(0,)]
