"""I have paid, and am not online: by the portal's pages, against the simulator; and paying by hand what they say."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from tenants import checkout, mpesa, network, subscribers
from tests.browser_client import Browser
from tests.payments.test_by_hand import MSISDN, STRANGER, _balances, _due, _everything_arrived, _number, _register
from tests.shop import PHONE, Shop
from tests.world import Isp
from wavu.db import transaction
from wavu.phone import Phone
from wavu.tenancy import tenant_scope
from wavu.web.security import flood, limiter

STRANGERS_PHONE = "0722 000 111"
MAC = "02AABBCCDD01"


@pytest.fixture(autouse=True)
def _no_limits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set once the application is made: it looks for what is limited then."""
    monkeypatch.setattr(limiter, "enabled", False)
    monkeypatch.setattr(flood, "limits", {})


class Visitor:
    """Somebody with a phone at an ISP's portal."""

    def __init__(self, shop: Shop, isp: Isp) -> None:
        self.shop, self.isp, self.browser = shop, isp, Browser(shop.app)

    def get(self, path: str = "/") -> TestResponse:
        return self.browser.get(self.isp.host, path)

    def follow(self, answer: TestResponse) -> TestResponse:
        while answer.status_code in {302, 303}:
            answer = self.get(answer.location or "")
        return answer

    def send(self, **fields: str) -> TestResponse:
        (form,) = self.browser.page.select("form[data-pay]")
        hidden = {str(i["name"]): str(i["value"]) for i in form.select("input[type=hidden], input[checked]")}
        return self.browser.post(self.isp.host, str(form["action"]), hidden | fields)

    def claims(self, message: str, phone: str = PHONE, *, on: str = "/claim") -> TestResponse:
        """Opens the page, shows the message, and looks at what comes of it."""
        self.get(on)
        return self.follow(self.send(message=message, phone=phone))

    def link(self, words: str) -> str:
        (found,) = (a for a in self.browser.page.select("main a") if a.text.strip() == words)
        return str(found["href"])

    @property
    def facts(self) -> dict[str, str]:
        return {row.dt.text: row.dd.text for row in self.browser.page.select(".facts div")}  # type: ignore[union-attr]

    @property
    def text(self) -> str:
        return self.browser.text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def visitor(shop: Shop) -> Visitor:
    """At A, whose shortcode and B's are registered for C2B and Pull."""
    _register(shop)
    return Visitor(shop, shop.world.a)


def _initiator(shop: Shop, isp: Isp) -> None:
    """Gives an ISP an initiator that may ask for the status of a transaction."""
    number, key = ("600100", "key-a") if isp is shop.world.a else ("600200", "key-b")
    shop.sim.add_app(
        key, key.replace("key", "secret"), number, passkey=key.replace("key", "passkey"),
        till=None if isp is shop.world.a else "5123456",
        initiators=[{"name": "pendo", "password": "Siri#2026"}],
    )  # fmt: skip
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        mpesa.set_initiator(
            mpesa.active_account().id, name="pendo", password_set_on=date(2026, 11, 1), password="Siri#2026",
            certificate=shop.sim.certificate(),
        )  # fmt: skip


def _pays_by_hand(shop: Shop, account: str, amount: int = 10, payer: str = MSISDN, number: str = "600100") -> str:
    receipt: str = shop.sim.pay(payer, number, amount, account).receipt
    shop.sim.wait_idle()
    shop.work("settle_report")
    return receipt


def _ask(shop: Shop) -> None:
    """What was asked of M-Pesa is sent, answered and settled."""
    _due(shop)
    shop.work("ask_status", "pull_payments")
    shop.sim.advance(5)
    shop.work("settle_result", "settle_report", "settle_status")
    _due(shop)
    shop.work("look_for_claim")


def _states(shop: Shop) -> list[str]:
    return [state for (state,) in shop.rows("SELECT state FROM payment_claim ORDER BY id")]


# -- paying by hand what the page says


@pytest.mark.parametrize("state", ["pending", "failed 1032", "failed down"])
def test_the_page_says_what_to_type_and_that_buys_it(visitor: Visitor, state: str) -> None:
    shop, isp = visitor.shop, visitor.isp
    nonce = shop.buy(isp.id)
    code = state.partition(" ")[2] or None
    shop.admin.execute("UPDATE payment_intent SET state = %s, code = %s", (state.split()[0], code))
    for language, words in (("en", "Or pay by hand"), ("sw", "Au lipa mwenyewe")):
        visitor.get(f"/w/{nonce}?lang={language}")
        assert words in visitor.text
    visitor.get(f"/w/{nonce}?lang=en")
    assert visitor.facts["PayBill number"] == "600100"
    assert visitor.facts["Amount"] == "KES 10"
    account = visitor.facts["Account number"]
    assert subscribers.is_account_number(account)
    _pays_by_hand(shop, account, payer=STRANGER)
    assert shop.progress(isp.id, nonce).state == "paid"
    visitor.get(f"/w/{nonce}?lang=en")
    assert "Or pay by hand" not in visitor.text, "it is paid"
    assert _balances(shop, isp.id) == (0, 0)
    _everything_arrived(shop)


def test_a_part_by_hand_and_then_the_rest(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    nonce = shop.buy(isp.id)
    shop.admin.execute(b"UPDATE payment_intent SET state = 'failed', code = '1032'")
    visitor.get(f"/w/{nonce}")
    account = visitor.facts["Account number"]
    _pays_by_hand(shop, account, 4)
    visitor.get(f"/w/{nonce}")
    assert "KES 4 has come in" in visitor.text
    shown = [row.dd.text for row in visitor.browser.page.select(".facts div") if row.dt and row.dd]
    assert "KES\N{NO-BREAK SPACE}6" in shown or "KES 6" in shown
    _pays_by_hand(shop, account, 6, payer=STRANGER)
    assert shop.progress(isp.id, nonce).state == "paid"
    _everything_arrived(shop)


def test_do_not_pay_again_where_it_may_be_paid(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    nonce = shop.buy(isp.id)
    for state in ("unknown", "paid_no_receipt", "review"):
        shop.admin.execute("UPDATE payment_intent SET state = %s", (state,))
        visitor.get(f"/w/{nonce}?lang=en")
        assert "PayBill" not in str(visitor.browser.page.select_one("main")), state


def test_at_a_till_by_hand_and_then_the_code(shop: Shop) -> None:
    _register(shop)
    isp = shop.world.b
    visitor, nonce = Visitor(shop, isp), shop.buy(isp.id)
    shop.admin.execute(b"UPDATE payment_intent SET state = 'failed', code = '1032'")
    visitor.get(f"/w/{nonce}")
    assert visitor.facts["Buy Goods, Till number"] == "5123456"
    assert "Account number" not in visitor.facts
    receipt = _pays_by_hand(shop, "", payer=STRANGER, number="5123456")
    visitor.claims(receipt, STRANGERS_PHONE, on=visitor.link("I have paid, but I am not online"))
    assert "Looking for your payment" in visitor.text, "a Till's payment waits for a callback of its own first"
    shop.admin.execute("UPDATE inbound_event SET created_at = created_at - interval '125 s'")
    _ask(shop)
    assert shop.progress(isp.id, nonce).state == "paid"
    _everything_arrived(shop)


# -- showing the message


@pytest.mark.parametrize("message", ["{} Confirmed. Ksh10.00 sent to PENDO WIFI for account 5 on 24/11/26", " {} "])
def test_from_the_page_of_a_purchase_to_the_internet(visitor: Visitor, message: str) -> None:
    shop, isp = visitor.shop, visitor.isp
    nonce = shop.buy(isp.id)
    receipt = _pays_by_hand(shop, "WRONG", payer=STRANGER)
    visitor.get(f"/w/{nonce}")
    page = visitor.claims(
        message.format(receipt).lower(), STRANGERS_PHONE, on=visitor.link("I have paid, but I am not online")
    )
    assert page.request.path == f"/w/{nonce}"
    assert "Payment received" in visitor.text
    assert shop.progress(isp.id, nonce).state == "paid"
    assert _balances(shop, isp.id) == (0, 0)
    assert shop.rows("SELECT count(*) FROM payment_claim WHERE tenant_id = %s", shop.world.b.id) == [(0,)]
    _everything_arrived(shop)


def test_from_the_first_page_what_waits_is_bought(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    nonce = shop.buy(isp.id)
    receipt = _pays_by_hand(shop, "WRONG", 15)
    visitor.get("/")
    visitor.claims(receipt, on=visitor.link("I have paid, but I am not online"))
    assert shop.progress(isp.id, nonce).state == "paid"
    visitor.get("/")
    assert "You have KES 5 here" in visitor.text, "what was too much is theirs"
    _everything_arrived(shop)


def test_what_m_pesa_had_not_told_is_found_by_pull(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    shop.sim.set_knobs({"callback.drop": 1})
    nonce = shop.buy(isp.id)
    receipt = _pays_by_hand(shop, "WRONG", payer=STRANGER)
    page = visitor.claims(receipt, STRANGERS_PHONE, on=f"/claim?for={nonce}")
    assert "Looking for your payment" in visitor.text
    assert visitor.browser.page.select_one('noscript meta[http-equiv="refresh"]') is not None
    path = page.request.path
    assert visitor.get(f"{path}/status.json").get_json() == {"state": "looking"}
    _ask(shop)
    assert visitor.get(f"{path}/status.json").get_json() == {"state": "found"}
    assert visitor.follow(visitor.get(path)).request.path == f"/w/{nonce}"
    assert shop.progress(isp.id, nonce).state == "paid"
    _everything_arrived(shop)


def test_without_pull_transaction_status_proves_and_credits(shop: Shop) -> None:
    isp, visitor = shop.world.a, Visitor(shop, shop.world.a)
    _initiator(shop, isp)
    nonce = shop.buy(isp.id)
    receipt = _pays_by_hand(shop, "WRONG", payer=STRANGER)
    assert shop.rows("SELECT count(*) FROM provider_receipt") == [(0,)]
    visitor.claims(receipt, STRANGERS_PHONE, on=f"/claim?for={nonce}")
    _ask(shop)
    assert _states(shop) == ["found"]
    assert shop.progress(isp.id, nonce).state == "paid"
    assert shop.rows("SELECT source FROM provider_receipt") == [("status",)]
    shop.work()
    assert _balances(shop, isp.id) == (0, 0)
    _everything_arrived(shop)


def test_a_prompt_that_was_paid_and_never_told_of(shop: Shop) -> None:
    """The callback is lost, and so is the customer's page: the message of M-Pesa finds the purchase."""
    isp, visitor = shop.world.a, Visitor(shop, shop.world.a)
    _initiator(shop, isp)
    shop.sim.set_knobs({"callback.drop": 1})
    nonce = shop.buy(isp.id)
    shop.work("send_stk")
    shop.sim.answer(MSISDN, "pin")
    receipt = shop.sim.book()[0].receipt
    shop.sim.set_knobs({"callback.drop": 0})
    visitor.claims(receipt)
    assert "Looking for your payment" in visitor.text
    _ask(shop)
    assert shop.intents() == ["succeeded"]
    assert shop.progress(isp.id, nonce).state == "paid"
    page = visitor.claims(receipt)
    assert page.request.path == f"/w/{nonce}"
    _everything_arrived(shop)
    _register(shop)
    shop.work()
    _everything_arrived(shop)


def test_on_another_device_one_is_asked_whether_to_use_it_there(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    nonce = shop.buy(isp.id)
    shop.work("send_stk")
    shop.sim.answer(MSISDN, "pin")
    shop.sim.wait_idle()
    shop.work("settle_callback", "settle_report")
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        router = network.find_nas(isp.nas_address) or network.add_router(
            name="r", identifier="r", address=isp.nas_address, secret="nas secret"
        )
        router.login_url = "http://10.5.50.1/login"
    shop.admin.execute(b"UPDATE tenant SET version = gen_random_uuid()")
    there = urlencode({"mac": "02AABBCCDD77", "lo": "http://10.5.50.1/login"})
    receipt = shop.sim.book()[0].receipt
    page = visitor.claims(receipt, on=f"/claim?{there}")
    assert page.request.path == "/"
    assert "Use it on this device" in visitor.text
    (form,) = (f for f in visitor.browser.page.select("main form") if f["action"].startswith(f"/w/{nonce}/use"))  # type: ignore[union-attr]
    visitor.browser.post(isp.host, str(form["action"]))
    known = shop.rows("SELECT mac FROM device WHERE tenant_id = %s ORDER BY mac", isp.id)
    assert ("02AABBCCDD77",) in known


# -- money at the customer's own number


def test_money_at_the_own_number_is_seen_and_used(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    receipt = _pays_by_hand(shop, _number(shop, isp.id), 25)
    assert _balances(shop, isp.id) == (2500, 0)
    visitor.get("/")
    assert "You have KES" not in visitor.text, "nobody has shown whose it is"
    visitor.claims(receipt)
    assert "KES 25 is yours here" in visitor.text
    other, elsewhere = Visitor(shop, isp), Visitor(shop, shop.world.b)
    for stranger in (other, elsewhere):
        stranger.get("/")
        assert "You have KES" not in stranger.text
    visitor.get(visitor.link("Choose a package"))
    assert "You have KES 25 here" in visitor.text
    page = visitor.follow(visitor.send(phone="", pay="balance"))
    assert "Payment received" in visitor.text, page.text
    assert _balances(shop, isp.id) == (1500, 0)
    visitor.get("/")
    assert "You have KES 15 here" in visitor.text
    assert visitor.claims(receipt).status_code == 200
    assert _states(shop) == ["found"], "the same message is the same claim"
    assert shop.rows("SELECT cents, moved_cents FROM payment_claim") == [(2500, 1000)]
    _everything_arrived(shop)


def test_a_line_owners_money_is_for_the_line(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        line = subscribers.add_line(username="kamau", password="siri", name="Kamau")
        number, line_id = subscribers.number_for(line.id), line.id
    shop.admin.execute(b"UPDATE package SET sold_on_pppoe = true")
    shop.admin.execute(b"UPDATE tenant SET version = gen_random_uuid()")
    receipt = _pays_by_hand(shop, number, 10)
    visitor.claims(receipt)
    assert "KES 10 is yours here" in visitor.text
    assert "Kamau" not in visitor.text
    visitor.get(visitor.link("Choose a package"))
    assert visitor.browser.page.select_one("#account") is not None, "the page of lines"
    assert "KES 10 is left of your payment" in visitor.text
    visitor.follow(visitor.send(account="", phone="", pay="balance"))
    assert shop.rows("SELECT subscriber_id, channel, state FROM purchase") == [(line_id, "pppoe", "bought")]
    _everything_arrived(shop)


def test_money_that_others_have_left_there_is_not_given_away(visitor: Visitor) -> None:
    """A wallet holds what two people paid in: whoever shows one payment gets that, and not the other's."""
    shop, isp = visitor.shop, visitor.isp
    first = _pays_by_hand(shop, _number(shop, isp.id), 8, payer=MSISDN)
    second = _pays_by_hand(shop, _number(shop, isp.id), 5, payer=STRANGER)
    visitor.claims(first)
    assert "KES 8 is yours here" in visitor.text
    Visitor(shop, isp).claims(second, STRANGERS_PHONE)
    assert shop.rows("SELECT sum(cents) FROM payment_claim") == [(1300,)]
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        owner = subscribers.by_phone(Phone.parse(PHONE)).id
        assert checkout.balance.unclaimed_cents(owner) == 0


def test_what_bought_something_meanwhile_is_used(visitor: Visitor) -> None:
    shop, isp = visitor.shop, visitor.isp
    shop.buy(isp.id)
    receipt = _pays_by_hand(shop, _number(shop, isp.id), 10, payer=STRANGER)
    assert _balances(shop, isp.id) == (0, 0), "the purchase that waited was bought"
    visitor.claims(receipt, STRANGERS_PHONE)
    assert "This payment has been used" in visitor.text
    assert visitor.browser.page.select("main a[href^='/w/']") == [], "who paid for a friend gets no key to it"


# -- nobody learns anything


def _page(visitor: Visitor, code: str) -> str:
    page = re.sub(r"/c/[0-9a-f]{32}", "/c/…", str(visitor.browser.page.select_one("main")))
    return page.replace(code, "CODE")


@pytest.mark.parametrize("asks", [True, False])
def test_somebody_elses_payment_and_a_made_up_code_are_told_alike(visitor: Visitor, asks: bool) -> None:
    shop, isp = visitor.shop, visitor.isp
    if asks:
        _initiator(shop, isp)
    used = shop.buy(isp.id)
    account = shop.rows("SELECT number FROM account_number WHERE purchase_id IS NOT NULL")[0][0]
    receipts = {
        "in a wallet": _pays_by_hand(shop, _number(shop, isp.id), 7, payer=STRANGER),
        "in suspense": _pays_by_hand(shop, "WRONG", payer=STRANGER),
        "bought with": _pays_by_hand(shop, account, payer=STRANGER),
        "of another ISP": _pays_by_hand(shop, "", payer=STRANGER, number="5123456"),
        "made up": "UKO7RT61SV",
    }
    assert shop.progress(isp.id, used).state == "paid"
    seen: dict[str, list[str]] = {}
    for what, code in receipts.items():
        # A phone that M-Pesa's mask does not fit.
        someone = Visitor(shop, isp)
        page = someone.claims(code, "0733 999 888")
        seen[what] = [_page(someone, code)]
        _ask(shop)
        someone.get(page.request.path)
        seen[what].append(_page(someone, code))
        shop.admin.execute("UPDATE payment_claim SET created_at = created_at - interval '10 minutes'")
        _due(shop)
        shop.work("look_for_claim")
        someone.get(page.request.path)
        seen[what].append(_page(someone, code))
    assert all(pages == seen["made up"] for pages in seen.values()), seen
    assert ("We have no such payment" if asks else "We cannot tell yet") in seen["made up"][-1]
    assert _states(shop) == ["not_ours" if asks else "unknown"] * len(receipts)
    assert shop.rows("SELECT sum(cents) FROM payment_claim") == [(0,)]


def test_a_payout_of_ours_is_no_payment(visitor: Visitor) -> None:
    """Transaction Status knows what we paid out, too: its receipt brings its receiver nothing."""
    shop, isp = visitor.shop, visitor.isp
    _initiator(shop, isp)
    receipt = _pays_by_hand(shop, "WRONG", payer=MSISDN)
    back = shop.sim.reverse(receipt).receipt
    visitor.claims(back)
    _ask(shop)
    assert _states(shop) == ["not_ours"]
    assert shop.rows("SELECT receipt FROM provider_receipt") == [(receipt,)]


# -- what is wrong is said, and trying is limited


def test_what_was_typed_is_kept(visitor: Visitor) -> None:
    for message, phone, words in (
        ("hello there", PHONE, "There is no M-Pesa code in that."),
        ("", PHONE, "There is no M-Pesa code in that."),
        ("UKO7RT61SV", "12", "That is not a phone number."),
        ("UKO7RT61SV", "", "Enter the M-Pesa number that pays."),
    ):
        visitor.claims(message, phone)
        assert words in visitor.text, (message, phone)
        box, payer = (visitor.browser.page.select_one(name) for name in ("#message", "#payer"))
        assert box is not None
        assert payer is not None
        assert (box.text.strip(), payer["value"]) == (message, phone)
    visitor.get("/claim")
    visitor.follow(visitor.send(message="UKO7RT61SV", phone=PHONE, state="x"))
    assert "We could not read that form" in visitor.text
    assert _states(visitor.shop) == []
    assert visitor.get(f"/c/{'0' * 32}").status_code == 404
    assert visitor.get("/c/nothing").status_code == 404


def test_a_claim_of_another_isp_has_no_page(visitor: Visitor) -> None:
    page = visitor.claims("UKO7RT61SV")
    assert page.status_code == 200
    assert visitor.get(page.request.path).status_code == 200
    assert Visitor(visitor.shop, visitor.shop.world.b).get(page.request.path).status_code == 404


def test_phones_and_codes_cannot_be_tried_out(visitor: Visitor) -> None:
    shop = visitor.shop
    for number in range(6):
        visitor.claims(f"UKO7RT61S{number}")
    assert len(_states(shop)) == 6
    visitor.claims("UKO7RT61S9")
    assert "That was tried too often." in visitor.text
    for number in range(5):
        visitor.claims("UKO7RT61SX", f"072200012{number}")
    visitor.claims("UKO7RT61SX", "0722000129")
    assert "That was tried too often." in visitor.text
    assert len(_states(shop)) == 11
    Visitor(shop, shop.world.b).claims("UKO7RT61SX", "0722000129")
    assert len(_states(shop)) == 12, "another ISP's customers count for themselves"


def test_one_address_cannot_try_for_ever(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "enabled", True)
    limiter.reset()
    answers: list[Any] = []
    for number in range(31):
        visitor.get("/claim")
        answers.append(visitor.send(message=f"UKO7RT6{number:02}X", phone=f"0722000{number:03}").status_code)
    assert answers == [303] * 30 + [429]
    limiter.reset()


def test_a_claim_ends_by_itself(visitor: Visitor) -> None:
    """Nobody is asked for ever about a code that nobody knows."""
    shop = visitor.shop
    visitor.claims("UKO7RT61SV")
    looks = 0
    while True:
        shop.admin.execute("UPDATE payment_claim SET created_at = created_at - interval '1 hour'")
        _due(shop)
        ran = shop.work("look_for_claim")
        if not ran:
            break
        looks += ran
        shop.work("pull_payments")
    assert looks == len(checkout.claims.LOOK_AFTER)
    assert _states(shop) == ["not_ours"], "Pull has told of all that was paid until long after"
