"""What gunicorn hands to the application, and what it must not."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from flask import Flask
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from tests.stack import ROOT
from tests.world import STAFF_HOST, World


def _parse(request: bytes) -> Any:
    config, known = Config(), Config().settings
    for name, value in runpy.run_path(str(ROOT / "config/gunicorn.py")).items():
        if name in known:
            config.set(name, value)
    return next(RequestParser(config, iter([request]), ("127.0.0.1", 40000)))


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
