"""What gunicorn hands to the application, and what it must not."""

from __future__ import annotations

import os
import re
import runpy
import socket
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create

from config import Settings
from rehearsal.servers import free_port
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


def _ask(address: tuple[str, int], request: bytes) -> tuple[str, dict[str, str], str]:
    """The status line, the headers and the body of a real answer."""
    with socket.create_connection(address, timeout=20) as wire:
        wire.sendall(request)
        answer = b""
        while chunk := wire.recv(65536):
            answer += chunk
    head, _, body = answer.decode().partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    return status, dict(header.split(": ", 1) for header in headers), body


def test_what_gunicorn_refuses_is_said_in_our_words(own_database: dict[str, str]) -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "wsgi:app"]
    environ = os.environ | own_database | {
        "PORT": str(free_port()), "WEB_WORKERS": "1", "PYTHONPATH": f"{ROOT}:{ROOT}/platform",
    }  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as web:
        try:
            assert web.stderr is not None
            port = next(int(found[1]) for line in web.stderr if (found := re.search(r"Listening at: .*:(\d+)", line)))
            _refused_in_our_words(("127.0.0.1", port))
        finally:
            web.terminate()
            log = web.communicate(timeout=30)[1]
    assert "unreadable request: LimitRequestLine" in log
    assert "+254712345678" not in log


def _refused_in_our_words(address: tuple[str, int]) -> None:
    tail = b" HTTP/1.1\r\nHost: staff.wavu.test\r\nConnection: close\r\n"
    for status, english, swahili, request in (
        (414, "too long", "ndefu mno", b"GET /?phone=+254712345678&q=" + b"x" * 8_200 + tail + b"\r\n"),
        (414, "too long", "ndefu mno", b"GET /" + b"x" * 60_000 + tail + b"\r\n"),
        (431, "Delete the cookies", "Futa vidakuzi", b"GET /" + tail + b"Cookie: " + b"x" * 9_000 + b"\r\n\r\n"),
        (431, "Delete the cookies", "Futa vidakuzi", b"GET /" + tail + b"A: b\r\n" * 100 + b"\r\n"),
        (400, "not understood", "halikueleweka", b"G@T /<script>" + tail + b"\r\n"),
        (400, "not understood", "halikueleweka", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"),
        (501, "not understood", "halikueleweka", b"POST /" + tail + b"Transfer-Encoding: ours\r\n\r\n"),
    ):
        line, headers, body = _ask(address, request)
        assert line.startswith(f"HTTP/1.1 {status} "), request[:40]
        assert english in body
        assert swahili in body
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert headers["Connection"] == "close"
        assert "xxx" not in body
        assert "<" not in body
    # As long as a router's address with what a phone asked for.
    line, headers, _ = _ask(address, b"GET /sign-in?dst=" + b"x" * 8_000 + tail + b"\r\n")
    assert line == "HTTP/1.1 200 OK", "and goes on"
