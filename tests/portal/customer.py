"""Somebody with a phone at a hotspot: opens the portal, fills in its form, follows where it leads."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from werkzeug.test import TestResponse

from tests.browser_client import Browser
from tests.portal.counter import PHONE, Counter
from tests.world import Isp


class Customer:
    def __init__(self, browser: Browser, counter: Counter) -> None:
        self.browser, self.counter = browser, counter

    def opens(self, isp: Isp, language: str | None = None, **changes: str) -> TestResponse:
        """Comes through the ISP's router."""
        arguments = self.counter.arrive(isp, **changes) | ({"lang": language} if language else {})
        return self.browser.get(isp.host, f"/?{urlencode(arguments)}")

    def form(self) -> dict[str, str]:
        """The pay form of the page in front, as it stands."""
        fields = self.browser.page.select("form[data-pay] input")
        return {
            str(field["name"]): str(field["value"])
            for field in fields
            if field.get("type") != "radio" or field.has_attr("checked")
        }

    def pays(self, isp: Isp, phone: str = PHONE, **changes: Any) -> TestResponse:
        """Presses the button."""
        (form,) = self.browser.page.select("form[data-pay]")
        return self.browser.post(isp.host, str(form["action"]), self.form() | {"phone": phone} | changes)

    def refused(self, isp: Isp, phone: str = PHONE, **changes: Any) -> TestResponse:
        """Presses the button and is led back to the shop, which says why."""
        return self.follows(isp, self.pays(isp, phone, **changes))

    def follows(self, isp: Isp, response: TestResponse) -> TestResponse:
        assert response.status_code == 303, response.text
        assert (response.location or "").startswith("/?"), response.location
        page = self.browser.get(isp.host, response.location or "")
        assert page.status_code == 200
        return page

    def buys(self, isp: Isp, language: str | None = None, phone: str = PHONE, **changes: str) -> str:
        """Opens the portal and pays; returns the purchase's nonce."""
        self.opens(isp, language, **changes)
        return nonce_of(self.pays(isp, phone))

    def looks(self, isp: Isp, nonce: str, language: str = "en", rest: str = "") -> TestResponse:
        return self.browser.get(isp.host, f"/w/{nonce}?lang={language}{rest}")

    def state(self, isp: Isp, nonce: str) -> str:
        answer = self.browser.get(isp.host, f"/w/{nonce}/status.json").get_json()
        return str(answer["state"])

    @property
    def text(self) -> str:
        return self.browser.text.replace("\N{NO-BREAK SPACE}", " ")


def nonce_of(response: TestResponse) -> str:
    assert response.status_code == 303, response.text
    found = re.fullmatch(r"/w/([0-9a-f]{32})(\?lang=(en|sw))?", response.location or "")
    assert found, response.location
    return found[1]
