"""Someone at a browser. `look` holds the page in front of them against everything that every page must keep.

Set BROWSER_SHOTS to a folder to have a picture of each page that is looked at, in each size and mode.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.browser.site import Site
from tests.world import PASSWORD
from wavu import clock

PHONE, LAPTOP, NARROWEST = (360, 740), (1366, 768), (320, 740)
MODES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SHOTS = os.environ.get("BROWSER_SHOTS")


class Budget(NamedTuple):
    """What a first visit may cost, in requests and in bytes over the wire."""

    requests: int
    bytes: int


PORTAL, CONSOLE = Budget(4, 30 * 1024), Budget(12, 120 * 1024)

_AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_FIND_VIOLATIONS = """async tags => (await axe.run(document, {runOnly: tags, resultTypes: ["violations"]})).violations
  .map(found => `${found.id}: ${found.nodes.map(node => node.target + " (" + node.failureSummary + ")").join("; ")}`)"""
_WIDER = """() => {
  const page = document.documentElement, wide = [...document.querySelectorAll("body *")]
    .filter(element => element.getBoundingClientRect().right > page.clientWidth)
    .map(element => `${element.localName}.${element.getAttribute("class") || ""}`);
  return page.scrollWidth <= page.clientWidth ? [] : wide.length ? wide : ["a text"];
}"""
# What a thumb must hit. Links in running text and the small buttons of lists need 24 px only, which axe measures.
_TOO_SMALL = """[...document.querySelectorAll(".button:not(.small), .nav a, input, select, textarea, summary, .lang")]
  .filter(element => element.checkVisibility({visibilityProperty: true}) && !element.closest(".visually-hidden, .check")
    && element.type !== "hidden" && !element.classList.contains("visually-hidden"))
  .map(element => [element.outerHTML.slice(0, 80), element.getBoundingClientRect().height])
  .filter(([_, height]) => height > 0 && height < 43.5).map(([html, height]) => `${html} is ${height} px high`)"""
_OUTLINE = """() => ({h1: document.querySelectorAll("h1").length, title: document.title,
  lang: document.documentElement.lang, dead: [...document.querySelectorAll("[data-needs-script]")]
    .filter(element => element.checkVisibility()).length})"""


class _Traffic:
    """What a page and the loads before it fetched. A redirect counts as a part of the load that it leads to."""

    def __init__(self, page: Page) -> None:
        self._requests: dict[str, list[str]] = defaultdict(list)
        self._bytes: dict[str, float] = defaultdict(float)
        self._load_of: dict[str, str] = {}
        self._on_the_way: set[str] = set()
        self._last = ""
        wire = page.context.new_cdp_session(page)
        wire.on("Network.requestWillBeSent", self._sent)
        wire.on("Network.loadingFinished", self._finished)
        wire.on("Network.loadingFailed", lambda event: self._on_the_way.discard(event["requestId"]))
        wire.send("Network.enable")
        wire.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _sent(self, event: dict[str, Any]) -> None:
        if event["request"]["url"].startswith("data:"):
            return
        load = event["loaderId"]
        self._load_of[event["requestId"]] = load
        self._on_the_way.add(event["requestId"])
        self._requests[load].append(event["request"]["url"])
        if event.get("type") == "Document":
            self._last = load

    def _finished(self, event: dict[str, Any]) -> None:
        self._bytes[self._load_of.get(event["requestId"], "")] += event["encodedDataLength"]
        self._on_the_way.discard(event["requestId"])

    def settle(self, page: Page) -> None:
        """The browser tells of the last answers a moment after it has shown them."""
        for _ in range(100):
            if self._last and not self._on_the_way:
                return
            page.wait_for_timeout(20)

    @property
    def requests(self) -> list[str]:
        """The addresses that the page in front of us took."""
        return self._requests[self._last]

    @property
    def bytes(self) -> int:
        return int(self._bytes[self._last])


class Visitor:
    """One person in one browser of their own."""

    def __init__(self, site: Site, context: BrowserContext, *, script: bool, budget: Budget) -> None:
        self.site, self.script, self.budget = site, script, budget
        self.page = context.new_page()
        self.faults: list[str] = []
        self._said: list[str] = []
        self._traffic = _Traffic(self.page)
        self._status = 0
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._said.append(f"error in a script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._note_status)

    def _hear(self, message: ConsoleMessage) -> None:
        page_itself = message.location["url"] == self.page.url and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not page_itself:
            self._said.append(f"console: {message.text} ({message.location['url']})")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # which is what leaving a page does to its last loads
            self._said.append(f"no answer: {request.url}: {request.failure}")

    def _note_status(self, response: Any) -> None:
        if response.request.is_navigation_request() and response.frame == self.page.main_frame:
            self._status = response.status

    # -- doing

    def go(self, host: str, path: str = "/") -> None:
        self.page.goto(self.site.url(host, path))

    def fill(self, **values: str) -> None:
        """Fills in fields by their names."""
        for name, value in values.items():
            self.page.locator(f"[name={name}]:visible").fill(value)

    def press(self, name: str, within: str = "main") -> None:
        """Presses a button and waits for the page that comes of it."""
        with self.page.expect_navigation():
            self.tap(name, within)

    def tap(self, name: str, within: str = "main") -> None:
        """Presses a button that leads to no other page."""
        self.page.locator(within).get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str, within: str = "body") -> None:
        """Follows a link and waits for the page behind it."""
        with self.page.expect_navigation():
            self.page.locator(within).get_by_role("link", name=name, exact=True).first.click()

    def sign_in(self, host: str, email: str, *, secret: str | None = None, ahead: int = 0) -> None:
        """With the password of the test world, and a code where there is a `secret`; `ahead`: see code()."""
        self.go(host, "/sign-in")
        self.fill(email=email, password=PASSWORD)
        self.press("Sign in")
        if secret:
            self.fill(code=code(secret, ahead))
            self.press("Continue")

    def open_menu(self) -> None:
        self.page.locator("details.menu > summary").click()

    def sign_out(self) -> None:
        self.open_menu()
        self.press("Sign out", within=".menu")

    # -- seeing

    def sees(self, text: str, within: str = "body") -> None:
        """Fails the test when the text does not come up."""
        self.page.locator(within).get_by_text(text).locator("visible=true").first.wait_for(timeout=5000)

    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    def look(self, name: str, *, status: int = 200) -> None:
        """Notes what is wrong with the page in front of us; visit() fails the test with all of it at its end."""
        self.page.wait_for_load_state("load")
        found = [*self._of_outline()]
        if self.script:
            self.page.evaluate(_AXE)
        for size in (PHONE, LAPTOP):
            self.page.set_viewport_size({"width": size[0], "height": size[1]})
            found += self._of_size(size)
            for mode in MODES:
                found += self._of_mode(mode, name, size[0])
        self.page.set_viewport_size({"width": NARROWEST[0], "height": NARROWEST[1]})
        found += self._of_size(NARROWEST)
        found += [*self._of_load(status), *self._said]
        self._said.clear()
        self.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        self.page.emulate_media(color_scheme="light")
        self.faults += [f"{name}: {fault}" for fault in found]

    def _of_load(self, status: int) -> Iterator[str]:
        self._traffic.settle(self.page)
        if self._status != status:
            yield f"status {self._status}, not {status}"
        requests, size, host = self._traffic.requests, self._traffic.bytes, urlsplit(self.page.url).netloc
        if len(requests) > self.budget.requests:
            yield f"{len(requests)} requests, more than {self.budget.requests}: {requests}"
        if size > self.budget.bytes:
            yield f"{size} bytes, more than {self.budget.bytes}"
        if not size:
            yield "no bytes counted"
        if foreign := [url for url in requests if urlsplit(url).netloc != host]:
            yield f"asks other hosts: {foreign}"

    def _of_outline(self) -> Iterator[str]:
        seen = self.page.evaluate(_OUTLINE)
        if seen["h1"] != 1:
            yield f"{seen['h1']} main headings"
        if " · " not in seen["title"] or not re.fullmatch("en|sw", seen["lang"]):
            yield f"title {seen['title']!r}, language {seen['lang']!r}"
        if not self.script and seen["dead"]:
            yield f"{seen['dead']} things that need a script, and there is none"

    def _of_size(self, size: tuple[int, int]) -> Iterator[str]:
        if wide := self.page.evaluate(_WIDER):
            yield f"scrolls sideways at {size[0]} px: {wide}"
        if size[0] != PHONE[0]:
            return
        yield from self.page.evaluate(_TOO_SMALL)
        self.page.evaluate("document.documentElement.style.fontSize = '200%'")
        if wide := self.page.evaluate(_WIDER):
            yield f"scrolls sideways at {size[0]} px with the text twice as large: {wide}"
        self.page.evaluate("document.documentElement.style.fontSize = ''")

    def _of_mode(self, mode: Literal["light", "dark"], name: str, width: int) -> Iterator[str]:
        self.page.emulate_media(color_scheme=mode)
        if self.script:
            yield from (f"{mode}, {width} px: {fault}" for fault in self.page.evaluate(_FIND_VIOLATIONS, _RULES))
        if SHOTS and self.script:
            path = Path(SHOTS) / f"{name.replace(' ', '-').replace('/', '-')}-{width}-{mode}.png"
            self.page.screenshot(path=path, full_page=True)


def code(secret: str, ahead: int = 0) -> str:
    """The second factor's code. A code counts once; the one of the next half minute (`ahead=1`) is taken already."""
    totp = pyotp.TOTP(secret)
    return totp.generate_otp(totp.timecode(clock.now()) + ahead)


@contextmanager
def visit(
    browser: Browser, site: Site, *, script: bool = True, budget: Budget = CONSOLE, language: str = "en-GB"
) -> Iterator[Visitor]:
    """A visitor with a fresh browser on a phone. At the end, fails with everything that their looks found."""
    context = browser.new_context(
        viewport={"width": PHONE[0], "height": PHONE[1]},
        java_script_enabled=script,
        locale=language,
        reduced_motion="reduce",  # a colour on its way to another one has neither's contrast
    )
    context.set_default_timeout(15_000)
    try:
        visitor = Visitor(site, context, script=script, budget=budget)
        yield visitor
        if visitor.faults:
            pytest.fail("\n".join(visitor.faults), pytrace=False)
    finally:
        context.close()
