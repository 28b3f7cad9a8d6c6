"""M-Pesa Ratiba: a customer lets M-Pesa pay for a line each month; against the simulator, by the portal's pages."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests

from tenants import subscribers
from tests.browser_client import Browser
from tests.payments.test_by_hand import MSISDN, _due, _everything_arrived, _register
from tests.payments.test_claim_pages import Visitor
from tests.shop import PHONE, Shop
from wavu.db import transaction
from wavu.tenancy import tenant_scope
from wavu.web.security import flood, limiter

CONSOLE = "console.wavu.localhost"
DAY = 24 * 3600


class Home(NamedTuple):
    """Somebody at A who pays for a line with a monthly package; B has no PayBill, and no contract."""

    shop: Shop
    visitor: Visitor
    number: str
    line_id: UUID
    package_id: str

    def asks(self, **changes: str) -> None:
        self.visitor.get("/line/monthly")
        self.visitor.follow(self.visitor.send(**{"account": self.number, "phone": PHONE, **changes}))

    def state(self) -> list[tuple[str, str | None]]:
        return self.shop.rows("SELECT state, code FROM standing_order ORDER BY id")

    def bought(self) -> int:
        return len(
            self.shop.rows("SELECT id FROM purchase WHERE state = 'bought' AND subscriber_id = %s", self.line_id)
        )


@pytest.fixture
def home(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(limiter, "enabled", False)
    monkeypatch.setattr(flood, "limits", {})
    _register(shop)
    isp = shop.world.a
    with shop.app.app_context(), tenant_scope(isp.id), transaction():
        line = subscribers.add_line(username="kamau", password="siri", name="Kamau")
        number, line_id = subscribers.number_for(line.id), line.id
    shop.admin.execute(
        b"UPDATE package SET sold_on_pppoe = true, validity = 'months', validity_count = 1, price_cents = 150000"
    )
    shop.admin.execute("UPDATE mpesa_account SET standing_orders = true WHERE tenant_id = %s", (isp.id,))
    return Home(shop, Visitor(shop, isp), number, line_id, str(shop.packages[isp.id]))


def _settle(shop: Shop) -> None:
    shop.sim.wait_idle()
    shop.work("settle_standing_order", "settle_report")


def test_from_my_line_to_three_paid_months(home: Home) -> None:
    shop, visitor = home.shop, home.visitor
    visitor.get("/line")
    visitor.get(visitor.link("Let M-Pesa pay each month by itself"))
    visitor.follow(visitor.send(account=home.number, phone=PHONE, first="tomorrow"))
    assert "Look at your phone" in visitor.text
    assert "Kamau" not in visitor.text
    path = visitor.browser.page.select_one("[data-poll]")["data-poll"]  # type: ignore[index]
    shop.work("send_standing_order")
    assert visitor.get(str(path)).get_json() == {"state": "prompted"}
    shop.sim.answer_order(MSISDN, "pin")
    _settle(shop)
    assert home.state() == [("stands", None)]
    visitor.get(str(path).removesuffix("/status.json"))
    assert "How to stop it" in visitor.text
    (order,) = shop.sim.standing_orders()
    assert visitor.facts["Its name at M-Pesa"] == order.name
    assert (order.amount, order.frequency, order.account) == (
        1500,
        "4",
        shop.rows("SELECT reference FROM standing_order")[0][0],
    )
    for month in (1, 2, 3):
        while order.payments < month:
            shop.sim.advance(DAY)
        _settle(shop)
        assert home.bought() == month
    rights = "SELECT starts_at, ends_at FROM entitlement WHERE subscriber_id = %s ORDER BY starts_at"
    ends = shop.rows(rights, home.line_id)
    assert [late[0] for late in ends[1:]] == [early[1] for early in ends[:-1]], "one after the other"
    shop.sim.answer_order(MSISDN, "end")
    shop.sim.advance(62 * DAY)
    _settle(shop)
    assert home.bought() == 3, "the customer has stopped it"
    assert shop.rows("SELECT count(*) FROM purchase WHERE tenant_id = %s", shop.world.b.id) == [(0,)]
    _everything_arrived(shop)


@pytest.mark.parametrize(("action", "code", "words"), [
    ("cancel", "1032", "You cancelled the request"), ("ignore", "1037", "No answer from the phone"),
])  # fmt: skip
def test_a_no_is_said(home: Home, action: str, code: str, words: str) -> None:
    shop = home.shop
    home.asks()
    shop.work("send_standing_order")
    shop.sim.answer_order(MSISDN, action)
    shop.sim.advance(61)
    _settle(shop)
    assert home.state() == [("refused", code)]
    nonce = shop.rows("SELECT nonce FROM standing_order")[0][0]
    home.visitor.get(f"/m/{nonce}")
    assert words in home.visitor.text
    assert "Nothing is paid by itself." in home.visitor.text
    assert home.bought() == 0


def test_silence_is_unknown_and_money_says_yes(home: Home) -> None:
    shop = home.shop
    shop.sim.rule({"callback.drop": 1}, exchange="ratiba_callback")
    home.asks(first="tomorrow")
    shop.work("send_standing_order")
    shop.sim.answer_order(MSISDN, "pin")
    shop.sim.wait_idle()
    nonce = shop.rows("SELECT nonce FROM standing_order")[0][0]
    shop.admin.execute(b"UPDATE standing_order SET submitted_at = submitted_at - interval '2 hours'")
    home.visitor.get(f"/m/{nonce}")
    assert "We do not know whether it stands" in home.visitor.text
    assert "How to stop it" in home.visitor.text
    shop.sim.advance(2 * DAY)
    _settle(shop)
    assert home.state() == [("stands", None)]
    assert home.bought() == 1
    _everything_arrived(shop)


@pytest.mark.parametrize("fault", ["hang_after_exec", "hang_before_exec"])
def test_a_request_without_an_answer_is_not_sent_again(home: Home, fault: str) -> None:
    shop = home.shop
    shop.sim.set_knobs({"gateway.hang": 0})
    shop.sim.rule({"gateway.fault": fault}, exchange="ratiba")
    home.asks()
    shop.work("send_standing_order")
    assert home.state() == [("unknown", "no answer")]
    _due(shop)
    shop.work("send_standing_order")
    assert len(shop.sim.standing_orders()) == (1 if fault == "hang_after_exec" else 0)
    if fault == "hang_after_exec":
        shop.sim.answer_order(MSISDN, "pin")
        _settle(shop)
        assert home.state() == [("stands", None)], "the callback says what the answer did not"


def test_a_crash_between_sending_and_noting_is_unknown(home: Home) -> None:
    shop = home.shop
    home.asks()
    shop.admin.execute(b"UPDATE standing_order SET state = 'submitting', submitted_at = now()")
    shop.work("send_standing_order")
    assert home.state() == [("unknown", None)]
    assert shop.sim.standing_orders() == []


def test_without_the_product_it_is_refused(home: Home) -> None:
    shop = home.shop
    shop.sim.set_products("key-a", ["M-PESA EXPRESS", "CUSTOMER TO BUSINESS"])
    shop.sim.revoke_tokens("key-a")
    home.asks()
    shop.work("send_standing_order")
    assert [state for state, _code in home.state()] == ["refused"]


def test_what_others_say_of_an_order(home: Home) -> None:
    """Only with the order's own token; from elsewhere only under the id that M-Pesa gave it; a no undoes nothing."""
    shop = home.shop
    home.asks()
    shop.work("send_standing_order")
    (order,) = shop.sim.standing_orders()

    def says(url: str, code: str, reference: str) -> int:
        body = {"responseHeader": {"responseRefID": reference, "responseCode": code}, "responseBody": {}}
        parts = urlsplit(url)
        here = f"http://127.0.0.1:{parts.port}{parts.path}"
        answered = requests.post(here, json=body, headers={"Host": parts.netloc}, timeout=5).status_code
        shop.work("settle_standing_order")
        return answered

    assert says(order.callback_url[:-4] + "0000", "0", order.reference) == 404
    assert says(order.callback_url.replace(str(shop.world.a.id), str(shop.world.b.id)), "0", order.reference) == 404
    assert [state for state, _code in home.state()] == ["asked"]
    assert says(order.callback_url, "0", order.reference) == 200
    assert says(order.callback_url, "1037", order.reference) == 200
    assert home.state() == [("stands", None)]
    assert home.bought() == 0, "it brings no money"


def test_what_no_longer_buys_it_stays_in_the_wallet(home: Home) -> None:
    """The price has risen since: the money is the line's, and its payer may show the message and use it."""
    shop = home.shop
    home.asks(first="tomorrow")
    shop.work("send_standing_order")
    shop.sim.answer_order(MSISDN, "pin")
    _settle(shop)
    shop.admin.execute("UPDATE package SET price_cents = 200000 WHERE id = %s", (home.package_id,))
    shop.sim.advance(2 * DAY)
    _settle(shop)
    assert home.bought() == 0
    receipt = shop.sim.book()[-1].receipt
    home.visitor.claims(receipt)
    assert "KES 1,500 is yours here" in home.visitor.text
    _everything_arrived(shop)


def test_behind_the_switch(home: Home) -> None:
    shop, isp = home.shop, home.shop.world.a
    owner, cashier = Browser(shop.app), Browser(shop.app)
    owner.sign_in(CONSOLE, isp.owner)
    cashier.sign_in(CONSOLE, isp.cashier)
    assert cashier.get(CONSOLE, "/money/standing-orders").status_code == 403
    owner.get(CONSOLE, "/money/standing-orders")
    (form,) = (f for f in owner.page.select("form") if "/money/standing-orders/" in str(f["action"]))
    assert owner.post(CONSOLE, str(form["action"]), {"on": "no"}).status_code == 302
    owner.get(CONSOLE, "/activity")
    assert "Standing orders turned off" in owner.text
    assert home.visitor.get("/line/monthly").status_code == 404
    home.visitor.get("/line")
    assert "each month" not in home.visitor.text
    owner.get(CONSOLE, "/money/standing-orders")
    owner.post(CONSOLE, str(form["action"]), {"on": "yes"})
    home.asks()
    assert len(home.state()) == 1
    owner.get(CONSOLE, "/money/standing-orders")
    assert "Kamau" in owner.text
    other = Visitor(shop, shop.world.b)
    assert other.get("/line/monthly").status_code == 404
    nonce = shop.rows("SELECT nonce FROM standing_order")[0][0]
    assert other.get(f"/m/{nonce}").status_code == 404
    assert home.visitor.get(f"/m/{nonce}").status_code == 200


def test_what_is_wrong_is_said_and_a_phone_is_not_pestered(home: Home) -> None:
    shop = home.shop
    for changes, words in (
        ({"account": "12345678"}, "That is not an account number."),
        ({"phone": "12"}, "That is not a phone number."),
        ({"account": ""}, "Enter the account number of the line."),
    ):
        home.asks(**changes)
        assert words in home.visitor.text
    assert home.state() == []
    for _ in range(3):
        home.asks()
    home.asks()
    assert "This phone was asked too often today." in home.visitor.text
    assert len(home.state()) == 3
    shop.admin.execute(b"UPDATE package SET validity_count = 3")
    assert home.visitor.get("/line/monthly").status_code == 404, "nothing monthly is sold"
