"""Management commands, and what docs/operations.md tells to run."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from tests.browser_client import Browser
from tests.stack import ROOT
from tests.world import PASSWORD, STAFF_HOST, World
from wavu import audit, clock, outbox
from wavu.accounts import Person, SignIn
from wavu.db import db, transaction
from wavu.outbox import OutboxRow, Queue
from wavu.tenancy import PLATFORM_ID, tenant_scope
from workers.manage import add_commands


@pytest.fixture
def manage(app: Flask) -> Manage:
    if "outbox" not in app.cli.commands:
        add_commands(app)
    return Manage(app)


class Manage:
    """Runs a command as a person would type it."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(self, line: str) -> Result:
        return self._app.test_cli_runner().invoke(args=line.split())


def _dead(tenant_id: UUID, *jobs: str) -> list[UUID]:
    """Jobs of a tenant that were given up."""
    with tenant_scope(tenant_id), transaction():
        for job in jobs:
            outbox.put(Queue.MESSAGES, job, job, {})
        rows = db.session.scalars(select(OutboxRow).where(OutboxRow.job.in_(jobs)).order_by(OutboxRow.job)).all()
        for row in rows:
            row.state, row.attempts, row.failures, row.last_error = "dead", 99, 99, "Outage: mail does not answer"
            row.started_attempt, row.first_failed_at = 99, clock.now() - timedelta(days=2)
        return [row.id for row in rows]


def _states(tenant_id: UUID) -> dict[str, str]:
    with tenant_scope(tenant_id), transaction():
        return {row.job: row.state for row in db.session.scalars(select(OutboxRow)) if row.job.startswith("dead_")}


def _actions(tenant_id: UUID) -> list[str]:
    with tenant_scope(tenant_id), transaction():
        return [line.action for line in audit.trail() if line.action.startswith(("outbox.", "account."))]


def test_dead_jobs_are_listed_revived_and_closed_by_name_or_id(world: World, manage: Manage) -> None:
    one, two = _dead(world.a.id, "dead_one", "dead_two")
    (other,) = _dead(world.b.id, "dead_one")
    listed = manage("outbox dead").output
    assert [line.split()[:3] for line in listed.splitlines()] == [
        [str(one), "isp-a", "dead_one:"],
        [str(two), "isp-a", "dead_two:"],
        [str(other), "isp-b", "dead_one:"],
    ]
    assert "99 attempts" in listed
    assert "mail does not answer" in listed

    assert manage(f"outbox close {two}").output == "1 jobs are given up.\n"
    assert (_states(world.a.id), _states(world.b.id)) == (
        {"dead_one": "dead", "dead_two": "done"},
        {"dead_one": "dead"},
    )
    assert manage("outbox revive dead_one").output == "2 jobs are tried again.\n"
    for isp in (world.a, world.b):
        with tenant_scope(isp.id), transaction():
            row = db.session.scalars(select(OutboxRow).where(OutboxRow.job == "dead_one")).one()
            assert (row.state, row.attempts, row.failures, row.first_failed_at) == ("ready", 0, 0, None)
            # The first failure of the new life is no death.
            assert outbox.postpone(row.id, row.attempts, "again") == "ready"
    assert (_actions(world.a.id), _actions(world.b.id)) == (["outbox.revived", "outbox.closed"], ["outbox.revived"])
    again = manage("outbox revive dead_one")
    assert (again.exit_code, "see outbox dead" in again.output) == (1, True)


def test_what_waits_is_counted_by_tenant_and_job(world: World, manage: Manage) -> None:
    lines = manage("outbox waiting").output.splitlines()
    assert [re.sub(r"due since .*", "", line) for line in lines] == [
        f"isp-{letter}  messages  send_invitation: 1 rows, 0 handed out, at most 0 attempts, " for letter in "ab"
    ]


def test_pull_says_where_there_is_nobody_to_ask(world: World, manage: Manage) -> None:
    said = manage("payments pull")
    assert (said.exit_code, "No shortcode is registered" in said.output) == (1, True)


def test_a_lost_second_factor_is_cleared_and_everyone_who_should_know_knows(
    world: World, manage: Manage, browser: Browser
) -> None:
    browser.sign_in(STAFF_HOST, world.admin, world)
    assert manage(f"clear-second-factor {world.admin.email.title()}").exit_code == 0
    assert browser.get(STAFF_HOST).location == "/sign-in"
    browser.get(STAFF_HOST, "/sign-in")
    response = browser.post(STAFF_HOST, "/sign-in", {"email": world.admin.email, "password": PASSWORD})
    assert response.location == "/second-factor"
    with tenant_scope(PLATFORM_ID), transaction():
        on = {person.email: person.second_factor_on for person in db.session.scalars(select(Person))}
        assert (on[world.admin.email], on[world.staff.email]) == (False, True)
        assert [row.stage for row in db.session.scalars(select(SignIn))] == ["enrolment"]
        told = db.session.scalars(select(OutboxRow).where(OutboxRow.job == "tell_credential_changed")).one()
        assert told.payload["what"] == "second factor off"
    assert _actions(PLATFORM_ID) == ["account.second_factor_cleared"]
    unknown = manage("clear-second-factor nobody@nowhere.test")
    assert (unknown.exit_code, "Nobody has the address" in unknown.output) == (1, True)


@pytest.mark.parametrize("page", ["operations.md", "deploy.md"])
def test_every_command_of_the_manuals_exists(page: str, manage: Manage, app: Flask) -> None:
    text = (ROOT / "docs" / page).read_text()
    commands = re.findall(r"flask --app wsgi ([a-z-]+)(?: ([a-z]+)\b)?", text)
    assert commands
    for name, under in commands:
        line = f"{name} {under}" if hasattr(app.cli.commands[name], "commands") else name
        assert manage(f"{line} --help").exit_code == 0, line
