"""A host name decides which face answers, and whose."""

from __future__ import annotations

from uuid import uuid4

import pytest
from flask import Flask

from tests.browser_client import Browser
from tests.world import CONSOLE_HOST, STAFF_HOST, World
from wavu import tenancy
from wavu.db import transaction
from wavu.tenancy import PLATFORM_ID, NameKind, tenant_scope
from wavu.web.security import flood


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "localhost", "isp-c.wavu.test", "wavu.test.evil.example", "isp-a.wavu.test.", ""],
)
def test_an_unknown_host_gets_a_plain_421(world: World, browser: Browser, host: str) -> None:
    response = browser.get("wavu.test", headers={"Host": host})
    if host == "isp-a.wavu.test.":
        assert response.status_code == 200  # the same name, written with its final dot
        return
    assert (response.status_code, response.mimetype) == (421, "text/plain")
    assert "Set-Cookie" not in response.headers
    assert "wavu" not in response.text.lower()


def test_each_portal_answers_in_its_own_colours(world: World, browser: Browser) -> None:
    pages = {isp.host: browser.get(isp.host) for isp in (world.a, world.b)}
    assert {page.status_code for page in pages.values()} == {200}
    assert "#001010" in pages[world.a.host].text
    assert "#001010" not in pages[world.b.host].text
    assert world.a.name in pages[world.a.host].text
    assert world.a.name not in pages[world.b.host].text


def test_a_portal_asks_the_database_little(world: World, browser: Browser, statements: list[str]) -> None:
    browser.get(world.a.host)
    statements.clear()
    assert browser.get(world.a.host).status_code == 200
    assert len([sql for sql in statements if sql.startswith("SELECT")]) <= 3


def test_a_custom_host_answers_and_stops_answering(world: World, app: Flask, browser: Browser) -> None:
    with tenant_scope(world.a.id), transaction():
        tenancy.claim(NameKind.HOST, "wifi.café.example")
    page = browser.get("wifi.xn--caf-dma.example")
    assert world.a.name in page.text
    with tenant_scope(world.a.id), transaction():
        tenancy.release(NameKind.HOST, "wifi.café.example")
    app.hosts._portals.clear()  # type: ignore[attr-defined]
    assert browser.get("wifi.xn--caf-dma.example").status_code == 421


def test_a_forwarded_host_is_not_believed(world: World, browser: Browser) -> None:
    headers = {"X-Forwarded-Host": world.b.host, "Forwarded": f"host={world.b.host}"}
    assert world.a.name in browser.get(world.a.host, headers=headers).text


def test_a_suspended_isp_says_so_to_customers_and_why_to_its_team(world: World, browser: Browser) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    with tenant_scope(PLATFORM_ID), transaction():
        tenancy.suspend(world.a.id, "Unpaid since May")
    portal = browser.get(world.a.host)
    assert portal.status_code == 403
    assert "Unpaid" not in portal.text
    console = browser.get(CONSOLE_HOST)
    assert (console.status_code, "Unpaid since May" in console.text) == (403, True)
    assert browser.get(world.b.host).status_code == 200
    with tenant_scope(PLATFORM_ID), transaction():
        tenancy.resume(world.a.id)
    assert browser.get(world.a.host).status_code == 200
    assert browser.get(CONSOLE_HOST).status_code == 200


@pytest.mark.parametrize("host", [CONSOLE_HOST, STAFF_HOST, "isp-a.wavu.test"])
def test_every_page_carries_its_shield(world: World, browser: Browser, host: str) -> None:
    response = browser.get(host, "/sign-in" if "isp" not in host else "/")
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert policy.startswith("default-src 'none'")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Strict-Transport-Security"]
    assert response.headers["Cache-Control"] == "private, no-store"


def test_static_files_are_kept_for_ever_under_their_fingerprint(world: World, browser: Browser) -> None:
    browser.get(CONSOLE_HOST, "/sign-in")
    sheets = [str(link["href"]) for link in browser.page.find_all("link", rel="stylesheet")]
    assert len(sheets) == 2
    for sheet in sheets:
        response = browser.get(CONSOLE_HOST, sheet, headers={"Accept-Encoding": "gzip"})
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["Content-Encoding"] == "gzip"
    stale = browser.get(CONSOLE_HOST, "/assets/0000000000000000/console.css")
    assert (stale.status_code, stale.headers["Cache-Control"]) == (200, "public, max-age=60")


def test_languages(world: World, browser: Browser) -> None:
    assert browser.get(world.a.host).text.count('lang="en"')
    assert '<html lang="sw">' in browser.get(world.a.host, "/?lang=sw").text
    assert '<html lang="sw">' in browser.get(world.a.host).text
    assert '<html lang="en">' in browser.get(world.b.host).text
    assert (
        '<html lang="sw">'
        in Browser(browser.client.application)
        .get(world.b.host, headers={"Accept-Language": "sw-KE,sw;q=0.9,en;q=0.5"})
        .text
    )


@pytest.mark.parametrize("path", ["/no-such-page", "/team/x", "/assets/none.css"])
@pytest.mark.parametrize("team", ["staff", "isp"])
def test_who_is_signed_in_finds_the_way_back_from_a_page_that_is_not_there(
    world: World, browser: Browser, path: str, team: str
) -> None:
    if team == "staff":
        host, someone, entry, brand = STAFF_HOST, world.admin, "ISPs", "Wavu"
    else:
        host, someone, entry, brand = CONSOLE_HOST, world.a.owner, "Team", world.a.name
    browser.sign_in(host, someone, world)
    assert browser.get(host, path).status_code == 404
    nav = browser.page.find("nav", {"class": "nav"})
    assert nav is not None
    assert entry in nav.get_text(" ")
    assert someone.email in browser.text
    assert browser.page.find("a", {"class": "button"}, href="/") is not None
    title = browser.page.title
    assert title is not None
    assert path.startswith("/assets") or brand in title.get_text()


def test_an_address_that_floods_a_host_is_told_to_wait_there_and_not_elsewhere(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flood, "limits", {7200: 3})
    flooder = {"REMOTE_ADDR": "198.51.100.99"}
    answers = [browser.get(world.a.host, environ_base=flooder) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[3].headers["Retry-After"]) <= 7200
    assert browser.get(world.b.host, environ_base=flooder).status_code == 200
    assert browser.get(world.a.host, environ_base={"REMOTE_ADDR": "198.51.100.98"}).status_code == 200


def test_what_is_not_there_names_nobody_to_a_stranger_and_nothing_forbidden_to_a_colleague(
    world: World, browser: Browser
) -> None:
    assert browser.get(CONSOLE_HOST, "/no-such-page").status_code == 404
    assert browser.page.find("nav", {"class": "nav"}) is None
    assert "Wavu" in browser.page.title.get_text()  # type: ignore[union-attr]
    browser.sign_in(CONSOLE_HOST, world.a.owner)
    for page in (f"/team/invitations/{uuid4()}/revoke", "/no-such-page"):
        browser.post(CONSOLE_HOST, page)
        assert world.b.name not in browser.text


def test_an_error_page_whose_frame_breaks_is_the_plain_one(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch, app: Flask
) -> None:
    browser.sign_in(CONSOLE_HOST, world.a.owner)

    def broken() -> str:
        raise ZeroDivisionError

    monkeypatch.setitem(app.jinja_env.globals, "csrf", broken)
    app.jinja_env.cache.clear()  # type: ignore[union-attr]
    response = browser.get(CONSOLE_HOST, "/no-such-page")
    app.jinja_env.cache.clear()  # type: ignore[union-attr]
    assert response.status_code == 404
    assert "Nothing here" in response.text
