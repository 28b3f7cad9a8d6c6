"""What is typed wrongly, tampered with, sent twice or too late: a clear answer, and at most one purchase."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select

from tenants.catalog import Package
from tenants.mpesa import MpesaAccount
from tests.portal.counter import Counter
from tests.portal.customer import Customer, nonce_of
from wavu import clock
from wavu.db import db, transaction
from wavu.tenancy import tenant_scope
from wavu.web.security import flood, limiter

GOOD = ("0712345678", "0712 345 678", "+254 712 345 678", "254712345678", "712345678", "(0712) 345-678")
BAD = {
    "": "Enter the M-Pesa number that pays.",
    "   ": "Enter the M-Pesa number that pays.",
    "abc": "That is not a phone number.",
    "0712": "That is not a phone number.",
    "07123456789012": "That is not a phone number.",
    "0712345678'; DROP TABLE purchase; --": "That is not a phone number.",
    "<script>alert(1)</script>": "That is not a phone number.",
    "07123\0678": "That is not a phone number.",
    "+44 20 7946 0958": "M-Pesa needs a Kenyan mobile number",
    "+255 712 345 678": "M-Pesa needs a Kenyan mobile number",
    "+1 212 555 2368": "M-Pesa needs a Kenyan mobile number",
    "020 271 0000": "M-Pesa needs a Kenyan mobile number",
    "+254 20 2710000": "M-Pesa needs a Kenyan mobile number",
    "9" * 5000: "That is not a phone number.",
}


@pytest.mark.parametrize("phone", GOOD)
def test_a_kenyan_mobile_number_in_any_writing(customer: Customer, counter: Counter, phone: str) -> None:
    nonce = customer.buys(counter.world.a, phone=phone)
    assert [intent.phone for intent in counter.intents(counter.world.a)] == ["+254712345678"]
    customer.looks(counter.world.a, nonce)
    assert "0712 ••• 678" in customer.text


@pytest.mark.parametrize(("phone", "words"), BAD.items())
def test_another_number_is_told_below_the_field(customer: Customer, counter: Counter, phone: str, words: str) -> None:
    isp = counter.world.a
    customer.opens(isp)
    week = str(counter.packages[isp.id]["week"])
    customer.refused(isp, phone, package=week)
    error = customer.browser.page.find(id="phone-error")
    assert error is not None
    assert words in error.text
    assert customer.form()["phone"] == phone[:40].strip(), "what was typed is kept"
    assert customer.form()["package"] == week
    assert counter.purchases(isp) == []
    nonce_of(customer.pays(isp, "0712345678"))
    (purchase,) = counter.purchases(isp)
    assert (str(purchase.package_id), purchase.mac) == (week, "02ABCD000001")


def test_a_number_is_refused_in_swahili_too(customer: Customer, counter: Counter) -> None:
    customer.opens(counter.world.a, "sw")
    customer.refused(counter.world.a, "+44 20 7946 0958")
    assert "M-Pesa inahitaji nambari ya simu ya mkononi ya Kenya" in customer.text


def test_a_refused_form_can_be_reloaded_and_gone_back_to(customer: Customer, counter: Counter) -> None:
    """Its way back is an address, in which nobody can read the number, and which says nothing elsewhere or later."""
    isp, other = counter.world.a, counter.world.b
    customer.opens(isp, "en")
    answer = customer.pays(isp, "0712 345 67")
    address = answer.location or ""
    pairs = parse_qs(urlsplit(address).query)
    assert set(pairs) == {"mac", "lo", "dst", "said", "lang"}
    assert not re.search("712.?345|71234567", address)
    assert b"712" not in base64.urlsafe_b64decode(pairs["said"][0])
    for _ in range(2):
        page = customer.browser.get(isp.host, address)
        assert "That is not a phone number." in customer.text
        assert customer.form()["phone"] == "0712 345 67"
        assert "no-store" in page.headers["Cache-Control"]
    assert customer.opens(isp).status_code == 200
    assert customer.form()["phone"] == "", "it is this answer's only"
    said = urlencode({"said": pairs["said"][0]})
    for elsewhere in (f"/?{said[:-8]}", f"/?said=AAAA{said[9:]}"):
        customer.browser.get(isp.host, elsewhere)
        assert "not a phone number" not in customer.text
    customer.browser.get(other.host, f"/?{said}")
    assert "not a phone number" not in customer.text
    with clock.fixed(clock.now() + timedelta(minutes=6)):
        customer.browser.get(isp.host, address)
        assert "not a phone number" not in customer.text
    customer.browser.get(isp.host, address)
    nonce_of(customer.pays(isp))
    assert [purchase.mac for purchase in counter.purchases(isp)] == ["02ABCD000001"]


def test_invented_fields_change_nothing(customer: Customer, counter: Counter) -> None:
    a, b = counter.world.a, counter.world.b
    customer.opens(a)
    extra = {
        "price": "1", "price_cents": "100", "amount": "1", "tenant": str(b.id), "tenant_id": str(b.id),
        "nonce": "0" * 32, "mac": "02:00:00:00:00:99", "lo": "http://evil.test/login", "login_url": "http://evil.test/login",
        "router_id": str(b.router_id), "dst": "http://evil.test/", "original_url": "http://evil.test/", "host": b.host,
    }  # fmt: skip
    nonce = nonce_of(customer.pays(a, **extra))
    (purchase,) = counter.purchases(a)
    assert (purchase.nonce, purchase.price_cents, purchase.mac) == (nonce, 5_000, "02ABCD000001")
    assert nonce != "0" * 32
    assert "evil" not in f"{purchase.login_url} {purchase.original_url}"
    assert counter.purchases(b) == []


def test_a_foreign_package_is_as_good_as_none(customer: Customer, counter: Counter) -> None:
    a, b = counter.world.a, counter.world.b
    customer.opens(a)
    answers = []
    for package in (str(counter.packages[b.id]["hour"]), "01999999-0000-7000-8000-000000000000"):
        customer.refused(a, package=package)
        answers.append(customer.text)
    assert answers[0] == answers[1]
    assert "not sold any more" in answers[0]
    assert counter.purchases(a) == counter.purchases(b) == []


@pytest.mark.parametrize("package", ["", "1", "'; --", "\0", "../../etc/passwd", "0" * 9000])
def test_what_is_no_package(customer: Customer, counter: Counter, package: str) -> None:
    customer.opens(counter.world.a)
    customer.refused(counter.world.a, package=package)
    assert "Choose a package." in customer.text


def test_two_taps_are_one_purchase(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp)
    form = customer.form() | {"phone": "0712345678"}
    answers = [customer.browser.post(isp.host, "/buy", form) for _ in range(3)]
    answers.append(customer.browser.post(isp.host, "/buy", form | {"phone": "0799999999"}))
    assert len({nonce_of(answer) for answer in answers}) == 1
    assert len(counter.purchases(isp)) == 1
    assert [intent.phone for intent in counter.intents(isp)] == ["+254712345678"]


def test_reloading_where_a_form_went_asks_for_nothing(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    nonce = customer.buys(isp)
    assert customer.browser.get(isp.host, "/buy").location == "/"
    assert customer.browser.get(isp.host, f"/w/{nonce}/again").location == f"/w/{nonce}"
    assert len(counter.intents(isp)) == 1


@pytest.mark.parametrize("spoil", ["", "x", "cut", "append", "other host", "\0", "0" * 30_000])
def test_a_form_that_is_not_ours(customer: Customer, counter: Counter, spoil: str) -> None:
    a, b = counter.world.a, counter.world.b
    customer.opens(b if spoil == "other host" else a)
    good = customer.form()["state"]
    customer.opens(a)
    state = {"cut": good[:-2], "append": good + "A", "other host": good}.get(spoil, spoil)
    customer.refused(a, state=state)
    assert "We could not read that form." in customer.text
    assert counter.purchases(a) == counter.purchases(b) == []
    assert customer.form()["phone"] == "0712 345 678"


def test_every_character_of_the_ticket_counts(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp)
    form = customer.form() | {"phone": "0712345678"}
    state = form["state"]
    for place in range(0, len(state) - 1, 7):
        letter = "A" if state[place] != "A" else "B"
        changed = state[:place] + letter + state[place + 1 :]
        customer.follows(isp, customer.browser.post(isp.host, "/buy", form | {"state": changed}))
        assert "We could not read that form." in customer.text, place
    assert counter.purchases(isp) == []


def test_a_page_that_was_open_too_long_still_knows_the_router(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    with clock.fixed(clock.now() - timedelta(minutes=61)):
        customer.opens(isp)
    customer.refused(isp)
    assert "open for too long" in customer.text
    assert counter.purchases(isp) == []
    nonce_of(customer.pays(isp))
    (purchase,) = counter.purchases(isp)
    assert (purchase.router_id, purchase.mac) == (isp.router_id, "02ABCD000001")
    with clock.fixed(clock.now() - timedelta(minutes=59)):
        customer.opens(isp)
    nonce_of(customer.pays(isp, "0733 000 111"))


def test_another_site_cannot_press_the_button(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp)
    form = customer.form() | {"phone": "0712345678"}
    for site in ("cross-site", "same-site"):
        customer.follows(isp, customer.browser.post(isp.host, "/buy", form, headers={"Sec-Fetch-Site": site}))
    assert counter.purchases(isp) == []
    nonce = nonce_of(customer.browser.post(isp.host, "/buy", form, headers={"Sec-Fetch-Site": "same-origin"}))
    counter.answer(isp, nonce, "failed", "1032", ago=200)
    path = f"/w/{nonce}/again"
    assert customer.browser.post(isp.host, path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 404
    assert len(counter.intents(isp)) == 1


def test_a_changed_price_is_shown_before_it_is_asked_for(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    customer.opens(isp)
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        db.session.scalars(select(Package).where(Package.name == "1 day")).one().price_cents = 9_900
    customer.refused(isp)
    assert "prices changed" in customer.text
    assert "KES 99" in customer.text
    assert counter.purchases(isp) == []
    form = customer.form() | {"phone": "0712345678"}
    nonce = nonce_of(customer.browser.post(isp.host, "/buy", form))
    assert [purchase.price_cents for purchase in counter.purchases(isp)] == [9_900]
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        db.session.scalars(select(Package).where(Package.name == "1 hour")).one().on_sale = False
    assert nonce_of(customer.browser.post(isp.host, "/buy", form)) == nonce, "what is begun keeps its terms"


def test_one_phone_gets_one_prompt_at_a_time(customer: Customer, counter: Counter) -> None:
    """Paying again on the same device leads to the request; another device reads how long to wait."""
    isp, other = counter.world.a, counter.world.b
    nonce = customer.buys(isp)
    customer.opens(isp)
    assert nonce_of(customer.pays(isp)) == nonce
    for arrival in ({"mac": "02:AB:CD:00:00:02"}, {"mac": ""}, {"lo": ""}):
        customer.opens(isp, **arrival)
        customer.refused(isp)
        assert (
            "This phone was asked a moment ago. Finish that request if it is open, or wait 2 minutes." in customer.text
        )
        assert customer.form()["phone"] == "0712 345 678"
    assert len(counter.purchases(isp)) == len(counter.intents(isp)) == 1
    assert customer.buys(other) != nonce


@pytest.mark.parametrize(
    ("ago", "words"),
    [(3, "subiri dakika 2."), (59, "subiri dakika 2."), (60, "subiri dakika 1."), (90, "subiri sekunde 30.")],
)
def test_the_wait_is_told_in_words(customer: Customer, counter: Counter, ago: int, words: str) -> None:
    isp = counter.world.a
    with clock.fixed(clock.now()):
        nonce = customer.buys(isp)
        counter.answer(isp, nonce, "failed", "1032", ago=ago + 0.5)
        customer.opens(isp, "sw")
        customer.refused(isp)
        assert words in customer.text
        customer.browser.post(isp.host, f"/w/{nonce}/again?lang=sw")
        assert words in customer.text


def test_an_isp_without_mpesa_says_so(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    with counter.app.app_context(), tenant_scope(isp.id), transaction():
        db.session.scalars(select(MpesaAccount)).one().active = False
    customer.opens(isp)
    customer.refused(isp)
    assert "Paying by M-Pesa is not set up here yet." in customer.text
    assert counter.purchases(isp) == []


def test_a_flood_from_one_address_is_slowed_down(
    customer: Customer, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter, "enabled", True)
    isp = counter.world.a
    customer.opens(isp)
    form = customer.form() | {"phone": "abc"}
    address = {"environ_base": {"REMOTE_ADDR": "203.0.113.77"}}
    statuses = [customer.browser.post(isp.host, "/buy", form, **address).status_code for _ in range(61)]
    assert set(statuses[:60]) == {303}
    assert statuses[60] == 429 or 429 in statuses, "unless the minute turned over on the way"
    other = customer.browser.post(isp.host, "/buy", form, environ_base={"REMOTE_ADDR": "203.0.113.78"})
    assert other.status_code == 303


def test_a_flood_of_looks_is_slowed_down_before_it_costs_anything(
    customer: Customer, counter: Counter, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    a, b = counter.world.a, counter.world.b
    nonce = customer.buys(a)
    monkeypatch.setattr(flood, "limits", {3600: 5})
    waiting, one, other = f"/w/{nonce}/status.json", {"REMOTE_ADDR": "203.0.113.79"}, {"REMOTE_ADDR": "203.0.113.80"}
    assert [customer.browser.get(a.host, waiting, environ_base=one).status_code for _ in range(5)] == [200] * 5
    statements.clear()
    assert customer.browser.get(a.host, waiting, environ_base=one).status_code == 429
    assert [sql for sql in statements if sql.startswith("SELECT")] == []
    assert customer.browser.get(a.host, waiting, environ_base=other).status_code == 200
    assert customer.browser.get(b.host, environ_base=one).status_code == 200
