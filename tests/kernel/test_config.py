"""A configuration is right, or every one of its faults is named at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config import ConfigurationError, load
from tests.stack import ROOT

GOOD = {
    "DATABASE_URL": "postgresql://wavu_app:pw@db/wavu",
    "RELAY_DATABASE_URL": "postgresql://wavu_relay:pw@db/wavu",
    "REDIS_URL": "redis://cache:6379/0",
    "SECRET_KEY": "not a secret but long enough for one",
    "VAULT_KEYS": "1:" + "QUFC" * 10 + "QUE=",
    "PLATFORM_DOMAIN": "wavu.co.ke",
    "SMTP_URL": "smtps://user:pw@mail:465",
    "MAIL_FROM": "hello@wavu.co.ke",
    "RADIUS_HEALTH_SECRET": "h" * 16,
    "SPOOL_DIR": "/var/lib/wavu/spool",
}


def _faults(**changes: str | None) -> list[str]:
    environ = {name: value for name, value in (GOOD | changes).items() if value is not None}
    with pytest.raises(ConfigurationError) as caught:
        load(environ)
    return caught.value.faults


def test_a_good_configuration() -> None:
    settings = load(GOOD)
    assert settings.wavu_env == "production"
    assert settings.secure
    assert settings.origin("pendo.wavu.co.ke") == "https://pendo.wavu.co.ke"
    assert "pw" not in repr(settings)
    assert "QUFC" not in repr(settings)


def test_all_faults_at_once() -> None:
    faults = _faults(
        DATABASE_URL=None, SECRET_KEY=None, VAULT_KEYS="1:short", REDIS_URL="cache", PLATFORM_DOMAIN="localhost",
        SMTP_URL="mail", PUBLIC_SCHEME="ftp", RADIUS_AUTH_PORT="radius", PROXY_HOPS="9", WAVU_ENV="staging",
    )  # fmt: skip
    named = [fault.partition(":")[0] for fault in faults]
    assert sorted(named) == sorted(
        ["DATABASE_URL", "SECRET_KEY", "VAULT_KEYS", "REDIS_URL", "PLATFORM_DOMAIN", "SMTP_URL", "PUBLIC_SCHEME",
         "RADIUS_AUTH_PORT", "PROXY_HOPS", "WAVU_ENV"]
    )  # fmt: skip
    assert all(len(fault) > len(fault.partition(":")[0]) + 5 for fault in faults)


def test_what_production_does_not_allow() -> None:
    faults = _faults(
        PUBLIC_SCHEME="http", SECRET_KEY="short", RADIUS_HEALTH_SECRET="short", PLATFORM_DOMAIN="wavu.localhost",
        SPOOL_DIR="spool",
    )  # fmt: skip
    assert len(faults) == 5
    for name in ("DARAJA_REHEARSAL_URL", "AIRTEL_REHEARSAL_URL"):
        (simulated,) = _faults(**{name: "http://127.0.0.1:8100"})
        assert simulated.startswith(name)
        assert "rehearsal" in simulated
    assert load(GOOD | {"WAVU_ENV": "rehearsal", "PUBLIC_SCHEME": "http", "PLATFORM_DOMAIN": "wavu.localhost"})


def test_faults_of_every_kind_at_once() -> None:
    faults = _faults(
        REDIS_URL="cache", MAIL_FROM=None, RADIUS_AUTH_PORT="radius", PUBLIC_SCHEME="http", SECRET_KEY="short",
        DATABASE_URL="postgresql://wavu_owner:pw@db/wavu", SPOOL_DIR=None, RADIUS_HEALTH_SECRET="short",
        PLATFORM_DOMAIN="wavu.test", DARAJA_REHEARSAL_URL="http://127.0.0.1:8100",
    )  # fmt: skip
    named = {fault.partition(":")[0] for fault in faults}
    assert named == {
        "REDIS_URL", "MAIL_FROM", "RADIUS_AUTH_PORT", "PUBLIC_SCHEME", "SECRET_KEY", "DATABASE_URL", "SPOOL_DIR",
        "RADIUS_HEALTH_SECRET", "PLATFORM_DOMAIN", "DARAJA_REHEARSAL_URL",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAIL_FROM", "notmail"),
        ("SENTRY_DSN", "garbage"),
        ("RADIUS_BIND", "not-an-ip"),
        ("DARAJA_PRODUCTION_URL", "junk"),
        ("RADIUS_ACCT_PORT", "1812"),
        ("RELAY_DATABASE_URL", "postgresql://wavu_relay:pw@db/another"),
        ("DATABASE_URL", "postgresql://db/wavu"),
        ("MAIL_FROM", "hello@wavu.co.ke\nBcc: all@wavu.co.ke"),
        ("MAIL_FROM", "hello@wavu.co.ke, all@wavu.co.ke"),
        ("MAIL_FROM", "Wavu <>"),
        ("REDIS_URL", "redis://cache:6379/main"),
        ("REDIS_URL", "unix:///run/valkey.sock?db=main"),
        ("DARAJA_CALLBACK_ADDRESSES", "196.201.214.200,safaricom"),
        ("DARAJA_CALLBACK_ADDRESSES", "196.201.214.0/24"),
        ("DARAJA_PRODUCTION_URL", "http://api.safaricom.co.ke"),
        ("DARAJA_PRODUCTION_URL", "https://127.0.0.1:8100"),
        ("AIRTEL_PRODUCTION_URL", "https://[::1]"),
        ("AIRTEL_PRODUCTION_URL", "https://airtel.localhost."),
        ("PLATFORM_DOMAIN", "196.201.214.200"),
        ("SECRET_KEY", "k" * 32),
        ("VAULT_KEYS", "1:" + "QUFB" * 10 + "QUE="),
        ("WEB_WORKERS", "many"),
        ("PORT", "70000"),
    ],
)
def test_nonsense_is_named(name: str, value: str) -> None:
    (fault,) = _faults(**{name: value})
    assert fault.startswith(f"{name}:")


@pytest.mark.parametrize("path", ["", "/"])
def test_a_database_has_a_name(path: str) -> None:
    roles = {name: f"postgresql://wavu_{role}:pw@db{path}" for name, role in
             (("DATABASE_URL", "app"), ("RELAY_DATABASE_URL", "relay"))}  # fmt: skip
    assert [fault.partition(". ")[0] for fault in _faults(**roles)] == [f"{name}: names no database" for name in roles]


def test_what_only_production_refuses() -> None:
    elsewhere = {
        "WAVU_ENV": "test", "PLATFORM_DOMAIN": "127.0.0.1", "SECRET_KEY": "k",
        "VAULT_KEYS": "1:" + "QUFB" * 10 + "QUE=", "DARAJA_PRODUCTION_URL": "http://127.0.0.1:8100",
    }  # fmt: skip
    assert load(GOOD | elsewhere)
    assert {fault.partition(":")[0] for fault in _faults(**elsewhere | {"WAVU_ENV": "production"})} == {*elsewhere} - {
        "WAVU_ENV"
    }


@pytest.mark.parametrize("user", ["wavu_owner", "postgres", "wavu_admin", "wavu_backup"])
@pytest.mark.parametrize("setting", ["DATABASE_URL", "RELAY_DATABASE_URL"])
def test_a_privileged_role_is_refused_by_name(setting: str, user: str) -> None:
    (fault,) = _faults(**{setting: f"postgresql://{user}:pw@db/wavu"})
    assert "row-level security" in fault


def test_the_relay_has_a_role_of_its_own() -> None:
    (fault,) = _faults(RELAY_DATABASE_URL=GOOD["DATABASE_URL"])
    assert "wavu_relay" in fault


def test_values_are_not_echoed() -> None:
    for name in GOOD:
        for fault in _faults(**{name: "hunter2-leaked"}, WAVU_ENV="nowhere"):
            assert "hunter2" not in fault


@pytest.mark.parametrize("module", ["wsgi", "workers.runtime", "workers.relay", "workers.radius"])
def test_every_process_says_so_and_ends(module: str) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "10 fault(s)" in done.stderr
    assert "Traceback" not in done.stderr


def test_redis_may_be_a_socket() -> None:
    assert load(GOOD | {"REDIS_URL": "unix:///run/valkey/valkey.sock?db=0"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SECRET_KEY": " " * 40}, "SECRET_KEY: needs at least 32 characters"),
        ({"DATABASE_URL": "postgresql://wavu_report:x@db/wavu"}, "DATABASE_URL: connects as wavu_report."),
        (
            {"DATABASE_URL": "postgresql://wavu%5Fowner:x@db/wavu"},
            "DATABASE_URL: connects as wavu_owner, which",
        ),
        ({"REDIS_URL": "redis://[bad"}, "REDIS_URL: is not a URL of the form"),
    ],
)
def test_what_hides_is_found(changes: dict[str, str], said: str) -> None:
    assert any(fault.startswith(said) for fault in _faults(**changes)), _faults(**changes)
