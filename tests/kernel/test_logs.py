"""Nothing that must not be read gets into a log line or to Sentry."""

from __future__ import annotations

import json
import logging

import pytest
from flask import Flask

from tests.browser_client import Browser
from tests.world import CONSOLE_HOST, World
from wavu.logs import HIDDEN, redact, scrub
from wavu.web.flask_app import WavuFlask

SECRETS = {
    "password": "hunter2", "Authorization": "Bearer abc", "consumer_secret": "s3cr3t", "csrf_token": "tok",
    "passkey": "pk", "pin": "1234", "api_key": "k", "recovery_code": "ABCD", "totp_sealed": "xx", "set_cookie": "c",
}  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_by_name(name: str) -> None:
    assert redact({"deep": [{name: SECRETS[name]}]}) == {"deep": [{name: HIDDEN}]}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("paid by 254712345678 today", "paid by 2547••••678 today"),
        ("call +254712345678", "call 2547••••678"),
        ("0712345678", "0712••••678"),
        ("ws_CO_21072024125243250722943992 unknown", f"ws_CO_{HIDDEN} unknown"),
        ("/h/" + "ab" * 32, f"/h/{HIDDEN}"),
        ("postgresql://wavu_app:hunter2@db/wavu", f"postgresql://wavu_app:{HIDDEN}@db/wavu"),
        ("row 01a20df5-e9d6-707d-a13e-cc1cd95e2974", "row 01a20df5-e9d6-707d-a13e-cc1cd95e2974"),
        ("amount 150000 at 20260101120000", "amount 150000 at 20260101120000"),
    ],
)
def test_by_look(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_numbers_and_flags_stay() -> None:
    assert redact({"token_count": 3, "has_password": True}) == {"token_count": 3, "has_password": True}


def test_a_redis_that_is_away_is_no_error(web_app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    rq = logging.getLogger("rq.worker")
    rq.error("Worker %s: could not connect to Redis instance: %s retrying in %d seconds...", "w", "refused", 2)
    rq.error("Worker %s: something else", "w")
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_sentry_gets_no_body_no_cookie_and_no_person() -> None:
    event = scrub(
        {
            "request": {"url": "https://x/reset/" + "ab" * 32, "cookies": {"a": "b"}, "data": {"pin": "1234"}},
            "extra": {"phone": "+254712345678", "password": "hunter2"},
        },
        {},
    )
    everything = json.dumps(event)
    for leaked in ("hunter2", "712345678", "1234", "abab", '"b"'):
        assert leaked not in everything


def test_a_failing_request_leaks_nothing(world: World, app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(app, WavuFlask)
    browser = Browser(app)
    caplog.set_level(logging.DEBUG)
    browser.get(CONSOLE_HOST, "/sign-in")
    browser.post(CONSOLE_HOST, "/sign-in", {"email": "canary@leak.test", "password": "canary-password-9"})
    browser.get(CONSOLE_HOST, "/reset/" + "cafe" * 16)
    for record in caplog.records:
        assert "canary" not in record.getMessage()
        assert "cafecafe" not in record.getMessage()
