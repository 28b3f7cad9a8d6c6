"""QR posters: drawn once by M-Pesa, printed by staff, paid by customers; against the simulator."""

from __future__ import annotations

import pytest

from tests.browser_client import Browser
from tests.payments.test_by_hand import MSISDN, _due, _everything_arrived, _register
from tests.payments.test_claim_pages import Visitor
from tests.shop import PHONE, Shop
from wavu.web.security import flood, limiter

CONSOLE = "console.wavu.localhost"


@pytest.fixture
def browser(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """A's owner."""
    monkeypatch.setattr(limiter, "enabled", False)
    monkeypatch.setattr(flood, "limits", {})
    browser = Browser(shop.app)
    browser.sign_in(CONSOLE, shop.world.a.owner)
    return browser


def _make(browser: Browser, **changes: str) -> str:
    """Fills in the form; returns where it leads, or the page's text where it was refused."""
    browser.get(CONSOLE, "/money/posters")
    picked = {str(one["name"]): str(one.select("option")[0]["value"]) for one in browser.page.select("select")}
    answer = browser.post(CONSOLE, "/money/posters", picked | {"amount": "", "title": ""} | changes)
    return answer.location or "" if answer.status_code == 302 else browser.text


def test_a_poster_is_drawn_once_and_paid(shop: Shop, browser: Browser) -> None:
    _register(shop)
    path = _make(browser)
    assert _make(browser) == path, "the same poster"
    browser.get(CONSOLE, path)
    assert "M-Pesa is drawing the code." in browser.text
    assert browser.get(CONSOLE, f"{path}/code.png").status_code == 302
    shop.work("make_code_to_pay")
    assert _make(browser) == path
    _due(shop)
    assert shop.work("make_code_to_pay") == 0, "asked once"
    browser.get(CONSOLE, path)
    names, values = ([tag.text for tag in browser.page.select(f".poster {name}")] for name in ("dt", "dd"))
    facts = dict(zip(names, values, strict=True))
    assert "KES 10" in browser.text
    assert facts["PayBill number"] == "600100"
    picture = browser.get(CONSOLE, f"{path}/code.png?download")
    assert picture.mimetype == "image/png"
    assert picture.data.startswith(b"\x89PNG")
    assert "attachment" in picture.headers["Content-Disposition"]
    # What is scanned is paid like by hand; its customer shows the message at the portal.
    nonce = shop.buy(shop.world.a.id)
    shop.sim.add_app("key-a", "secret-a", "600100", passkey="passkey-a", validation=True)
    shop.admin.execute(b"UPDATE mpesa_account SET refuses_unknown_references = true")
    receipt = shop.sim.pay(MSISDN, "600100", 10, facts["Account number"]).receipt
    shop.sim.wait_idle()
    shop.work("settle_report")
    Visitor(shop, shop.world.a).claims(receipt, PHONE)
    assert shop.progress(shop.world.a.id, nonce).state == "paid"
    _everything_arrived(shop)


def test_a_till_and_an_amount_of_ones_own(shop: Shop) -> None:
    browser = Browser(shop.app)
    browser.sign_in(CONSOLE, shop.world.b.owner)
    for amount in ("", "0", "10.50", "much", "250001"):
        assert "Enter whole shillings" in _make(browser, package="other", amount=amount)
    path = _make(browser, package="other", amount="1,200", title="Deposit")
    shop.work("make_code_to_pay")
    browser.get(CONSOLE, path)
    assert "Deposit" in browser.text
    assert "KES 1,200" in browser.text
    assert "Till number 5123456" in browser.text
    assert "Account number" not in browser.text
    other = Browser(shop.app)
    other.sign_in(CONSOLE, shop.world.a.owner)
    other.get(CONSOLE, "/money/posters")
    assert "Deposit" not in other.text
    assert other.get(CONSOLE, path).status_code == 404


def test_what_m_pesa_refuses_is_said_and_can_be_asked_again(shop: Shop, browser: Browser) -> None:
    shop.sim.set_products("key-a", ["M-PESA EXPRESS"])
    path = _make(browser)
    shop.work("make_code_to_pay")
    browser.get(CONSOLE, path)
    assert "M-Pesa refused to draw the code" in browser.text
    assert shop.rows("SELECT fault FROM mpesa_account") == [(None,)] * 2, "customers can pay all the same"
    shop.sim.set_products("key-a", ["M-PESA EXPRESS", "DYNAMIC QR"])
    shop.sim.revoke_tokens("key-a")
    (form,) = (f for f in browser.page.select("main form") if str(f["action"]).endswith("/again"))
    browser.post(CONSOLE, str(form["action"]))
    shop.work("make_code_to_pay")
    assert browser.get(CONSOLE, f"{path}/code.png").mimetype == "image/png"


def test_while_m_pesa_is_away_it_waits(shop: Shop, browser: Browser) -> None:
    shop.sim.set_knobs({"gateway.fault": "unreachable"})
    path = _make(browser)
    shop.work("make_code_to_pay")
    assert shop.rows("SELECT state FROM mpesa_qr") == [("asked",)]
    shop.sim.set_knobs({"gateway.fault": "none"})
    _due(shop)
    shop.work("make_code_to_pay")
    assert browser.get(CONSOLE, f"{path}/code.png").mimetype == "image/png"


def test_who_may_print(shop: Shop, browser: Browser) -> None:
    path = _make(browser)
    cashier = Browser(shop.app)
    cashier.sign_in(CONSOLE, shop.world.a.cashier)
    for page in ("/money/posters", path, f"{path}/code.png"):
        assert cashier.get(CONSOLE, page).status_code == 403
