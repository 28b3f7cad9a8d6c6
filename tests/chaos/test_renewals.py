"""A worker that is killed while a package renews: whatever the moment, the period is paid once, without a gap."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from config import load
from tenants.checkout import renewals
from tests.checkout.conftest import DAY, Office, open_office
from tests.stack import ROOT
from tests.world import build_world
from wavu import clock
from wavu.db import db, transaction
from wavu.surfaces import create_web
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import settlement

_RUN = """
import os, sys
from config import load
from tenants.checkout import renewals
from wavu.app import create_app
from wavu import failpoint
from workers import runtime
from pathlib import Path
app = create_app(load(os.environ))
failpoint.arm(Path(sys.argv[4]))
runtime.use(app)
runtime.run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""
_CLAIM = b"""
    UPDATE outbox SET attempts = attempts + 1, lease_until = now() + interval '30 s', run_at = now()
    WHERE job = 'renew_package' AND state = 'ready' RETURNING tenant_id, id, attempts"""


class Scene:
    """A's line is paid until a few hours from now and renews itself; so is B's, and nobody kills there."""

    def __init__(self, app: Flask, environ: dict[str, str], admin: psycopg.Connection, folder: Path) -> None:
        self.app, self.environ, self.admin, self.folder = app, environ, admin, folder
        world = build_world(app)
        self.offices = [open_office(app, isp) for isp in (world.a, world.b)]
        for office in self.offices:
            with office.at(clock.now() - timedelta(hours=20)):
                office.pays_in(office.line_id, 13_000)
                office.buys(office.line_id, office.line_day_id)
                office.grants(office.line_id, 1_000)
            with office.at(clock.now()):
                renewals.switch_on(office.line_id, office.line_day_id, by="Asha")
        self.admin.execute(b"DELETE FROM outbox")
        with app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            self.admin.execute(b"UPDATE renewal SET check_at = now() - interval '1 s'")
            settlement.look_after_wallets({})

    def run(self, point: str | None) -> list[int]:
        """Claims what is due and performs it in a process of its own each; how those ended."""
        if point is not None:
            (self.folder / point).touch()
        ended = []
        for tenant_id, row, attempt in self.admin.execute(_CLAIM).fetchall():
            done = subprocess.run(
                [sys.executable, "-c", _RUN, str(tenant_id), str(row), str(attempt), str(self.folder)],
                env=self.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode in {0, -signal.SIGKILL}, done.stderr[-2000:]
            ended.append(done.returncode)
        return ended


@pytest.fixture
def killing(own_database: dict[str, str], servers: Any, tmp_path: Path) -> Iterator[Scene]:
    app = create_web(load(own_database))
    database = own_database["DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(servers.admin(database), autocommit=True) as admin:
        yield Scene(app, own_database, admin, tmp_path)
    with app.app_context():
        db.engine.dispose()


def _renewed(office: Office) -> int:
    return len(office.rights(office.line_id)) - 1


@pytest.mark.parametrize("point", ["renew.before", "renew.after", "renewed.before", "renewed.after"])
def test_killed_at_any_moment_it_renews_once(killing: Scene, point: str) -> None:
    assert sorted(killing.run(point)) == [-signal.SIGKILL, 0], "one of the two died"
    assert (killing.folder / f"{point}.hit").exists()
    done = sum(_renewed(office) for office in killing.offices)
    assert done == (2 if point == "renewed.after" else 1), "all of it or nothing"
    killing.run(None)
    killing.run(None)
    for office in killing.offices:
        first, second = office.rights(office.line_id)
        assert first[1] == second[0], "without a gap"
        assert second[1] - second[0] == DAY
        assert office.wallet(office.line_id) == (10_000 - 2_000, 0)
        assert office.renewal().check_at > first[1]
