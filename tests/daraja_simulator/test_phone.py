"""The virtual phone as a person meets it: plain pages, forms and redirects."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from bs4 import BeautifulSoup, Tag

from rehearsal.daraja import Simulator
from tests.daraja_simulator.shop import ASHA, Answer, Receiver, Shop, ask

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def page(sim: Simulator, path: str) -> BeautifulSoup:
    answer = ask(sim.base_url, "GET", path)
    assert answer.status == 200, answer.text
    return BeautifulSoup(answer.text, "html.parser")


def press(sim: Simulator, action: str, pin: str = "") -> Answer:
    """Press a button of the form that the page shows."""
    form = page(sim, f"/phone/{ASHA}").select_one("form.prompt")
    assert form is not None
    hidden = form.select_one("input[type=hidden]")
    assert hidden is not None
    fields = {str(hidden["name"]): str(hidden["value"]), "pin": pin, "action": action}
    assert form.select(f"button[value={action}]")
    return ask(sim.base_url, "POST", str(form["action"]), urlencode(fields).encode(), FORM)


def text(soup: BeautifulSoup | Tag) -> str:
    return " ".join(soup.get_text(" ").split())


def test_a_person_pays(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    assert "Nothing to answer" in text(page(sim, f"/phone/{ASHA}"))
    paybill.checkout()
    (listed,) = page(sim, "/phone/").select("li")
    assert "0712345678 ASHA asked to pay" in text(listed)
    asked = page(sim, f"/phone/{ASHA}")
    assert "SIMULATOR" in text(asked)
    assert "Do you want to pay Ksh50.00 to PENDO WIFI Account no. P7K3M9Q2XA?" in text(asked)
    answer = press(sim, "pin", "1234")
    assert (answer.status, answer.headers["Location"]) == (303, f"/phone/{ASHA}")
    assert sim.wait_idle()
    receipt = sim.book()[0].receipt
    after = page(sim, f"/phone/{ASHA}")
    now = sim.clock.eat()
    sms = after.select_one(".sms")
    assert sms is not None
    assert text(sms).startswith(
        f"{receipt} Confirmed. Ksh50.00 sent to PENDO WIFI for account P7K3M9Q2XA on {now.day}/{now.month}/{now:%y} at "
    )
    assert "New M-PESA balance is Ksh9,950.00. Transaction cost, Ksh0.00." in text(sms)
    assert "KES 9,950" in text(after)
    assert receiver.codes == [0]


@pytest.mark.parametrize(
    ("action", "pin", "code", "shown"),
    [
        ("cancel", "", 1032, "You cancelled this request. Result 1032."),
        ("pin", "0000", 2001, "Wrong PIN. Nothing was paid. Result 2001."),
        ("ignore", "", 1037, "DS timeout user cannot be reached. Result 1037."),
    ],
)
def test_a_person_does_not_pay(
    sim: Simulator, paybill: Shop, receiver: Receiver, action: str, pin: str, code: int, shown: str
) -> None:
    paybill.checkout()
    assert press(sim, action, pin).status == 303
    assert page(sim, f"/phone/{ASHA}").select("form.prompt") == []
    sim.advance(60)
    assert shown in text(page(sim, f"/phone/{ASHA}"))
    assert receiver.codes == [code]
    assert sim.book() == []


def test_three_digits_are_no_pin(sim: Simulator, paybill: Shop) -> None:
    paybill.checkout()
    answer = press(sim, "pin", "123")
    assert answer.status == 409
    assert "A PIN has four digits." in answer.text
    assert len(sim.prompts(ASHA)) == 1


def test_the_page_works_without_scripts_or_other_hosts(sim: Simulator, paybill: Shop) -> None:
    idle = ask(sim.base_url, "GET", f"/phone/{ASHA}")
    assert '<meta http-equiv="refresh" content="3">' in idle.text
    paybill.checkout()
    asked = ask(sim.base_url, "GET", f"/phone/{ASHA}")
    # Refreshing while someone types would wipe the PIN: only once the prompt has gone.
    assert '<meta http-equiv="refresh" content="61">' in asked.text
    for markup in (idle.text, asked.text, ask(sim.base_url, "GET", "/phone/").text):
        assert "<script" not in markup
        assert "http://" not in markup
        assert "https://" not in markup
    assert "default-src 'none'" in asked.headers["Content-Security-Policy"]


def test_shown_text_is_escaped(sim: Simulator, receiver: Receiver) -> None:
    sim.add_app("k", "s", "555000", passkey="p", name="<script>alert(1)</script>")
    shop = Shop(sim, receiver.url, "555000", "p", "k", "s")
    shop.push(AccountReference="<b>x</b>\"'")
    sim.subscriber(ASHA, name="<i>ASHA</i>")
    for path in (f"/phone/{ASHA}", "/phone/", "/phone/?number=%3Cu%3E"):
        markup = ask(sim.base_url, "GET", path).text
        for raw in ("<script>", "<b>x", "<i>", "<u>"):
            assert raw not in markup
    press(sim, "pin", "1234")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in ask(sim.base_url, "GET", f"/phone/{ASHA}").text


@pytest.mark.parametrize("typed", ["0712345678", "+254 712 345 678", "712-345-678", "254712345678"])
def test_numbers_are_found_however_typed(sim: Simulator, typed: str) -> None:
    answer = ask(sim.base_url, "GET", f"/phone/?{urlencode({'number': typed})}")
    assert (answer.status, answer.headers["Location"]) == (303, f"/phone/{ASHA}")


def test_what_is_no_phone(sim: Simulator, paybill: Shop) -> None:
    assert "not a Kenyan mobile number" in ask(sim.base_url, "GET", "/phone/?number=020123").text
    assert ask(sim.base_url, "GET", "/phone/banana").status == 404
    stranger = urlencode({"prompt": paybill.checkout(), "action": "pin", "pin": "1234"}).encode()
    assert ask(sim.base_url, "POST", "/phone/254799999999/answer", stranger, FORM).status == 404
    assert ask(sim.base_url, "POST", f"/phone/{ASHA}/answer", b"prompt=ws_CO_1&action=cancel", FORM).status == 404


def test_a_phone_that_is_off_gets_no_prompt(sim: Simulator, paybill: Shop, receiver: Receiver) -> None:
    assert ask(sim.base_url, "POST", f"/phone/{ASHA}/power", b"on=no", FORM).status == 303
    paybill.checkout()
    assert "This phone is off" in text(page(sim, f"/phone/{ASHA}"))
    sim.advance(60)
    assert receiver.codes == [1037]
    ask(sim.base_url, "POST", f"/phone/{ASHA}/power", b"on=yes", FORM)
    assert sim.subscriber(ASHA).reachable


def test_a_person_pays_from_the_menu(sim: Simulator, paybill: Shop, till: Shop) -> None:
    link = page(sim, f"/phone/{ASHA}").select_one("a.button")
    assert link is not None
    menu = page(sim, str(link["href"]))
    form = menu.select_one("form.prompt")
    assert form is not None
    assert [option["value"] for option in form.select("option")] == [paybill.shortcode, till.till]
    # The page must not be fetched anew under the fingers of someone who types.
    assert menu.select("meta[http-equiv=refresh]") == []
    fields = {"shortcode": paybill.shortcode, "account": "7001<", "amount": "50", "pin": "0000"}
    refused = ask(sim.base_url, "POST", str(form["action"]), urlencode(fields).encode(), FORM)
    assert refused.status == 409
    assert 'value="7001&lt;"' in refused.text
    assert "You have entered the wrong PIN." in refused.text
    paid = ask(sim.base_url, "POST", str(form["action"]), urlencode(fields | {"pin": "1234"}).encode(), FORM)
    assert (paid.status, paid.headers["Location"]) == (303, f"/phone/{ASHA}")
    (line,) = sim.book(paybill.shortcode)
    assert (line.amount, line.reference) == (50, "7001<")
    assert "sent to PENDO WIFI for account 7001<" in text(page(sim, f"/phone/{ASHA}"))
    for wrong in ({"amount": "1.5"}, {"amount": ""}, {"shortcode": ""}, {"account": ""}):
        body = urlencode(fields | {"pin": "1234"} | wrong).encode()
        assert ask(sim.base_url, "POST", str(form["action"]), body, FORM).status == 409
    assert len(sim.book()) == 1
