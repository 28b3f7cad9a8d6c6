"""From the purchase to the end of the time paid for, with a router that obeys, and with one that does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from rehearsal.router import VirtualRouter
from tenants import access
from tenants.access import AccessSession, Answer, Entitlement
from tests.access import shop
from tests.radius.conftest import PHONE, PHONE_MAC, Wire
from wavu import clock
from wavu.db import db, transaction
from wavu.outbox import OutboxRow
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers import provisioning, runtime


@pytest.fixture
def router(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualRouter]:
    monkeypatch.setattr(provisioning, "TRY_SECONDS", 0.1)
    with wire.router() as made:
        yield made


def _eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def _online(wire: Wire, router: VirtualRouter) -> UUID:
    """A phone that has paid, by its code; returns its entitlement."""
    with wire.inside():
        who = shop.customer(12_345_678)
        right = shop.buy(who, devices=2)
        code = access.make_login_code(who, PHONE_MAC)
    router.join(PHONE)
    assert router.login(PHONE, code, code, method="chap").ok
    _eventually(lambda: len(wire.sessions()) == 1)
    return right.id


def _end(wire: Wire, right: UUID, **values: object) -> None:
    with wire.inside():
        changes = values or {"ends_at": clock.now(), "starts_at": clock.now() - timedelta(hours=1)}
        db.session.execute(update(Entitlement).where(Entitlement.id == right).values(**changes))


def _tick(wire: Wire) -> None:
    """The clock, and every job that follows from it, run as the workers run them."""
    with wire.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        provisioning.end_expired_sessions({})
    runtime.use(wire.app)
    for tenant in (wire.world.a, wire.world.b):
        for job in ("end_sessions", "disconnect_session"):
            with wire.inside(tenant):
                ready = update(OutboxRow).where(OutboxRow.job == job, OutboxRow.state == "ready")
                claim = ready.values(attempts=OutboxRow.attempts + 1).returning(OutboxRow.id, OutboxRow.attempts)
                rows = db.session.execute(claim.execution_options(synchronize_session=False)).all()
            for row in rows:
                runtime.run(str(tenant.id), str(row.id), row.attempts)


def _jobs(wire: Wire, job: str) -> list[tuple[str, str | None]]:
    with wire.inside():
        query = select(OutboxRow.state, OutboxRow.last_error).where(OutboxRow.job == job).order_by(OutboxRow.id)
        return [(row.state, row.last_error) for row in db.session.execute(query)]


def _session(wire: Wire) -> AccessSession:
    (session,) = wire.sessions()
    return session


def test_a_session_that_is_still_up_at_the_end_is_ended_on_its_router(wire: Wire, router: VirtualRouter) -> None:
    right = _online(wire, router)
    with wire.inside():
        paid = db.session.get(Entitlement, (wire.world.a.id, right))
        assert paid is not None
        assert paid.activated_at is not None
    _tick(wire)
    assert len(router.sessions()) == 1, "its time is not over"
    _end(wire, right)
    _tick(wire)
    assert router.sessions() == []
    assert router.wait_idle()
    _eventually(lambda: _session(wire).stopped_at is not None)
    assert _session(wire).cause == "Admin-Reset"
    assert _jobs(wire, "disconnect_session") == [("done", None)]
    _tick(wire)
    assert len(_jobs(wire, "end_sessions")) == 1, "nothing is left to do"
    outcome = router.login(PHONE, "x" * 24, "x" * 24)
    assert outcome.message == "Unknown user name."


def test_data_that_is_used_up_ends_a_session_at_its_next_report(wire: Wire, router: VirtualRouter) -> None:
    right = _online(wire, router)
    with wire.inside():
        policy = {**shop.PACKAGE, "data_cap_bytes": 1000}
        db.session.execute(update(Entitlement).where(Entitlement.id == right).values(policy=policy))
    router.transfer(PHONE, 600, 400)
    router.advance(300)
    _eventually(lambda: _session(wire).bytes_down == 400)
    _tick(wire)
    assert router.sessions() == []


def test_the_router_itself_ends_a_session_in_time(wire: Wire, router: VirtualRouter) -> None:
    _online(wire, router)
    assert router.sessions()[0].policy.session_timeout == 3600
    assert router.sessions()[0].policy.rate_text == "2000k/5000k"
    router.advance(3601)
    assert router.sessions() == []
    _eventually(lambda: _session(wire).cause == "Session-Timeout")
    assert _session(wire).seconds == 3600


def test_what_the_router_does_not_know_any_more_is_closed_here(wire: Wire, router: VirtualRouter) -> None:
    right = _online(wire, router)
    router.set_knobs({"acct.lose": ["stop", "on", "off"]})
    router.reboot(power_cut=True)
    _end(wire, right)
    _tick(wire)
    assert _session(wire).cause == "gone"
    assert _jobs(wire, "disconnect_session") == [("done", None)]


def test_a_silent_router_is_asked_again_and_not_for_ever(wire: Wire, router: VirtualRouter) -> None:
    right = _online(wire, router)
    router.set_knobs({"coa.ignore": True})
    _end(wire, right)
    _tick(wire)
    assert router.uplink.stats["orders"] == 3
    assert [state for state, _ in _jobs(wire, "disconnect_session")] == ["ready"]
    assert len(router.sessions()) == 1
    with clock.fixed(clock.now() + timedelta(minutes=6)):
        _tick(wire)
    states = [state for state, _ in _jobs(wire, "disconnect_session")]
    assert states == ["done", "ready"], "the old job has ended, a new one goes on"
    router.reset_knobs()
    with clock.fixed(clock.now() + timedelta(minutes=6)):
        _tick(wire)
    assert router.sessions() == []


def test_an_order_believes_the_router_only(wire: Wire, router: VirtualRouter) -> None:
    _online(wire, router)
    with wire.inside():
        order = access.disconnect_of(_only(AccessSession))
    assert order is not None
    for forged in (b"", b"\x29", b"\x29" + order.datagram[1:20], bytes(20), b"\x29" + order.datagram[1:], b"\x29" * 40):
        assert order.read(forged) is None
    assert provisioning.send(order, router.coa_port, "127.0.0.1") is Answer.DONE
    again = provisioning.send(order, router.coa_port, "0.0.0.0")  # noqa: S104 - the setting, not a socket
    assert again is Answer.GONE


def _only(model: type[AccessSession]) -> UUID:
    return db.session.scalars(select(model.id)).one()
