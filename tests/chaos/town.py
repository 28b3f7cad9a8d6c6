"""Two ISPs with their processes, the simulated Daraja and customers who do not give up; a hand that arms failpoints,
makes time pass and counts every shilling afterwards."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from flask import Flask

from config import load
from rehearsal.daraja.simulator import Simulator
from rehearsal.servers import postgres_programs
from tenants import ledger, mpesa
from tests.chaos.stage import SEED, Stage
from tests.radius.conftest import ACCEPT, hotspot
from tests.shop import open_shop
from tests.world import Isp, World, build_world
from wavu import outbox
from wavu.db import db, transaction
from wavu.outbox import Queue
from wavu.surfaces import create_web
from wavu.tenancy import tenant_scope
from workers.manage import add_commands

PRICE_CENTS = 1000
PATIENCE_SECONDS = 60
_SESSION_TIMEOUT = 27
KNOBS: dict[str, object] = {
    "stk.auto": {"pay": 1},
    "stk.auto_after": 0.2,
    "stk.repeat_window": 0,
    "stk.also_c2b": False,
    "callback.retries": 0,
    "callback.retry_seconds": 0.5,
}
_SHIFTS = (
    "UPDATE outbox SET run_at = run_at - make_interval(secs => %(s)s) WHERE state = 'ready'",
    "UPDATE outbox SET lease_until = lease_until - make_interval(secs => %(s)s) WHERE lease_until IS NOT NULL",
    "UPDATE payment_intent SET created_at = created_at - make_interval(secs => %(s)s), "
    "submitted_at = submitted_at - make_interval(secs => %(s)s)",
    "UPDATE inbound_event SET created_at = created_at - make_interval(secs => %(s)s)",
)


class NoAnswer(Exception):
    """The web is away, or in trouble: a phone tries again."""


@dataclass
class Customer:
    """A phone that buys, looks at the waiting page, and taps again when the page offers it and nothing was paid."""

    isp: Isp
    phone: str
    mac: str
    form: str | None = None
    nonce: str | None = None
    taps: int = 0

    @property
    def msisdn(self) -> str:
        return f"254{self.phone[1:]}"

    def talk(self, port: int, method: str, path: str, body: str | None = None) -> tuple[int, str, str]:
        """(status, body, where it leads). Raises NoAnswer."""
        wire = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
            wire.request(method, path, body, {"Host": self.isp.host} | kind)
            answer = wire.getresponse()
            said = answer.status, answer.read().decode(), answer.headers.get("Location", "")
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer from error
        finally:
            wire.close()
        if said[0] >= 500:
            raise NoAnswer(said[0])
        return said

    def open(self, port: int) -> str:
        """The portal's page, filled in; opened once."""
        if self.form is None:
            _, page, _ = self.talk(port, "GET", "/?" + urlencode({"mac": self.mac}))
            self.form = _filled(page, self.phone)
        return self.form

    def press(self, port: int) -> str:
        """Presses the button; the same form again is the same press. Returns the nonce."""
        status, _, where = self.talk(port, "POST", "/buy", self.open(port))
        found = re.search(r"/w/([0-9a-f]{32})", where)
        assert status == 303, f"the form was refused: {status} {where}"
        assert found is not None, f"the form was refused: {where}"
        self.nonce = found[1]
        return found[1]

    def look(self, port: int) -> dict[str, Any]:
        """What the waiting page is told."""
        _, said, _ = self.talk(port, "GET", f"/w/{self.nonce}/status.json")
        told: dict[str, Any] = json.loads(said)
        return told

    def tap_again(self, port: int) -> None:
        self.taps += 1
        self.talk(port, "POST", f"/w/{self.nonce}/again", "")


def _filled(page: str, phone: str) -> str:
    state = re.search(r'name="state" value="([^"]+)"', page)
    package = re.search(r'name="package"[^>]* value="([^"]+)"|value="([^"]+)"[^>]* name="package"', page)
    assert state is not None
    assert package is not None
    return urlencode({"state": state[1], "package": package[1] or package[2], "phone": phone})


class Town:
    """One stage for all crash points: a case arms a point, lets customers buy, and asks that all ends well."""

    def __init__(self, stage: Stage, sim: Simulator, failpoints: Path) -> None:
        self.stage, self.sim, self.failpoints = stage, sim, failpoints
        failpoints.mkdir(exist_ok=True)
        # This process is the test's: it must not die at a point.
        self.app: Flask = create_web(load(stage.environ | {"FAILPOINT_DIR": ""}))
        add_commands(self.app)
        self.world: World = build_world(self.app)
        self._people = 0
        sim.set_knobs(KNOBS)
        self.sql("UPDATE tenant SET help_phone = '+254700000001'")
        for isp in (self.world.a, self.world.b):
            with self.inside(isp):
                open_shop(self.world, sim, isp.id)
                outbox.put(Queue.DARAJA, "register_hooks", "town", {"account_id": str(mpesa.active_account().id)})
        self.until(lambda: self.number("mpesa_account WHERE pull_registered_at IS NOT NULL") == 2, "registered", 60)

    # -- plumbing

    @contextmanager
    def inside(self, isp: Isp) -> Iterator[None]:
        with self.app.app_context(), tenant_scope(isp.id), transaction():
            yield

    def sql(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """As an administrator. Raises psycopg.OperationalError while the database is away."""
        with psycopg.connect(self.stage.postgres.admin_url("wavu"), autocommit=True, connect_timeout=5) as admin:
            done = admin.execute(query.encode(), values)
            return done.fetchall() if done.description else []

    def number(self, rows: str) -> int:
        return int(self.sql(f"SELECT count(*) FROM {rows}")[0][0])

    def until(
        self, true: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS,
        each: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """Waits; the supervisor works meanwhile. A database or a web that is away is no yes."""
        end = time.monotonic() + seconds
        while True:
            self.stage.supervisor.tick()
            with suppress(psycopg.OperationalError, NoAnswer):
                if true():
                    return
                each()
            assert time.monotonic() < end, f"not after {seconds} s: {what}. {self.describe()}"
            time.sleep(0.05)

    def describe(self) -> str:
        with suppress(psycopg.OperationalError):
            return (
                f"intents {self.sql('SELECT state, code, count(*) FROM payment_intent GROUP BY 1, 2')}, events "
                f"{self.sql('SELECT kind, outcome, count(*) FROM inbound_event GROUP BY 1, 2')}, jobs "
                + str(self.sql("SELECT job, attempts, last_error, lease_until, run_at FROM outbox WHERE state='ready'"))
            )
        return "no database"

    # -- failpoints

    def arm(self, point: str, about: str = "") -> None:
        for watch in self.stage.supervisor.watches.values():
            watch.failures = 0  # each case has its own deaths
        (self.failpoints / f"{point}.hit").unlink(missing_ok=True)
        (self.failpoints / point).write_text(about)

    def was_hit(self, point: str) -> bool:
        return (self.failpoints / f"{point}.hit").exists()

    def disarm(self) -> None:
        for path in self.failpoints.iterdir():
            path.unlink()

    # -- people and time

    def customers(self, isps: Iterable[Isp] | None = None) -> list[Customer]:
        """A new one of each ISP."""
        made = []
        for isp in isps or (self.world.a, self.world.b):
            self._people += 1
            n = self._people
            made.append(Customer(isp, f"07{20_000_000 + n}", f"02:00:00:01:{n // 256:02X}:{n % 256:02X}"))
        return made

    def press(self, people: Iterable[Customer]) -> None:
        for one in people:
            self.until(lambda one=one: bool(one.press(self.stage.port)), "pressed")  # type: ignore[misc]

    def press_at_once(self, one: Customer, fingers: int) -> list[str]:
        """The same form by several at the same moment. Returns the nonces that they were led to."""
        one.open(self.stage.port)
        with ThreadPoolExecutor(fingers) as hands:
            return list(hands.map(lambda _: one.press(self.stage.port), range(fingers)))

    def later(self, seconds: int) -> None:
        """Makes time pass for all that waits: ours, and the payments in M-Pesa's book."""
        for statement in _SHIFTS:
            self.sql(statement, s=seconds)
        with self.sim.world.lock:
            for line in self.sim.world.book.lines:
                line.paid_at -= seconds

    def pull(self) -> None:
        """The command that an operator types."""
        with self.app.app_context():
            done = self.app.test_cli_runner().invoke(args=["payments", "pull"])
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"

    def paid(self, one: Customer) -> bool:
        return any(line.msisdn == one.msisdn for line in self.sim.book())

    def served(self, one: Customer) -> bool:
        """Paid, told so, and with its final entitlement; one that could be tapped again is."""
        told = one.look(self.stage.port)
        if told["state"] in ("failed", "no_reply") and not told["retry"] and not self.paid(one):
            one.tap_again(self.stage.port)
        final = (
            "SELECT count(*) FROM entitlement e JOIN purchase p ON p.tenant_id = e.tenant_id AND p.id = e.purchase_id "
            "WHERE p.nonce = %(n)s AND NOT e.provisional AND p.state = 'bought'"
        )
        return told["state"] in ("paid", "online") and self.sql(final, n=one.nonce)[0][0] == 1

    def until_served(self, people: list[Customer], seconds: float = PATIENCE_SECONDS) -> None:
        """Everyone is served, and no work is left that is due. Where nothing moves, time is made to pass; where M-Pesa
        is silent about a payment, it is asked by Pull in the end, as the clock would."""
        moved, rounds = [time.monotonic()], [0]

        def help_on() -> None:
            if time.monotonic() - moved[0] > 1.0:
                self.later(25)
                rounds[0] += 1
                if rounds[0] % 6 == 0:
                    self.pull()
                moved[0] = time.monotonic()

        # Each is looked at, also those behind one who waits.
        self.until(lambda: sum(map(self.served, people)) == len(people), "served", seconds, help_on)
        self.until(lambda: self.idle(), "idle", seconds, help_on)

    def idle(self) -> bool:
        """Whether no work about money is due."""
        due = (
            "outbox WHERE state = 'ready' AND queue IN ('settlement', 'daraja') AND (run_at <= now() "
            "OR lease_until IS NOT NULL)"
        )
        return self.sim.wait_idle() and self.number(due) == 0

    # -- the host is lost

    def back_up(self) -> Path:
        """As docs/deploy.md says."""
        path = self.failpoints.with_name("wavu.dump")
        path.unlink(missing_ok=True)
        self._program("pg_dump", "-Fc", self.stage.postgres.admin_url("wavu"), "-f", path)
        return path

    def lose_and_restore(self, backup: Path) -> None:
        """Every process dies, with the database and Redis; then the backup is restored and they are started again."""
        stage, admin = self.stage, self.stage.postgres.admin_url
        for app in stage.apps.values():
            del stage.supervisor.watches[app.name]
            app.kill_tree()
        self.close()
        with psycopg.connect(admin(), autocommit=True) as wire:
            wire.execute("DROP DATABASE wavu WITH (FORCE)")
            wire.execute("CREATE DATABASE wavu OWNER wavu_owner TEMPLATE template0")
            self._program("pg_restore", "--exit-on-error", "-d", admin("wavu"), backup)
            wire.execute("GRANT CONNECT ON DATABASE wavu TO wavu_app, wavu_relay")
        stage.valkey.wipe()
        for app in stage.apps.values():
            stage.supervisor.start(app)

    @staticmethod
    def _program(name: str, *arguments: str | Path) -> None:
        subprocess.run([postgres_programs() / name, *arguments], check=True)

    # -- RADIUS

    def ask_radius(self, isp: Isp, packet: bytes, port: str = "RADIUS_AUTH_PORT") -> bytes | None:
        """One try of a router."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((isp.nas_address, 0))
            wire.settimeout(0.7)
            wire.sendto(packet, ("127.0.0.1", int(self.stage.environ[port])))
            try:
                return wire.recv(4096)
            except OSError:
                return None

    def seconds_granted(self, one: Customer) -> int | None:
        """What the phone is let in for by its MAC address; None for a no. Asked again as a router does."""
        packet = hotspot(one.isp, one.mac, one.mac, one.mac)
        raw, replies = packet.RequestPacket(), list[bytes]()

        def asked() -> bool:
            reply = self.ask_radius(one.isp, raw)
            replies.extend([reply] if reply else [])
            return bool(replies)

        self.until(asked, "RADIUS answers", 30)
        answer = packet.CreateReply(packet=replies[0])
        assert packet.VerifyReply(answer, replies[0], enforce_ma=True)
        return int.from_bytes(answer[_SESSION_TIMEOUT][0]) if answer.code == ACCEPT else None

    # -- what must be true

    def check(self, people: Iterable[Customer], pushes: int | None = 1) -> None:
        """I1 to I7 over all that ever happened here; and for these customers one entitlement, an hour, and `pushes`
        prompts each (None: not counted)."""
        self.check_books()
        for one in people:
            rights = self.sql(
                "SELECT extract(epoch FROM e.ends_at - e.starts_at), extract(epoch FROM e.ends_at - now()) "
                "FROM entitlement e JOIN purchase p ON p.tenant_id = e.tenant_id AND p.id = e.purchase_id "
                "JOIN subscriber s ON s.tenant_id = e.tenant_id AND s.id = e.subscriber_id WHERE s.phone = %(p)s",
                p=f"+{one.msisdn}",
            )
            assert len(rights) == 1, f"one entitlement (seed {SEED})"
            assert float(rights[0][0]) == 3600, f"not the hour that was paid: {rights}"
            seconds = self.seconds_granted(one)
            assert seconds is not None, f"who paid is let in (seed {SEED})"
            # The first session may move the hour to when it begins, so the whole of it may be told.
            assert float(rights[0][1]) - 2 <= seconds <= 3600
            prompts = [attempt for attempt in self.sim.attempts() if attempt.msisdn == one.msisdn]
            assert pushes is None or len(prompts) == pushes, "never a second prompt that nobody asked for"
            assert sum(line.amount for line in self.sim.book() if line.msisdn == one.msisdn) * 100 == PRICE_CENTS
        stranger = self.customers([self.world.a])[0]
        assert self.seconds_granted(stranger) is None, "who did not pay is not let in"

    def check_books(self) -> None:
        """I1 to I6: every shilling of M-Pesa's book is in ours once, and each paid purchase has one entitlement."""
        for isp in (self.world.a, self.world.b):
            with self.inside(isp):
                assert ledger.audit() == []
        assert self.books_agree(), f"seed {SEED}: {self.describe()}"
        for what, query in {
            "a receipt without its posting": "SELECT receipt FROM provider_receipt r WHERE NOT EXISTS (SELECT FROM "
            "ledger_transaction t WHERE t.tenant_id = r.tenant_id AND t.id = r.transaction_id)",
            "a posting for two receipts": "SELECT transaction_id FROM provider_receipt GROUP BY 1 HAVING count(*) > 1",
            "a posting without a receipt": "SELECT id FROM ledger_transaction t WHERE kind = 'mpesa_in' AND NOT EXISTS "
            "(SELECT FROM provider_receipt r WHERE r.transaction_id = t.id)",
            "two entitlements": "SELECT purchase_id FROM entitlement GROUP BY 1 HAVING count(*) > 1",
            "bought without an entitlement": "SELECT id FROM purchase p WHERE state = 'bought' AND NOT EXISTS "
            "(SELECT FROM entitlement e WHERE e.purchase_id = p.id AND NOT e.provisional)",
            "an entitlement that was not bought": "SELECT e.id FROM entitlement e JOIN purchase p ON p.id = "
            "e.purchase_id WHERE p.state <> 'bought'",
            "a paid intent without its purchase": "SELECT i.id FROM payment_intent i JOIN purchase p ON p.id = "
            "i.purchase_id WHERE i.state = 'succeeded' AND p.state <> 'bought'",
            "a job that was given up": "SELECT id FROM outbox WHERE state = 'dead'",
        }.items():
            assert self.sql(query) == [], f"{what} (seed {SEED})"

    def books_agree(self) -> bool:
        """Whether M-Pesa's receipts are ours, to the shilling."""
        booked = sorted((line.receipt, line.amount * 100) for line in self.sim.book() if line.kind in ("stk", "c2b"))
        return sorted(self.sql("SELECT receipt, amount_cents FROM provider_receipt")) == booked

    def close(self) -> None:
        with self.app.app_context():
            db.engine.dispose()
