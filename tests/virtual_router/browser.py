"""A browser of the tests: keeps cookies, follows nothing by itself."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from bs4 import BeautifulSoup


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def location(self) -> str:
        return self.headers["Location"]

    @property
    def page(self) -> BeautifulSoup:
        return BeautifulSoup(self.text, "html.parser")

    @property
    def words(self) -> str:
        return " ".join(self.page.get_text(" ").split())

    @property
    def refresh(self) -> str:
        """Where the page's meta refresh leads."""
        tag = self.page.select_one("meta[http-equiv=refresh]")
        return str(tag["content"]).partition("url=")[2] if tag else ""


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}


@dataclass
class Browser:
    base: str
    cookies: SimpleCookie = field(default_factory=SimpleCookie)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, headers: dict[str, str] | None = None, /, **form: str) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urlencode(form).encode(), kind | (headers or {}))

    def send(self, verb: str, path: str, body: object = None) -> Answer:
        """JSON to a control API."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.ask(verb, path, content, {"Content-Type": "application/json"})

    def ask(self, verb: str, path: str, body: bytes | None, headers: dict[str, str] | None = None) -> Answer:
        parts = urlsplit(self.base)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        kept = "; ".join(f"{morsel.key}={morsel.value}" for morsel in self.cookies.values())
        try:
            connection.request(verb, path, body, ({"Cookie": kept} if kept else {}) | (headers or {}))
            answer = connection.getresponse()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    self.cookies.load(value)
            return Answer(answer.status, answer.read().decode(), dict(answer.getheaders()))
        finally:
            connection.close()
