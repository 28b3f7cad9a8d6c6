"""The product's processes on servers of their own, under the rehearsal's supervisor, and a hand that kills them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from migrations import roles
from rehearsal.process import descendants
from rehearsal.servers import Postgres, ServerFailed, Valkey, free_port
from rehearsal.supervisor import App, Supervisor
from tests.stack import PASSWORD, ROOT, migrate

SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)

_OTHER_VICTIMS = ("worker", "redis", "wiped redis", "postgres")


class Stage:
    """The product's processes under a supervisor, and a hand that kills them."""

    def __init__(self, environ: dict[str, str], folder: Path, commands: dict[str, str], **more: str) -> None:
        self.valkey = Valkey(folder / "valkey")
        self.valkey.start()
        self.postgres = Postgres(folder / "pg")
        self.postgres.start()
        roles.ensure(self.postgres.admin_url(), "wavu", dict.fromkeys(roles.LOGIN_ROLES, PASSWORD))
        migrate(self._url("wavu_owner"))
        self.port = free_port()
        path = f"{ROOT}{os.pathsep}{ROOT / 'platform'}"
        self.environ = environ | {
            "DATABASE_URL": self._url("wavu_app"), "RELAY_DATABASE_URL": self._url("wavu_relay"),
            "REDIS_URL": self.valkey.url, "PORT": str(self.port), "PYTHONPATH": path, "LOG_LEVEL": "INFO",
            "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}", "WEB_WORKERS": "1",
            "PUBLIC_PORT": str(self.port),
        } | more  # fmt: skip
        self.supervisor = Supervisor(lambda _: None)
        self.supervisor.watch(self.valkey)
        self.supervisor.watch(self.postgres)
        self.apps = {
            name: App(name, command, self.environ, ROOT, folder / f"{name}.log") for name, command in commands.items()
        }
        for app in self.apps.values():
            self.supervisor.start(app)
        self.kills: dict[str, int] = {}

    def _url(self, role: str) -> str:
        return self.postgres.url(role, PASSWORD, "wavu")

    def spared(self) -> list[str]:
        """The kinds of victim that nothing has happened to yet."""
        return [kind for kind in (*self.apps, *_OTHER_VICTIMS) if kind not in self.kills]

    def kill_something(self, dice: random.Random) -> None:
        """One of the kinds that were spared so far, then any."""
        victim = dice.choice(self.spared() or [*self.apps, *_OTHER_VICTIMS, "worker", "relay"])
        if self._kill(victim, dice):
            self.kills[victim] = self.kills.get(victim, 0) + 1

    def _kill(self, victim: str, dice: random.Random) -> bool:
        if victim == "redis":
            self.valkey.kill()
        elif victim == "wiped redis":
            try:
                self.valkey.wipe()
            except (ServerFailed, OSError):  # it lies dead already
                return False
        elif victim == "postgres":
            self.postgres.kill()
        elif victim == "worker":
            children = descendants(self.apps["workers"].pid or 0)
            if not children:
                return False
            os.kill(dice.choice(children), signal.SIGKILL)
        else:
            self.apps[victim].kill()
        return True

    def stop(self) -> None:
        self.supervisor.stop_all([["valkey"], ["postgres"]], 5)
        self.valkey.destroy()
        self.postgres.destroy()


def until(stage: Stage, condition: Callable[[], bool], seconds: float, each: Callable[[], Any] = lambda: None) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"seed {SEED}: not done after {seconds} s; kills {stage.kills}"
        stage.supervisor.tick()
        each()
        time.sleep(0.05)


def ask(stage: Stage, query: str) -> list[tuple[Any, ...]] | None:
    """The rows, or None while the database is away."""
    try:
        with psycopg.connect(stage.postgres.admin_url("wavu"), autocommit=True, connect_timeout=2) as admin:
            return admin.execute(query.encode()).fetchall()
    except psycopg.OperationalError:
        return None
