"""The contract between portal pages and themes, see portal_themes/README.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tenants.portal import themes
from tests.web_look import reading
from tests.web_look.reading import Page
from wavu.web.i18n import LOCALES
from wavu.web.palette import palette

OVERRIDABLE = {"header", "hero", "notice", "packages", "package", "order", "help", "footer"}
LIVE = {
    "wait": ("requested", "held", "prompted", "checking"),
    "fail": ("failed", "no_reply", "review", "short"),
    "paid": ("paid",),
    "done": ("online", "ended"),
}
PAGES = (
    "home", "line", "line_paid", "mine", "spending", "claim", "claimed", "monthly", "monthly_state", "suspended",
    "error", *LIVE,
)  # fmt: skip
SCRIPT = "/assets/0/portal.js"

_PACKAGES = tuple(
    {
        "id": f"package-{number}", "name": "1 <i>hour</i>", "price": f"KES {number}0", "speed": "Up to 5 Mbps",
        "speed_short": "5 Mbps", "details": "no data limit", "popular": number == 1, "chosen": number == 1,
        # What the page of somebody's own packages shows beside: on, off, and somebody else's.
        "until": "Today, 14:32", "is_line": False, "price_cents": 1000, "on": number == 0, "agrees": number == 0,
        "other": number == 2, "said": "<i>A reason</i>", "pay_to": "600100", "number": "37443353", "url": "/w/1/renew",
    }
    for number in range(3)
)  # fmt: skip
_EVENTS = (
    {"what": "1 <i>hour</i>", "when": "24 Nov, 12:00", "amount": "\N{MINUS SIGN}KES 10", "receipt": "TKN4H7XQ2M",
     "credit": "KES 5", "after": "KES 0"},
)  # fmt: skip
_ORDER = {
    "name": "1 <i>hour</i>", "price": "KES 10", "pay_to": "Mama <b>Njeri</b> Net · 600100", "phone": "0712 ••• 678",
    "receipt": "TKN4H7XQ2M", "state": "", "url": "/w/1", "status_url": "/w/1/status.json", "from_balance": None,
    "spare": "KES 5", "spend_url": "/?with=1", "mine_url": "/mine?with=1", "claim_url": "/claim?for=1",
    "provider": "mpesa", "gateway": "M-Pesa",
    "by_hand": {"kind": "paybill", "number": "600100", "account": "123456789", "amount": "KES 10"},
    # Of a standing order's page.
    "first": "1 December 2026", "title": "Internet 123456789", "why": "You cancelled", "again_url": "/line/monthly",
}  # fmt: skip

_CLAIM = {
    "code": "UKO7RT61SV", "state": "found", "amount": "KES 10", "spend_url": "/?with=2", "purchase_url": None,
    "again_url": "/claim", "url": "/c/1", "status_url": "/c/1/status.json",
}  # fmt: skip
# Two ways to pay, and the one that was chosen does not answer.
_GATEWAYS = tuple(
    {"value": value, "name": name, "chosen": not value}
    for value, name in (("", "Automatic"), ("mpesa", "M-Pesa"), ("airtel", "Airtel Money"))
)
_OTHER = {
    "name": "Airtel Money", "value": "airtel", "url": "/w/1/again", "price": "KES 10", "error": "Not a number",
    "open": True,
}  # fmt: skip

# What a page may be told, whichever it is.
_ANY_PAGE: Mapping[str, Any] = {
    "css": "body{margin:0}",
    "title": "A title",
    "message": "A message",
    "message_error": None,
    "reference": "R-1",
    "retry_after": 5,
    "home_url": "/",
    "script_url": SCRIPT,
    "notice": None,
    "packages": _PACKAGES,
    "yours": (),
    "purse": None,
    "gateways": _GATEWAYS,
    "other": MappingProxyType(_OTHER),
    "starts": None,
    "line_url": "/line",
    "mine_url": "/mine",
    "money_urls": (("/mine/money?of=hotspot", "Money"),),
    "events": _EVENTS,
    "otherwise": "KES 5",
    "back_url": "/mine",
    "next_url": "/mine/money?before=1",
    "first_url": "/mine/money",
    "claim_url": "/claim",
    "monthly_url": "/line/monthly",
    "ask_url": "/line/monthly",
    "firsts": ({"id": "month", "label": "1 January 2027", "chosen": True},),
    "claim": MappingProxyType(_CLAIM),
    "account": "",
    "account_error": None,
    "pay_url": "/line",
    "again_price": None,
    "state": "a signed ticket",
    "buy_url": "/buy",
    "phone": "",
    "phone_error": None,
    "left": 45,
    "left_shown": "0:45",
    "gone": 30,
    "still": False,
    "still_url": "/w/1?still=1",
    "text": "What to do",
    "again_url": "/w/1/again",
    "retry_in": 0,
    "retry_shown": "0:00",
    "go_url": "/w/1/go",
    "by_itself": True,
    "until": "Today, 14:32",
    "onward_url": "http://example.com/",
    "onward_host": "example.com",
}

each_theme = pytest.mark.parametrize("theme", reading.themes(), ids=lambda path: path.name)


def _manifest(theme: Path) -> dict[str, Any]:
    return tomllib.loads((theme / "theme.toml").read_text())


def _render(
    theme: Path, page: str, locale: str, help_phone: str | None = "+254712345678", state: str = "", **changed: Any
) -> str:
    manifest = _manifest(theme)
    isp: dict[str, str | None] = {"name": "Mama <b>Njeri</b> Net", "initials": "MN", "help_phone_shown": "0712 345678"}
    texts = {key: manifest[key][locale] for key in ("headline", "sub")}
    data: Mapping[str, Any] = {
        "isp": MappingProxyType(isp | {"help_phone": help_phone}),
        "theme": MappingProxyType(texts | {"id": theme.name}),
        "locale": locale,
        "language_links": tuple((code, name, f"/?lang={code}", code == locale) for code, name in LOCALES.items()),
        **_ANY_PAGE,
        "theme_color": manifest["default_brand"],
        "balance": "KES 5" if page == "spending" else None,
        "order": MappingProxyType(_ORDER | {"state": state or LIVE.get(page, ("",))[0]}),
        **changed,
    }
    return themes.render(theme.name, locale, f"{page}.html", **data)


@each_theme
def test_the_manifest_is_whole(theme: Path) -> None:
    manifest = _manifest(theme)
    assert themes.load(theme.name).id == theme.name  # which refuses missing and unknown keys
    assert re.fullmatch(r"[a-z]+", theme.name)
    assert palette(manifest["default_brand"])
    assert set(manifest["headline"]) == set(manifest["sub"]) == set(LOCALES)
    assert all(re.fullmatch(r"\d+px", manifest[key]) for key in ("radius", "radius_small"))


@each_theme
def test_a_theme_styles_only_itself(theme: Path) -> None:
    css = (theme / "static/theme.css").read_text()
    assert len(css.encode()) <= 2048
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    assert not re.findall(r"url\(|@import|!important|position:\s*fixed|expression\(|</", css)
    selectors = [part.strip() for rule in re.findall(r"([^{}]+)\{", css) for part in rule.split(",")]
    assert selectors
    for selector in selectors:
        assert selector.startswith((f".th-{theme.name} ", "@media ")), selector


@each_theme
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_keeps_the_contract(theme: Path, page: str, locale: str) -> None:
    html = _render(theme, page, locale)
    seen = Page(html)
    tags = [tag for tag, _attributes in seen.tags]
    assert tags.count("h1") == 1
    assert ("html", {"lang": locale}) in seen.tags
    assert ("body", {"class": f"th-{theme.name}"}) in seen.tags
    scripts = [attributes for tag, attributes in seen.tags if tag == "script"]
    assert scripts in ([], [{"src": SCRIPT, "defer": ""}])
    assert "<style>body{margin:0}</style>" in html  # exactly the bytes whose hash the policy names
    assert "Mama &lt;b&gt;Njeri&lt;/b&gt; Net" in html
    addresses = seen.values("href")
    assert "tel:+254712345678" in addresses
    assert [address for address in addresses if address.startswith("/?lang=")] == [
        f"/?lang={code}" for code in LOCALES if code != locale
    ]


@each_theme
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("gateways", [(), _GATEWAYS], ids=["one way to pay", "two ways to pay"])
def test_the_pay_form_keeps_its_names(theme: Path, locale: str, gateways: tuple[dict[str, Any], ...]) -> None:
    html = _render(theme, "home", locale, phone_error="Wrong", notice="Look", phone='"><b>', gateways=gateways)
    seen = Page(html)
    fields = [(a.get("name"), a.get("type"), a.get("value")) for tag, a in seen.tags if tag == "input"]
    assert fields == [
        ("state", "hidden", "a signed ticket"),
        *(("package", "radio", package["id"]) for package in _PACKAGES),
        ("phone", "tel", '"><b>'),
        *(("via", "radio", each["value"]) for each in gateways),
    ]
    (form,) = (attributes for tag, attributes in seen.tags if tag == "form")
    assert (form["method"], form["action"], "data-pay" in form) == ("post", "/buy", True)
    assert [a["data-price"] for _tag, a in seen.tags if "data-price" in a] == ["KES 00", "KES 10", "KES 20"]
    assert sum("checked" in attributes for _tag, attributes in seen.tags) == (2 if gateways else 1)
    (button,) = (attributes for tag, attributes in seen.tags if tag == "button")
    assert "%s" in button["data-say"]
    assert button["data-busy"]
    labelled = {attributes.get("for") for tag, attributes in seen.tags if tag == "label"}
    assert "phone" in labelled
    (number,) = (attributes for _tag, attributes in seen.tags if attributes.get("name") == "phone")
    ids = {attributes.get("id") for _tag, attributes in seen.tags}
    assert set(number["aria-describedby"].split()) == {"phone-error", "phone-hint"} <= ids
    assert "aria-invalid" in number
    assert "<i>hour" not in html


@each_theme
def test_a_page_without_packages_has_nothing_to_press(theme: Path) -> None:
    html = _render(theme, "home", "en", packages=(), line_url=None)
    assert "<form" not in html
    assert "Nothing is sold here yet." in html
    manifest = _manifest(theme)
    assert manifest["sub"]["en"] not in html
    assert "Nothing is sold" not in _render(theme, "home", "en", packages=()), "lines are"


@each_theme
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("page", "state"), [(page, state) for page, states in LIVE.items() for state in states])
def test_a_page_of_a_purchase_says_where_it_stands(theme: Path, page: str, state: str, locale: str) -> None:
    html = _render(theme, page, locale, state=state)
    seen = Page(html)
    assert [a["role"] for _tag, a in seen.tags if a.get("role")].count("status") == (state != "ended")
    live = [attributes for _tag, attributes in seen.tags if "data-poll" in attributes]
    if page == "done":
        assert live == []
        return
    assert [(a["data-poll"], a["data-state"], a["data-here"]) for a in live] == [("/w/1/status.json", state, "/w/1")]
    by_itself = "<noscript><meta http-equiv=" in html
    assert by_itself is (page != "fail"), "without a script a page comes up again by itself, but never one with a form"
    if page == "fail":
        assert '<noscript><p class="hint"><a href="/w/1">' in html


@each_theme
@pytest.mark.parametrize("state", LIVE["wait"])
def test_a_waiting_page_keeps_still_for_who_wants_to_read(theme: Path, state: str) -> None:
    assert '<noscript><p class="hint"><a href="/w/1?still=1">' in _render(theme, "wait", "en", state=state)
    html = _render(theme, "wait", "en", state=state, still=True)
    assert "http-equiv" not in html
    assert '<a href="/w/1">' in html
    assert '<details class="card">' not in html, "all is unfolded"


@each_theme
def test_what_the_router_says_against_it_takes_back_the_claim_to_connect(theme: Path) -> None:
    assert "We are connecting you." in _render(theme, "paid", "en")
    html = _render(theme, "paid", "en", notice="This code is for another device", by_itself=False)
    assert "<h1>You have paid</h1>" in html
    assert "connecting you" not in html
    assert "Connecting to the Wi-Fi" not in html
    assert 'href="/w/1/go"' in html


@each_theme
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("state", ["looking", "unknown", "not_ours", "used", "found"])
def test_a_page_of_a_claim_goes_on_by_itself_while_it_is_open(theme: Path, state: str, locale: str) -> None:
    html = _render(theme, "claimed", locale, claim=MappingProxyType(_CLAIM | {"state": state}))
    live = [attributes["data-state"] for _tag, attributes in Page(html).tags if "data-poll" in attributes]
    is_open = state in {"looking", "unknown", "not_ours"}
    assert live == ([state] if is_open else [])
    assert ("<noscript><meta http-equiv=" in html) is is_open
    assert "<i>hour" not in html


@each_theme
def test_without_a_help_phone_there_is_no_empty_link(theme: Path) -> None:
    for page in PAGES:
        assert "tel:" not in _render(theme, page, "sw", help_phone=None).replace('type="tel', "")


@each_theme
def test_a_theme_overrides_only_what_it_may(theme: Path) -> None:
    for path in sorted(theme.glob("templates/*.html")):
        text = path.read_text()
        assert f'{{% extends "_base/{path.name}" %}}' in text
        assert set(re.findall(r"{%-? block (\w+)", text)) <= OVERRIDABLE
