"""What comes in the address is a stranger's word: no phone is sent astray by it, and nothing of it runs."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from tenants.portal import arrival, words
from tests.portal.counter import Counter, login_url
from tests.portal.customer import Customer, nonce_of

OWN = "http://127.0.9.1:8180/login"
LOGIN_TARGETS = (
    "http://evil.test/login", "https://127.0.9.1:8180/login", "http://127.0.9.1/login", "http://127.0.9.1:80/login",
    "http://127.0.9.1:8181/login", "http://127.0.9.2:8180/login", "http://127.0.9.1:8180/", "http://127.0.9.1:8180",
    f"{OWN}/", f"{OWN}x", f"{OWN}?", f"{OWN}?next=http://evil.test", f"{OWN}#", f"{OWN}#x", f" {OWN}", f"{OWN} ",
    f"{OWN}\n", f"{OWN}\0", f"\t{OWN}", f"{OWN};", f"{OWN}%00", f"{OWN}/../admin", "http://127.0.9.1:8180//login",
    "http://127.0.9.1:8180/Login", "HTTP://127.0.9.1:8180/login", "http:/127.0.9.1:8180/login",
    "//127.0.9.1:8180/login", "127.0.9.1:8180/login", "http:127.0.9.1:8180/login", "http:\\\\127.0.9.1:8180\\login",
    "http://127.0.9.1:8180\\@evil.test/login", "http://evil.test@127.0.9.1:8180/login",
    "http://127.0.9.1:8180@evil.test/login", "http://127.0.9.1:8180/login@evil.test",
    "http://user:pass@127.0.9.1:8180/login", "http://127.0.9.1:8180.evil.test/login",
    "http://evil.test/http://127.0.9.1:8180/login", "http://2130708737:8180/login", "http://0177.0.9.1:8180/login",
    "http://[::ffff:127.0.9.1]:8180/login", "http://127.0.9.1\u3002evil.test:8180/login",
    "http://\uff11\uff12\uff17.0.9.1:8180/login", "javascript:alert(1)", "javascript://127.0.9.1:8180/login",
    "data:text/html,<script>", "file:///etc/passwd", "ftp://127.0.9.1:8180/login", "/login", "login", "?",
    "' OR login_url IS NOT NULL --", "%", "_" * 26, "http://127.0.9.1:8180/%6cogin",
    OWN.replace("/login", "/login\r\nSet-Cookie: x=1"), "x" * 3000, "\ud83d\ude00", "\u202e" + OWN,
)  # fmt: skip

DESTINATIONS = (
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
    "data:text/html,<script>1</script>", "vbscript:x", "file:///etc/passwd", "ftp://example.com/",
    "blob:http://example.com/1", "view-source:http://example.com/", "//evil.test/", "///evil.test/",
    "\\\\evil.test\\", "/\\evil.test", "http:evil.test", "http:/evil.test", "http:///evil.test", "http://",
    "https://", "http://@/", "http://user@evil.test/", "http://user:pass@evil.test/", "http://good.test@evil.test/",
    "http://good.test%40evil.test/", "http://good.test\\@evil.test/", "http://good.test\t.evil.test/",
    "http://evil.test/\r\nX: 1", "http://evil.test/\0", " http://evil.test/", "http://evil.test/ x",
    "http://evil .test/", "http://[::1]/", "http://[bad/", "http://evil.test:99999/", "http://evil.test:x/",
    "http://\uff45vil.test/", "http://evil\u3002test/", "http://-evil.test/", "http://evil-.test/",
    "http://evil..test/", "http://.evil.test/", "http://" + "a" * 300 + ".test/", "http://evil.test/" + "x" * 3000,
    "http://evil.test/\u202eexe", "mailto:x@y.test", "tel:+254700000001", "sms:1", "intent://x#Intent;end",
    "about:blank", "",
)  # fmt: skip
INERT = (
    "http://captive.apple.com/hotspot-detect.html", "http://connectivitycheck.gstatic.com/generate_204",
    "http://www.gstatic.com/generate_204", "http://clients3.google.com/generate_204",
    "http://detectportal.firefox.com/success.txt", "http://www.msftconnecttest.com/connecttest.txt",
    "http://isp-a.wavu.test/", "https://isp-a.wavu.test/buy",
)  # fmt: skip
SCRIPTS = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)",
    "</title><svg/onload=alert(1)>", "{{ 7*7 }}", "{% raw %}", "%(message)s %s %d", "\ue100\ue101\ue102\ue103",
    "javascript:alert(1)", "&lt;b&gt;", "\0<b>", "Call 0700 111 222 and pay", "Go to www.evil.test",
    "Win! http://evil.test", "a" * 4000, "\u202eevil", "<!--",
)  # fmt: skip


def test_the_lists_are_long_enough() -> None:
    assert len(set(LOGIN_TARGETS)) >= 40
    assert len(set(DESTINATIONS)) >= 40


@pytest.mark.parametrize("target", LOGIN_TARGETS)
def test_a_log_in_target_must_be_a_router_of_this_isp(customer: Customer, counter: Counter, target: str) -> None:
    isp = counter.world.a
    quoted = quote(target, errors="surrogatepass")
    response = customer.browser.get(isp.host, f"/?mac=02ABCD000001&lo={quoted}")
    assert response.status_code == 422
    assert "is not one of ours" in customer.text
    assert "<form" not in response.text
    assert "evil" not in customer.text
    assert counter.purchases(isp) == []


def test_another_isps_router_is_no_target(customer: Customer, counter: Counter) -> None:
    assert customer.opens(counter.world.b, lo=login_url(counter.world.a)).status_code == 422
    assert customer.opens(counter.world.b, lo=login_url(counter.world.b)).status_code == 200


@pytest.mark.parametrize("url", DESTINATIONS)
def test_a_destination_that_is_no_web_address_is_dropped(customer: Customer, counter: Counter, url: str) -> None:
    assert arrival.destination(url, "isp-a.wavu.test") == (None, None)
    isp = counter.world.a
    response = customer.browser.get(isp.host, f"/?mac=02ABCD000001&dst={quote(url)}")
    assert response.status_code == 200
    nonce = nonce_of(customer.pays(isp))
    assert [purchase.original_url for purchase in counter.purchases(isp)] == [None]
    counter.paid(isp, nonce)
    counter.online(isp, nonce)
    customer.looks(isp, nonce)
    assert "You can close this page" in customer.text


@pytest.mark.parametrize("url", INERT)
def test_nobody_wants_to_go_on_to_a_probe_or_to_this_page(url: str) -> None:
    assert arrival.destination(url, "isp-a.wavu.test") == (None, None)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://www.example.co.ke:8443/a?b=c&d=%20#e", "http://10.0.0.1/x", "HTTP://EXAMPLE.COM/"],
)
def test_a_web_address_is_a_link_that_names_its_host(url: str) -> None:
    assert arrival.destination(url, "isp-a.wavu.test") == (url, None)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.1.10/", "Go on"),
        ("http://10.5.50.1:8080/x", "Go on"),
        ("http://Example.com/", "Go on to example.com"),
        ("http://1.example.com/", "Go on to 1.example.com"),
    ],
)
def test_a_host_is_named_where_it_has_a_name(customer: Customer, counter: Counter, url: str, words: str) -> None:
    for isp in (counter.world.a, counter.world.b):
        nonce = customer.buys(isp, dst=url)
        counter.paid(isp, nonce)
        counter.online(isp, nonce)
        customer.looks(isp, nonce)
        (onward,) = customer.browser.page.select("main a.button[href^=http]")
        assert (onward["href"], onward.text) == (url, words)


@pytest.mark.parametrize(
    "name", ["err", "dst", "mac", "ip", "srv", "lang", "back", "state", "package", "phone", "said"]
)
@pytest.mark.parametrize("text", SCRIPTS)
def test_nothing_in_the_address_runs_or_leads_astray(
    customer: Customer, counter: Counter, name: str, text: str
) -> None:
    isp = counter.world.a
    response = customer.browser.get(isp.host, f"/?{urlencode({'mac': '02ABCD000001', name: text})}")
    assert response.status_code == 200
    page = customer.browser.page
    assert [script["src"] for script in page.find_all("script")] == [
        script["src"] for script in page.select("body > script")
    ]
    assert len(page.find_all("script")) == 1
    assert not page.find_all(["img", "svg", "iframe"])
    assert not [tag for tag in page.find_all(True) if any(key.startswith("on") for key in tag.attrs)]
    links = {str(tag.get("href") or tag.get("src") or tag.get("action") or "/") for tag in page.find_all(True)}
    assert all(link.startswith(("/", "#main", "tel:", "data:,")) for link in links), links
    assert "//" not in {link[:2] for link in links}
    shown = page.get_text()
    assert "0700 111 222" not in shown
    assert "evil.test" not in shown
    assert "49" not in shown.replace("KES", "")


def test_form_values_come_back_as_text(customer: Customer, counter: Counter) -> None:
    isp = counter.world.a
    for text in SCRIPTS:
        customer.opens(isp)
        customer.refused(isp, text[:40])
        assert len(customer.browser.page.find_all("script")) == 1
        assert not customer.browser.page.find_all(["img", "svg", "b.x"])


@pytest.mark.parametrize(
    ("err", "said"),
    [
        ("radius-timeout", "The Wi-Fi could not reach our server."),
        ("RADIUS server is not responding", "The Wi-Fi could not reach our server."),
        ("E_RADIUS_TIMEOUT", "The Wi-Fi could not reach our server."),
        ("invalid username or password", "That log-in was not accepted."),
        ("no more sessions are allowed for user K7PM2QX9", "All devices of this package are online already."),
        ("user K7PM2QX9 has reached uptime limit", "Your package is used up."),
        ("cannot assign ip address - no more free addresses from pool", "The Wi-Fi here is full"),
        ("invalid username (x): this MAC address is not yours", "The Wi-Fi did not let this phone in."),
        ("already authorizing, retry later", "The Wi-Fi is still connecting this phone."),
        ("No active package.", "The Wi-Fi says: “No active package.”"),
        ("Your package ended on 24 Nov 2026, 14:02.", "The Wi-Fi says: “Your package ended on 24 Nov 2026, 14:02.”"),
        ("Send 500 to 0700111222", "The Wi-Fi did not let this phone in."),
    ],
)
def test_a_routers_error_is_told_in_plain_words(customer: Customer, counter: Counter, err: str, said: str) -> None:
    customer.opens(counter.world.a, "en", err=err)
    (notice,) = customer.browser.page.select(".msg")
    assert said in notice.text
    assert "K7PM2QX9" not in customer.text
    customer.opens(counter.world.a, "sw", err=err)
    (notice,) = customer.browser.page.select(".msg")
    assert notice.text.startswith("Wi-Fi inasema:") == said.startswith("The Wi-Fi says")
    assert said.split("“")[0] not in notice.text


def test_not_being_logged_in_is_no_news(customer: Customer, counter: Counter) -> None:
    customer.opens(counter.world.a, err="you are not logged in (ip 10.5.50.10)")
    assert not customer.browser.page.select(".msg")


def test_every_key_of_a_router_has_words() -> None:
    keys = (
        "internal-error config-error ippool-empty shutting-down user-session-limit license-session-limit "
        "wrong-mac-username chap-missing invalid-username invalid-mac uptime-limit traffic-limit radius-timeout "
        "auth-in-progress radius-reply otp-already-used"
    )
    assert [key for key in keys.split() if words.router_error(key).known is None] == []
