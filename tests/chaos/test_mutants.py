"""Proof that the suite notices: each fault planted into the schema or the session turns the tests red that are named
here for it, in the way that is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psycopg
import pytest

from tests.conftest import Scratch
from tests.stack import MUTANTS, ROOT, Stack

CATALOG = "test_the_schema_isolates"
READS = "test_a_tenant_reads_its_own_rows_only"
LOUD = "test_without_a_tenant_everything_is_refused_loudly"
NEXT = "test_a_tenant_is_not_inherited_by_the_next_transaction"
PEOPLE = "test_people_are_seen_by_their_colleagues_only"

# Each of these tests must fail at this step, saying this. Where the catalog's test stands alone the application meets
# no difference: it owns no table, and nothing uses the planted key or view yet.
NOTICED: dict[str, dict[str, tuple[str, str]]] = {
    "policy_dropped": {
        CATALOG: ("call", "audit_entry has no policy `tenant`"),
        READS: ("setup", 'violates row-level security policy for table "audit_entry"'),
    },
    "policy_open": {
        CATALOG: ("call", "audit_entry has no policy `tenant`"),
        READS: ("call", "{'audit_entry': {"),
        LOUD: ("call", "DID NOT RAISE"),
    },
    "row_security_not_forced": {CATALOG: ("call", "outbox has no forced row-level security")},
    "row_security_off": {
        CATALOG: ("call", "router has no forced row-level security"),
        READS: ("call", "{'router': {"),
        LOUD: ("call", "does not return rows"),
    },
    "missing_tenant_reads_nothing": {
        CATALOG: ("call", "app.tenant_id() is not what it should be"),
        LOUD: ("call", "DID NOT RAISE"),
        NEXT: ("call", "DID NOT RAISE"),
    },
    "key_without_tenant": {CATALOG: ("call", "is a foreign key between tenants' tables without tenant_id")},
    "view_with_owners_rights": {CATALOG: ("call", "everyone is a view that does not run with its reader's rights")},
    "people_open": {PEOPLE: ("call", "owner@canary-b.test")},
    # In the session; tests/conftest.py plants them.
    "hook_blanked": {READS: ("setup", "tenant context missing")},
    "hook_skips_missing_tenant": {LOUD: ("call", "DID NOT RAISE"), NEXT: ("call", "DID NOT RAISE")},
}

# One process imports what the tests need, and forks a run of them for each fault.
_RUNS = """
import contextlib, io, json, os, sys
import pytest
import tests.conftest, wavu.surfaces

FILE = "tests/isolation/test_database.py"

class Failures(dict):
    def pytest_runtest_logreport(self, report):
        if report.failed:
            self[report.nodeid.rpartition("::")[2]] = report.when, report.longreprtext

def run(mutant, names):
    os.environ["WAVU_TEST_MUTANT"] = mutant
    failures, said = Failures(), io.StringIO()
    # A fault may leave a connection to the garbage collector.
    quiet = ["-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    chosen = [f"{FILE}::{name}" for name in names] or [FILE]
    with contextlib.redirect_stdout(said):
        code = pytest.main(["-vv", "-p", "no:cacheprovider", "-p", "no:xdist", *quiet, *chosen], plugins=[failures])
    return [int(code), failures, said.getvalue()[-2000:]]

for mutant, names in json.loads(sys.argv[1]).items():
    reads, writes = os.pipe()
    if os.fork() == 0:
        with open(writes, "w") as pipe:
            json.dump(run(mutant, names), pipe)
        os._exit(0)
    os.close(writes)
    with open(reads) as pipe:
        print(json.dumps([mutant, *json.loads(pipe.read())]), flush=True)
    os.wait()
"""


def _unlike(expected: dict[str, tuple[str, str]], failures: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The tests that did not fail as they must, with how they failed, if they did."""
    met = {name: failures.get(name, ("", "it passed")) for name in expected}
    return {
        name: met[name] for name, (step, says) in expected.items() if met[name][0] != step or says not in met[name][1]
    }


def test_every_fault_is_expected_somewhere() -> None:
    assert set(MUTANTS) <= set(NOTICED)


def test_a_fault_that_was_not_planted_is_not_taken_for_noticed(
    servers: Stack, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MUTANTS, "lost", "DROP POLICY tenant ON a_table_of_another_name")
    with pytest.raises(psycopg.Error) as lost:
        servers.plant(scratch.inner, "lost")
    for expected in NOTICED.values():
        assert _unlike(expected, dict.fromkeys(expected, ("setup", str(lost.value)))) == {
            name: ("setup", str(lost.value)) for name in expected
        }


def test_the_suite_turns_red() -> None:
    chosen: dict[str, list[str]] = {"": [], **{mutant: list(expected) for mutant, expected in NOTICED.items()}}
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    done = subprocess.run(
        [sys.executable, "-c", _RUNS, json.dumps(chosen)], cwd=ROOT, env=environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    runs = {
        mutant: (code, failures, said) for mutant, code, failures, said in map(json.loads, done.stdout.splitlines())
    }
    assert list(runs) == list(chosen)
    code, _, said = runs.pop("")
    assert code == 0, f"without a fault it is green:\n{said}"
    for mutant, (code, failures, said) in runs.items():
        assert code == 1, f"{mutant}:\n{said}"
        assert _unlike(NOTICED[mutant], failures) == {}, mutant
