"""Secrets open where they were sealed and nowhere else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from tenants.network import Router, find_nas
from tests.browser_client import Browser
from tests.world import STAFF_HOST, World
from wavu import clock, vault
from wavu.accounts import second_factor
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, tenant_scope
from wavu.vault import CannotOpen, Vault, VaultKey
from workers.manage import add_commands


def _router(world: World) -> Router:
    found = find_nas(world.a.nas_address)
    assert found is not None
    return found


def test_the_database_holds_no_secret_in_clear(world: World) -> None:
    with tenant_scope(world.a.id), transaction():
        router = _router(world)
        assert router.secret == world.a.nas_secret
        assert world.a.nas_secret.encode() not in router.secret_sealed
        first = router.secret_sealed
        router.secret = world.a.nas_secret
        assert router.secret_sealed != first, "sealed anew each time"


def test_a_value_opens_in_its_own_place_only(world: World) -> None:
    with tenant_scope(world.a.id), transaction():
        router = _router(world)
        sealed, row = router.secret_sealed, router.id
        assert vault.open_sealed("router", "secret_sealed", row, sealed) == world.a.nas_secret
        for table, column, place in (
            ("credential", "secret_sealed", row),
            ("router", "name", row),
            ("router", "secret_sealed", world.b.router_id),
        ):
            with pytest.raises(CannotOpen):
                vault.open_sealed(table, column, place, sealed)
        for at in (0, 5, 20, len(sealed) - 1):
            changed = bytearray(sealed)
            changed[at] ^= 1
            with pytest.raises(CannotOpen):
                vault.open_sealed("router", "secret_sealed", row, bytes(changed))
    with tenant_scope(world.b.id), transaction(), pytest.raises(CannotOpen):
        vault.open_sealed("router", "secret_sealed", row, sealed)


def test_a_transaction_asks_for_a_key_once_and_the_next_one_anew(world: World, statements: list[str]) -> None:
    for _ in range(2):
        with tenant_scope(world.a.id), transaction():
            router = _router(world)
            statements.clear()
            assert router.secret == router.secret == world.a.nas_secret
            assert sum("vault_key" in statement for statement in statements) == 1
    with tenant_scope(world.a.id), transaction():
        router = _router(world)
        assert router.secret == world.a.nas_secret
        db.session.execute(text("DELETE FROM vault_key"))
    with tenant_scope(world.a.id), transaction(), pytest.raises(CannotOpen, match="gone"):
        _ = _router(world).secret


def test_keys_are_rotated_by_command_and_the_old_ones_can_be_dropped(world: World, app: Flask) -> None:
    add_commands(app)
    old, new = b"A" * 32, b"B" * 32
    before = app.extensions["vault"]
    app.extensions["vault"] = Vault({1: old, 2: new})
    try:
        runner = app.test_cli_runner()
        result = runner.invoke(args=["vault", "rewrap"])
        assert result.exit_code == 0, result.output
        assert "3 data keys" in result.output
        app.extensions["vault"] = Vault({2: new})
        with tenant_scope(world.a.id), transaction():
            assert _router(world).secret == world.a.nas_secret
            sealed = _router(world).secret_sealed
        result = runner.invoke(args=["vault", "rotate"])
        assert result.exit_code == 0, result.output
        with tenant_scope(world.a.id), transaction():
            assert _router(world).secret == world.a.nas_secret
            assert _router(world).secret_sealed != sealed
            assert sorted(db.session.scalars(select(VaultKey.version))) == [1, 2], "the old one still opens"
            assert vault.forget_old_keys(clock.now() - timedelta(days=3)) == 0, "only just replaced"
            later = clock.now() + timedelta(minutes=1)
            assert vault.forget_old_keys(later) == 1
            assert _router(world).secret == world.a.nas_secret
        with tenant_scope(PLATFORM_ID), transaction():
            assert second_factor.credential_of(world.admin.id).totp == world.admin_totp
        app.extensions["vault"] = Vault({1: old})
        with tenant_scope(world.a.id), transaction(), pytest.raises(CannotOpen, match="VAULT_KEYS has no key 2"):
            _ = _router(world).secret
        assert runner.invoke(args=["check-audit"]).exit_code == 0
        assert runner.invoke(args=["check-isolation"]).exit_code == 0
    finally:
        app.extensions["vault"] = before


def test_without_its_keys_a_tenants_secrets_are_gone(world: World, app: Flask) -> None:
    with tenant_scope(world.a.id), transaction():
        db.session.execute(text("DELETE FROM vault_key"))
    app.extensions["vault"] = Vault({1: b"A" * 32})
    with tenant_scope(world.a.id), transaction(), pytest.raises(CannotOpen):
        _ = _router(world).secret


def test_two_first_secrets_at_once_make_one_key(world: World) -> None:
    with tenant_scope(world.a.id):
        with transaction():
            assert db.session.scalar(select(func.count()).select_from(VaultKey)) == 1
        with pytest.raises(IntegrityError), transaction():
            db.session.add(VaultKey(version=1, kek=1, wrapped=b"x"))
            db.session.flush()


def test_the_first_administrator_is_made_by_command(app: Flask) -> None:
    if "add-admin" not in app.cli.commands:
        add_commands(app)
    runner = app.test_cli_runner()
    weak = runner.invoke(args=["add-admin", "first@wavu.test", "First", "--password", "password12"])
    assert weak.exit_code == 1
    assert "too easy" in weak.output
    unseen = runner.invoke(
        args=["add-admin", "first@wavu.test", "Fir\u202est", "--password", "three unrelated giraffes"]
    )
    assert "cannot be shown" in unseen.output
    good = ["add-admin", "First@wavu.test", "First", "--password", "three unrelated giraffes"]
    assert "https://staff.wavu.test" in runner.invoke(args=good).output
    assert "already in the team" in runner.invoke(args=good).output
    browser = Browser(app)
    browser.get(STAFF_HOST, "/sign-in")
    response = browser.post(
        STAFF_HOST, "/sign-in", {"email": "first@wavu.test", "password": "three unrelated giraffes"}
    )
    assert response.location == "/second-factor"
