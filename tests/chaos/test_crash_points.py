"""Every crash point of money-and-reliability 3.3, by its number there: the process that is at that moment is killed
once, just before it and just after it, while customers buy; or what the row tells of happens. Then each shilling of
M-Pesa's book is in ours once, each paid purchase has one entitlement, and RADIUS lets in who paid.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import pytest

from rehearsal.daraja.simulator import Simulator
from rehearsal.process import descendants
from rehearsal.router import VirtualRouter
from rehearsal.servers import free_port
from rehearsal.supervisor import App
from tenants import ledger, subscribers
from tests.chaos.stage import SEED, Stage
from tests.chaos.town import KNOBS, Customer, Town
from tests.radius.conftest import ACCOUNTED, accounting
from tests.stack import ROOT, Stack, environment
from wavu.db import transaction
from wavu.phone import Phone
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import provisioning

COMMANDS = {
    "workers": "python -m workers.runtime",
    "relay": "python -m workers.relay",
    "web": "gunicorn -c config/gunicorn.py wsgi:app",
    "radius": "python -m workers.radius",
}


@pytest.fixture(scope="module")
def whole_town(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    ports = {f"RADIUS_{name}_PORT": str(free_port()) for name in ("AUTH", "ACCT", "COA")}
    (folder / "failpoints").mkdir()
    with Simulator(seed=SEED).serve() as sim:
        stage = Stage(
            environment(servers, "unused", 0), folder, COMMANDS, PLATFORM_DOMAIN="wavu.localhost", PUBLIC_SCHEME="http",
            DARAJA_REHEARSAL_URL=sim.base_url, SPOOL_DIR=str(folder / "spool"),
            FAILPOINT_DIR=str(folder / "failpoints"), **ports,
        )  # fmt: skip
        try:
            town = Town(stage, sim, folder / "failpoints")
            yield town
            town.close()
        finally:
            stage.stop()


@pytest.fixture
def town(whole_town: Town, request: pytest.FixtureRequest) -> Iterator[Town]:
    began = time.monotonic()
    whole_town.sim.reset_knobs()
    whole_town.sim.set_knobs(KNOBS)
    yield whole_town
    whole_town.disarm()
    print(f"{request.node.name}: {time.monotonic() - began:.1f} s, seed {SEED} (CHAOS_SEED)")


class Kill(NamedTuple):
    """Which failpoint ends whom, for what job or queue alone, and what M-Pesa does meanwhile."""

    point: str
    about: str = ""
    knobs: dict[str, object] | None = None


_TWICE: dict[str, object] = {"callback.retries": 2}
_FIRST: dict[str, object] = {"callback.before_response": True}
KILLS = {
    "cp2.before": Kill("cp2.before"),
    "cp2.after": Kill("cp2.after"),
    "cp3.before": Kill("cp3.before"),
    "cp3.after": Kill("cp3.after"),
    "cp4.before": Kill("cp4.before", "daraja"),
    "cp4.after": Kill("cp4.after", "daraja"),
    "cp5.before": Kill("cp5.before", "daraja"),
    "cp5.after": Kill("cp5.after", "send_stk"),
    "cp6.before": Kill("cp6.before"),
    "cp6.after": Kill("cp6.after"),
    "cp7.before": Kill("cp7.before", knobs=_FIRST),
    "cp7.after": Kill("cp7.after", knobs=_FIRST),
    "cp8.before": Kill("cp8.before", "stk"),
    "cp8.after": Kill("cp8.after", "stk"),
    "cp9.before": Kill("cp9.before", "stk", _TWICE),
    "cp9.after": Kill("cp9.after", "stk", _TWICE),
    "cp10.before": Kill("cp4.before", "settlement"),
    "cp10.after": Kill("cp5.before", "settlement"),
    "cp11.before": Kill("cp11.before"),
    "cp11.after": Kill("cp11.after"),
    "cp12.before": Kill("cp12.before"),
    "cp12.after": Kill("cp12.after"),
}


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
def test_killed_while_a_purchase_is_made(town: Town, kill: Kill) -> None:
    town.sim.set_knobs(kill.knobs or {})
    people = town.customers()
    if kill.knobs is _FIRST:
        for one in people:
            town.sim.script(one.msisdn, "pay")
    town.arm(kill.point, kill.about)
    town.press(people)
    town.until_served(people)
    assert town.was_hit(kill.point), "nobody died"
    town.check(people)


# -- CP1


@pytest.mark.parametrize("when", ["before", "after"], ids="cp1.{}".format)
def test_a_double_tap_is_one_purchase(town: Town, when: str) -> None:
    """The second tap comes while the first is on its way, or after its answer, as a reload does."""
    people = town.customers()
    for one in people:
        nonces = town.press_at_once(one, 4) if when == "before" else [one.press(town.stage.port) for _ in range(4)]
        assert len(set(nonces)) == 1
    town.until_served(people)
    town.check(people)


# -- CP5, CP6


def test_cp5_the_same_attempt_delivered_twice(town: Town) -> None:
    """Whatever RQ was handed comes again: the relay forgets that it handed it out."""
    people = town.customers()
    town.sim.set_knobs({"gateway.slow": (1.0, 1.0)})
    town.press(people)
    town.until(lambda: town.number("outbox WHERE job = 'send_stk' AND started_attempt IS NOT NULL") > 0, "sending")
    town.sql("UPDATE outbox SET lease_until = NULL WHERE job = 'send_stk' AND state = 'ready'")
    town.until_served(people)
    town.check(people)


def test_cp6_during_the_call(town: Town) -> None:
    """Daraja has the request, and whoever waits for its answer dies."""
    people = town.customers([town.world.a])
    town.sim.rule({"gateway.fault": "hang_after_exec"}, exchange="stk", times=1)
    town.press(people)
    town.until(lambda: any(attempt.msisdn == people[0].msisdn for attempt in town.sim.attempts()), "sent")
    for child in descendants(town.stage.apps["workers"].pid or 0):
        os.kill(child, signal.SIGKILL)
    town.until_served(people)
    town.check(people)


# -- CP13


@pytest.mark.parametrize("when", ["before", "after"], ids="cp13.{}".format)
def test_killed_while_a_router_is_told_to_end_a_session(town: Town, when: str) -> None:
    isp, point = town.world.a, f"cp13.{when}"
    auth, acct, coa = (int(town.stage.environ[f"RADIUS_{name}_PORT"]) for name in ("AUTH", "ACCT", "COA"))
    people = town.customers([isp])
    (one,) = people
    town.press(people)
    town.until_served(people)
    right = "(SELECT subscriber_id FROM device WHERE mac = %(mac)s)"
    mac = one.mac.replace(":", "")
    open_sessions = f"SELECT count(*) FROM access_session WHERE mac = '{mac}' AND stopped_at IS NULL"
    with VirtualRouter(
        isp.name, address=isp.nas_address, secret=isp.nas_secret, radius=("127.0.0.1", auth, acct), coa_port=coa,
        hotspot_port=None,
    ) as router:  # fmt: skip
        router.join(one.mac)
        assert router.login(one.mac, one.mac, one.mac).ok
        town.until(lambda: town.sql(open_sessions)[0][0] == 1, "session")
        town.arm(point)
        town.sql(
            "UPDATE entitlement SET starts_at = now() - interval '1 hour', ends_at = now() "
            f"WHERE subscriber_id = {right}", mac=mac,
        )  # fmt: skip
        with town.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            provisioning.end_expired_sessions({})
        town.until(lambda: town.was_hit(point), "killed")
        assert len(router.sessions()) == (1 if when == "before" else 0)
        town.later(31)
        town.until(lambda: router.sessions() == [] and town.sql(open_sessions)[0][0] == 0, "ended")
    town.until(town.idle, "idle")
    ends = f"SELECT count(*), count(*) FILTER (WHERE stopped_at IS NOT NULL) FROM access_session WHERE mac = '{mac}'"
    assert town.sql(ends) == [(1, 1)]
    assert town.seconds_granted(one) is None
    town.check_books()


# -- CP14


@contextmanager
def _second(town: Town, *names: str) -> Iterator[None]:
    folder, environ = town.failpoints.parent, town.stage.environ
    made = [App(f"second {name}", COMMANDS[name], environ, ROOT, folder / f"second {name}.log") for name in names]
    for app in made:
        town.stage.supervisor.start(app)
    try:
        yield
    finally:
        for app in made:
            del town.stage.supervisor.watches[app.name]
            app.stop(5)


@pytest.mark.parametrize("when", ["before", "after"], ids="cp14.{}".format)
def test_two_relays_and_two_workers_one_after_the_other_leading(town: Town, when: str) -> None:
    """The leader dies at the beginning, or at the end, of its round; another leads, and two work side by side."""
    with _second(town, "relay", "workers"):
        people = town.customers([town.world.a, town.world.b] * 2)
        town.press(people[:2])
        town.arm(f"cp14.{when}")
        town.press(people[2:])
        town.until_served(people)
        town.until(lambda: town.was_hit(f"cp14.{when}"), "killed")
        town.check(people)


# -- CP19 to CP21


@pytest.mark.parametrize("point", ["cp19.before", "cp19.after", "cp20.before", "cp20.after"])
def test_radius_killed_while_a_phone_logs_in(town: Town, point: str) -> None:
    """The reply is lost, or was never made; the router asks on, with the same packet, and gets a yes."""
    people = town.customers()
    town.press(people)
    town.until_served(people)
    town.arm(point)
    assert town.seconds_granted(people[0])
    town.until(lambda: town.was_hit(point), "killed")
    # Where the reply went out and was lost, the router asks a daemon that remembers nothing.
    town.check(people)


@pytest.mark.parametrize("when", ["before", "after"], ids="cp21.{}".format)
def test_radius_killed_while_it_writes_accounting(town: Town, when: str) -> None:
    """What is not acknowledged comes again, and counts once."""
    people = town.customers()
    town.press(people)
    town.until_served(people)
    one, mac = people[0], people[0].mac.replace(":", "")
    town.seconds_granted(one)
    used = {"seconds": 120, "up": 1000, "down": 2**32 + 5}
    for status, values in ((1, dict[str, int]()), (3, used), (2, used)):
        packet = accounting(one.isp, status, None, **values)
        packet[1], packet[31], packet[44] = [one.mac.encode()], [one.mac.encode()], [mac[-8:].encode()]
        raw = packet.RequestPacket()
        if status == 3:
            town.arm(f"cp21.{when}")

        def acknowledged(raw: bytes = raw) -> bool:
            reply = town.ask_radius(one.isp, raw, "RADIUS_ACCT_PORT")
            return reply is not None and reply[0] == ACCOUNTED

        town.until(acknowledged, "acknowledged", 30)
        assert acknowledged(), "and once more, as a router does whose answer was lost"
    assert town.was_hit(f"cp21.{when}")
    sessions = "SELECT seconds, bytes_up, bytes_down, stopped_at IS NOT NULL FROM access_session WHERE mac = %(mac)s"
    assert town.sql(sessions, mac=mac) == [(120, 1000, 2**32 + 5, True)]
    counted = "SELECT used_seconds, used_bytes FROM entitlement e JOIN device d ON d.subscriber_id = e.subscriber_id " \
              "WHERE d.mac = %(mac)s"  # fmt: skip
    assert town.sql(counted, mac=mac) == [(120, 2**32 + 1005)]
    town.check(people)


# -- CP22, CP23


@contextmanager
def _without(town: Town, name: str) -> Iterator[None]:
    """A server lies dead, and nobody starts it again meanwhile."""
    supervisor = town.stage.supervisor
    server = supervisor.watches.pop(name).child
    server.kill_tree()
    try:
        yield
    finally:
        assert not server.running
        server.spawn()
        supervisor.watch(server)
        town.until(server.ready, f"{name} is back", 30)  # type: ignore[attr-defined]


@pytest.mark.parametrize("point", ["cp22.before", "cp22.after"])
def test_the_relay_killed_while_it_settles_without_redis(town: Town, point: str) -> None:
    people = town.customers()
    with _without(town, "valkey"):
        town.arm(point, "settlement")
        town.press(people)
        town.until_served(people, 90)
        assert town.was_hit(point)
        town.check(people)
    town.until(town.idle, "idle")
    town.check(people)


def test_cp22_redis_comes_back_empty(town: Town) -> None:
    people = town.customers()
    for one in people:
        town.press([one])
        town.stage.valkey.wipe()
    town.until_served(people)
    town.check(people)


@pytest.mark.parametrize("point", ["cp23.before", "cp23.after"])
def test_the_web_killed_while_it_spools_a_callback(town: Town, point: str) -> None:
    """PostgreSQL is away when the customers pay, and M-Pesa hears no answer: it says it again."""
    people = _prompted(town)
    town.sim.set_knobs({"callback.retries": 3})
    with _without(town, "postgres"):
        town.arm(point)
        _type_pins(town, people)
        town.until(lambda: town.was_hit(point), "killed")
        assert town.sim.wait_idle()
    town.until_served(people, 90)
    town.check(people)


@pytest.mark.parametrize("point", ["cp23.before_handing_in", "cp23.handed_in"])
def test_the_web_killed_while_it_hands_in_what_was_spooled(town: Town, point: str) -> None:
    people = _prompted(town)
    with _without(town, "postgres"):
        _type_pins(town, people)
        assert town.sim.wait_idle()
        town.arm(point)
    town.until(lambda: town.was_hit(point), "killed", each=lambda: people[0].look(town.stage.port))
    town.until_served(people, 90)
    town.check(people)


def _prompted(town: Town) -> list[Customer]:
    """Customers who look at their prompts."""
    town.sim.set_knobs({"stk.auto": {}})
    people = town.customers()
    town.press(people)
    for one in people:
        waits: Callable[[], bool] = lambda one=one: one.look(town.stage.port)["state"] == "prompted"  # type: ignore[misc] # noqa: E731
        town.until(waits, "prompted")
    return people


def _type_pins(town: Town, people: list[Customer]) -> None:
    for one in people:
        town.sim.answer(one.msisdn, "pin")


def test_cp23_every_process_finds_postgresql_again(town: Town) -> None:
    """It restarts under load: what was asked before, meanwhile and afterwards is served."""
    people = town.customers([town.world.a, town.world.b] * 2)
    town.press(people[:2])
    with _without(town, "postgres"):
        pass
    town.press(people[2:])
    town.until_served(people, 90)
    town.check(people, pushes=None)


# -- CP25


@pytest.mark.parametrize("when", ["before", "after"], ids="cp25.{}".format)
def test_the_host_is_lost_and_pull_tells_what_the_backup_lacks(town: Town, when: str) -> None:
    """Purchases from after the backup are in M-Pesa's book alone; `payments pull` credits them for every shortcode of
    every ISP, though its worker is killed before, or after, it has stored what it was told."""
    a, b = town.world.a, town.world.b
    known = town.customers()
    town.press(known)
    town.until_served(known)
    asked = _prompted(town)
    with town.inside(a):
        number = subscribers.number_for(subscribers.by_phone(Phone.parse(known[0].phone)).id)
    suspense = _suspense(town)
    backup = town.back_up()
    _type_pins(town, asked)
    town.sim.set_knobs(KNOBS)
    lost = town.customers()
    town.press(lost)
    town.until_served([*asked, *lost])
    town.sim.pay("254722000111", "600100", 50, number)
    town.sim.pay("254722000222", "5123456", 7)
    town.lose_and_restore(backup)
    behind = len(town.sim.book()) - town.number("provider_receipt")
    assert behind >= 6, "the backup knows nothing of them"
    town.arm(f"cp25.{when}")
    town.pull()
    town.until_served(asked, 90)
    town.until(town.books_agree, "credited", 90, lambda: town.later(25))
    assert town.was_hit(f"cp25.{when}")
    town.until(town.idle, "idle")
    town.check([*known, *asked], pushes=None)
    # Whoever bought after the backup is known to M-Pesa alone: their money lies in sight, for staff to match.
    assert _suspense(town) == {a.id: suspense[a.id] + 1000, b.id: suspense[b.id] + 1700}
    with town.inside(a):
        assert ledger.balance(ledger.wallet(subscribers.by_phone(Phone.parse(known[0].phone)).id)) == 5000


def _suspense(town: Town) -> dict[UUID, int]:
    held = {}
    for isp in (town.world.a, town.world.b):
        with town.inside(isp):
            held[isp.id] = ledger.balance(ledger.SUSPENSE)
    return held
