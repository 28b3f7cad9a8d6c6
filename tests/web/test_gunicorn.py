"""What gunicorn hands to the application, and what it must not."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest
from flask import Flask
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create

from config import Settings
from tests.browser_client import Browser
from tests.stack import ROOT
from tests.world import STAFF_HOST, World
from wavu.surfaces import create_web


def _parse(request: bytes) -> Any:
    config, known = Config(), Config().settings
    for name, value in runpy.run_path(str(ROOT / "config/gunicorn.py")).items():
        if name in known:
            config.set(name, value)
    return next(RequestParser(config, iter([request]), ("127.0.0.1", 40000)))


@pytest.mark.parametrize("stray", ["/x", "x", "/y/z"])
def test_a_stray_script_name_in_the_environment_moves_nothing(monkeypatch: pytest.MonkeyPatch, stray: str) -> None:
    monkeypatch.setenv("SCRIPT_NAME", stray)
    request = _parse(b"GET /x/team HTTP/1.1\r\nHost: a\r\n\r\n")
    _response, environ = create(request, None, ("127.0.0.1", 40000), ("127.0.0.1", 8000), Config())
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/x/team")


def test_a_proxys_header_moves_nothing(settings: Settings, app: Flask, world: World) -> None:
    behind = create_web(settings.model_copy(update={"proxy_hops": 1}))
    prefixes = {"X-Forwarded-Prefix": "/x", "X-Script-Name": "/x", "Script-Name": "/x", "X-Forwarded-Host": "evil.test"}
    browser = Browser(behind)
    browser.get(STAFF_HOST, "/sign-in", headers=prefixes)
    forgot = browser.page.find("a", string=re.compile("Forgot"))
    assert forgot is not None
    assert str(forgot["href"]) == "/forgot"
    assert browser.get(STAFF_HOST, "/", headers=prefixes).location == "/sign-in"


def test_no_header_moves_the_application() -> None:
    request = _parse(b"GET /x HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /x\r\nPATH_INFO: /y\r\n\r\n")
    assert [name for name, _ in request.headers] == ["HOST"]


@pytest.mark.parametrize("body", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhel", b"5", b""])
def test_a_chunked_body_that_makes_no_sense_is_the_senders_fault(
    app: Flask, world: World, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    head = b"POST /sign-in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = app.test_client().post(
        "/sign-in",
        base_url=f"https://{STAFF_HOST}",
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/x-www-form-urlencoded"},
        environ_overrides={"wsgi.input": _parse(head + body).body, "wsgi.input_terminated": True},
    )
    assert response.status_code == 400
    assert "bug" not in capfd.readouterr().err
