"""The gate itself: each fault that it is there for, planted into a page, must be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Route

from tests.browser.site import CONSOLE, PORTAL_A, Site
from tests.browser.visitor import Budget, Visitor, visit

Edit = Callable[[str], str]


def _before(mark: str, more: str) -> Edit:
    return lambda page: page.replace(mark, more + mark, 1)


PLANTED: dict[str, tuple[Edit, str]] = {
    "a script inside the page": (_before("</body>", "<script>window.found = 1</script>"), "Content Security Policy"),
    "a style on an element": (_before("</main>", "<p style='color:red'>x</p>"), "Content Security Policy"),
    "a picture from elsewhere": (_before("</main>", "<img alt='' src='http://cdn.example/x.png'>"), "cdn.example"),
    "a picture that is not there": (_before("</main>", "<img alt='' src='/nothing.png'>"), "404"),
    "a field without a name": (_before("</main>", "<input>"), "label: #main > input"),
    "a picture without words": (
        _before("</main>", "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"),
        "image-alt",
    ),
    "two main headings": (_before("</main>", "<h1>Another</h1>"), "2 main headings"),
    "something too wide": (_before("</main>", f"<pre>{'x' * 60}</pre>"), "scrolls sideways at 320 px"),
    "too small a button": (_before("</main>", "<details><summary>More</summary>x</details>"), "px high"),
    "a page that weighs too much": (_before("</main>", "".join(f"<!--{n}-->" for n in range(90_000))), "bytes, more"),
    "no language": (lambda page: page.replace('lang="en"', "", 1), "language ''"),
}


def _look_at(visitor: Visitor, host: str, edit: Edit) -> str:
    headers, text = visitor.site.fetch(host, "/sign-in")
    del headers["Content-Length"]

    def answer(route: Route) -> None:
        route.fulfill(headers=headers, body=edit(text))

    visitor.page.route(visitor.site.url(host, "/sign-in"), answer)
    visitor.go(host, "/sign-in")
    visitor.look("planted")
    found = "\n".join(visitor.faults)
    visitor.faults.clear()
    return found


@pytest.mark.parametrize("name", PLANTED)
def test_it_finds(chromium: Browser, site: Site, name: str) -> None:
    edit, says = PLANTED[name]
    with visit(chromium, site) as visitor:
        assert says in _look_at(visitor, CONSOLE, edit)


def test_it_finds_nothing_in_a_page_as_it_is(chromium: Browser, site: Site) -> None:
    with visit(chromium, site) as visitor:
        assert _look_at(visitor, CONSOLE, lambda page: page) == ""


def test_it_finds_colours_that_only_the_dark_page_has(chromium: Browser, site: Site) -> None:
    def darken(route: Route) -> None:
        route.fulfill(
            content_type="text/css", body="@media (prefers-color-scheme:dark){:root{--bg:#555;--muted:#666;--ink:#777}}"
        )

    with visit(chromium, site) as visitor:
        visitor.page.route("**/palette-*.css", darken)
        visitor.go(CONSOLE, "/sign-in")
        visitor.look("planted")
        found = [fault for fault in visitor.faults if "color-contrast" in fault]
        visitor.faults.clear()
        assert [fault.split(":")[1] for fault in found] == [" dark, 360 px", " dark, 1366 px"]


def test_it_counts_requests(chromium: Browser, site: Site) -> None:
    with visit(chromium, site, budget=Budget(0, 10)) as visitor:
        visitor.go(PORTAL_A)
        visitor.look("planted")
        found: list[Any] = [fault for fault in visitor.faults if "more than" in fault]
        visitor.faults.clear()
        assert len(found) == 2


def test_it_sees_what_cannot_work_without_a_script(chromium: Browser, site: Site) -> None:
    with visit(chromium, site, script=False) as visitor:
        edit = _before("</main>", "<button data-needs-script>Copy</button>")
        assert "need a script" in _look_at(visitor, CONSOLE, edit)
