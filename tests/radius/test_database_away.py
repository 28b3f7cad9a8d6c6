"""The database is killed while routers report: what was acknowledged is there afterwards, and nobody was let in."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from config import load
from migrations import roles
from rehearsal.servers import Postgres
from tests.access import shop
from tests.radius.conftest import ACCEPT, PHONE, accounting, hotspot, running
from tests.stack import PASSWORD, Stack, environment, migrate
from tests.world import build_world
from wavu.app import create_app
from wavu.db import db


@pytest.mark.timeout(120)
def test_nothing_acknowledged_is_lost_when_the_database_is_killed(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "pg")
    postgres.start()
    stack = Stack(postgres.admin_url(), "redis://127.0.0.1:9/0", str(tmp_path))
    roles.ensure(stack.admin_url, "wavu", dict.fromkeys(roles.LOGIN_ROLES, PASSWORD))
    migrate(stack.url("wavu_owner", "wavu"))
    try:
        environ = environment(stack, "wavu", 0)
        app = create_app(load(environ))
        world = build_world(app)
        with app.app_context():
            db.engine.dispose()
        with running(environ, world) as wire:
            a = wire.world.a
            with wire.inside():
                who = shop.customer(12_345_678)
                wire.bind_phone(who)
                shop.buy(who)
            token = bytes(wire.log_in(hotspot(a, PHONE, ""))[25][0])
            acknowledged, done = [0], threading.Event()

            def report() -> None:
                second = 0
                while not done.is_set():
                    second += 1
                    if wire.tell(accounting(a, 3, token, seconds=second), timeout=0.1):
                        acknowledged.append(second)

            reporter = threading.Thread(target=report)
            reporter.start()
            while len(acknowledged) < 20:
                done.wait(0.01)
            postgres.kill_tree()
            before = len(acknowledged)
            raw = hotspot(a, PHONE, "").RequestPacket()
            assert wire.ask(raw, a.nas_address, timeout=0.3) is None, "no database, no answer"
            assert len(acknowledged) <= before + 1, "what was under way when it died may have been committed"
            postgres.start()
            while len(acknowledged) < before + 20:
                done.wait(0.01)
            done.set()
            reporter.join()
            (session,) = wire.sessions()
            assert session.seconds >= acknowledged[-1]
            assert wire.log_in(hotspot(a, PHONE, "")).code == ACCEPT
    finally:
        postgres.destroy()
