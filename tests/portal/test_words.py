"""Each state and each of M-Pesa's codes has its words, in both languages, with a script and without."""

from __future__ import annotations

import re

import pytest

from tenants.payments import Standing
from tenants.portal import gateways
from tests.portal.counter import Counter
from tests.portal.customer import Customer
from tests.world import Isp

CHARGED, UNCHARGED = "Nothing was charged", "Hakuna pesa iliyokatwa"
FAILED = {
    "1": ("Not enough M-Pesa balance", "Salio la M-Pesa halitoshi"),
    "2": ("Below M-Pesa's smallest amount", "Chini ya kiwango cha M-Pesa"),
    "3": ("Above M-Pesa's largest amount", "Juu ya kiwango cha M-Pesa"),
    "4": ("Today's M-Pesa limit is reached", "Kikomo cha M-Pesa cha leo kimefikiwa"),
    "8": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "17": ("M-Pesa is busy", "M-Pesa ina shughuli nyingi"),
    "21": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "26": ("M-Pesa is busy", "M-Pesa ina shughuli nyingi"),
    "1001": ("Another M-Pesa request is open on this phone", "Kuna ombi lingine la M-Pesa kwenye simu hii"),
    "1019": ("The request expired", "Ombi limekwisha muda"),
    "1025": ("M-Pesa is busy", "M-Pesa ina shughuli nyingi"),
    "1032": ("You cancelled the request", "Umeghairi ombi"),
    "1036": ("No answer from the phone", "Simu haikujibu"),
    "1037": ("No answer from the phone", "Simu haikujibu"),
    "2001": ("Wrong PIN", "PIN si sahihi"),
    "2002": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "2006": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "2028": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "8006": ("Your M-Pesa PIN is locked", "PIN yako ya M-Pesa imefungwa"),
    "9999": ("M-Pesa is busy", "M-Pesa ina shughuli nyingi"),
    "SFC_IC0003": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "config": ("M-Pesa does not work here right now", "M-Pesa haifanyi kazi hapa kwa sasa"),
    "unreachable": ("We could not reach M-Pesa", "Hatukuweza kuifikia M-Pesa"),
}
NEVER_AGAIN = {"2", "3", "4", "8", "21", "2002", "2006", "2028", "SFC_IC0003", "config"}


def _both(customer: Customer, isp: Isp, nonce: str) -> list[str]:
    """The page's words in English and in Swahili; each is right without a script."""
    texts = []
    for language in ("en", "sw"):
        response = customer.looks(isp, nonce, language)
        assert response.status_code == 200
        (live,) = customer.browser.page.select("[data-poll]")
        failed = live["data-state"] in {"failed", "no_reply", "review", "short"}
        assert ("http-equiv" in response.text) is not failed, "what is typed on a page that failed stays there"
        assert not re.search(r"\+?254 ?7?12|0712 ?345|34567", response.text), "no full number, whoever looks"
        texts.append(customer.text)
    return texts


@pytest.mark.parametrize("code", FAILED)
def test_a_failed_payment_says_why(customer: Customer, counter: Counter, code: str) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, "failed", code, ago=200)
    for text, title, uncharged in zip(_both(customer, isp, nonce), FAILED[code], (CHARGED, UNCHARGED), strict=True):
        assert title in text
        assert uncharged in text
    assert len(customer.browser.page.select("form")) == (code not in NEVER_AGAIN)
    assert customer.browser.page.find("h1").text == FAILED[code][1]  # type: ignore[union-attr]


def test_an_unknown_code_does_not_claim_that_nothing_was_charged(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    for code in ("777", "SFC_IC9999", "<b>", ""):
        counter.answer(isp, nonce, "failed", code, ago=200)
        english, swahili = _both(customer, isp, nonce)
        assert "The payment was not completed" in english
        assert "Malipo hayajakamilika" in swahili
        assert CHARGED not in english
        assert UNCHARGED not in swahili


@pytest.mark.parametrize(
    ("state", "ago", "shown", "english", "swahili"),
    [
        ("created", 0, "requested", "Sending the request", "Tunatuma ombi"),
        ("submitting", 2, "requested", "Sending the request", "Tunatuma ombi"),
        ("pending", 10, "prompted", "Enter your M-Pesa PIN", "Weka PIN yako ya M-Pesa"),
        ("unknown", 10, "checking", "Do not pay again yet.", "Usilipe tena kwanza."),
        ("paid_no_receipt", 10, "checking", "Do not pay again yet.", "Usilipe tena kwanza."),
        ("pending", 80, "no_reply", "Then do not pay again", "Basi usilipe tena"),
        ("review", 10, "review", "Do not pay again yet.", "Usilipe tena kwanza."),
        ("expired", 90_000, "review", "Do not pay again yet.", "Usilipe tena kwanza."),
    ],
)
def test_a_state_has_its_words(
    customer: Customer, counter: Counter, state: str, ago: int, shown: str, english: str, swahili: str
) -> None:
    isp = counter.world.b
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, state, ago=ago)
    assert customer.state(isp, nonce) == shown
    texts = _both(customer, isp, nonce)
    assert english in texts[0]
    assert swahili in texts[1]
    buttons = [button.text for button in customer.browser.page.select("form button")]
    assert buttons == ([] if shown != "no_reply" else buttons)


def test_a_wait_is_counted_and_then_the_button_works(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, "failed", "1032", ago=30)
    customer.looks(isp, nonce)
    (button,) = customer.browser.page.select("form button")
    assert button.has_attr("disabled")
    assert 80 <= int(str(button["data-wait"])) <= 90
    refused = customer.browser.post(isp.host, f"/w/{nonce}/again")
    assert refused.status_code == 409
    assert "This phone was asked a moment ago" in customer.text
    counter.answer(isp, nonce, "failed", "1032", ago=130)
    customer.looks(isp, nonce)
    (button,) = customer.browser.page.select("form button")
    assert not button.has_attr("disabled")
    assert customer.browser.post(isp.host, f"/w/{nonce}/again").location == f"/w/{nonce}"
    assert [intent.state for intent in counter.intents(isp)] == ["failed", "created"]
    assert customer.state(isp, nonce) == "requested"


@pytest.mark.parametrize("code", ["down", "busy", "unreachable"])
def test_nobody_is_told_to_look_at_a_phone_that_was_sent_nothing(
    customer: Customer, counter: Counter, code: str
) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, "created", code, ago=4)
    assert customer.state(isp, nonce) == "held"
    english, swahili = _both(customer, isp, nonce)
    assert "M-Pesa is busy at this moment We are trying, you need not press again." in english
    assert "M-Pesa ina shughuli nyingi kwa sasa Tunajaribu, huhitaji kubonyeza tena." in swahili
    customer.looks(isp, nonce)
    for words in ("Look at your phone", "Time left", "The request goes to", "Nothing came up"):
        assert words not in customer.text
    assert "Or pay by hand" in customer.text
    assert "600100" in customer.text


def test_while_nothing_can_be_sent_another_gateway_is_offered(
    customer: Customer, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, "created", "down", ago=4)
    both = (Standing("mpesa", "PayBill 600100", True, "600100"), Standing("airtel", "Airtel Money", False, None))
    monkeypatch.setattr(gateways, "standings", lambda: both)
    customer.looks(isp, nonce)
    (form,) = customer.browser.page.select("details:not([open]) form")
    refused = customer.browser.post(isp.host, str(form["action"]), {"via": "airtel", "phone": "12"})
    assert refused.status_code == 422
    assert "That is not a phone number." in customer.text
    assert customer.browser.page.select("details[open] form")
    assert "http-equiv" not in refused.text, "the answer to a form stays"


def test_a_page_that_is_kept_still_has_all_unfolded(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    for language in ("en", "sw"):
        page = customer.looks(isp, nonce, language)
        (link,) = customer.browser.page.select("main noscript a")
        assert link["href"] == f"/w/{nonce}?still=1&lang={language}"
        page = customer.browser.get(isp.host, str(link["href"]))
        assert "http-equiv" not in page.text
        assert len(customer.browser.page.select("details[open]")) == len(customer.browser.page.select("details")) == 2
        assert customer.browser.page.select(f"main a[href='/w/{nonce}?lang={language}']")


def test_what_has_ended_is_not_called_online(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.paid(isp, nonce)
    for was in ("paid", "online"):
        if was == "online":
            counter.online(isp, nonce)
        assert customer.state(isp, nonce) == was
    counter.end(isp, nonce)
    assert customer.state(isp, nonce) == "ended"
    customer.looks(isp, nonce)
    assert "Your package has ended" in customer.text


def test_a_late_yes_wins_on_the_page_too(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    counter.answer(isp, nonce, "failed", "1037", ago=200)
    assert customer.state(isp, nonce) == "failed"
    counter.paid(isp, nonce)
    assert customer.state(isp, nonce) == "paid"
    assert customer.browser.post(isp.host, f"/w/{nonce}/again").location == f"/w/{nonce}", "nothing more is asked for"
    assert len(counter.intents(isp)) == 1
