"""A browser without a screen: keeps cookies, carries the page's CSRF token, follows what a person would follow."""

from __future__ import annotations

import contextvars
import re
from typing import TYPE_CHECKING, Any

from bs4 import BeautifulSoup
from flask import Flask
from flask.globals import _cv_app
from werkzeug.test import TestResponse

if TYPE_CHECKING:
    from tests.world import Someone, World


def without_tokens(page: str) -> str:
    """A page without its CSRF tokens, which differ from one second to the next."""
    return re.sub(r'(name="csrf_token" value=)"[^"]+"', r"\1", page)


class Browser:
    """`get` and `post` by host and path; `page` is the last page, parsed."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.page = BeautifulSoup("", "html.parser")
        self._tokens: dict[str, str] = {}

    def get(self, host: str, path: str = "/", **options: Any) -> TestResponse:
        return self._seen(host, self._ask("GET", path, base_url=f"https://{host}", **options))

    def post(self, host: str, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Posts a form as a page of this host would: with the CSRF token it last showed, and a Referer."""
        fields = {"csrf_token": self._tokens.get(host, ""), **(data or {})}
        headers = {"Referer": f"https://{host}/", **options.pop("headers", {})}
        return self._seen(
            host, self._ask("POST", path, base_url=f"https://{host}", data=fields, headers=headers, **options)
        )

    def _ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """In a context of its own: a request must not find the application context that the test stands in."""

        def outside() -> TestResponse:
            _cv_app.set(None)  # type: ignore[arg-type]
            return self.client.open(path, method=method, **options)

        return contextvars.copy_context().run(outside)

    def _seen(self, host: str, response: TestResponse) -> TestResponse:
        if response.mimetype == "text/html":
            self.page = BeautifulSoup(response.text, "html.parser")
            if token := self.page.find("input", {"name": "csrf_token"}):
                self._tokens[host] = str(token["value"])
        return response

    @property
    def text(self) -> str:
        return " ".join(self.page.get_text(" ").split())

    def sign_in(self, host: str, someone: Someone, world: World | None = None) -> TestResponse:
        """Signs in with the password of the test world, and with the administrator's code where that is asked for."""
        from tests.world import PASSWORD

        self.get(host, "/sign-in")
        response = self.post(host, "/sign-in", {"email": someone.email, "password": PASSWORD})
        if response.status_code == 302 and response.location == "/sign-in/code" and world is not None:
            self.get(host, "/sign-in/code")
            response = self.post(host, "/sign-in/code", {"code": world.code()})
        assert response.status_code == 302, response.text
        return response
