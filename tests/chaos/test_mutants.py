"""Proof that the suite notices: each fault planted into the schema or the session turns it red."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.stack import MUTANTS, ROOT

SESSION_MUTANTS = ("hook_blanked", "hook_skips_missing_tenant")

# One process imports what the tests need, and forks a run of them for each fault.
_RUNS = """
import contextlib, io, json, os, sys
import pytest
import tests.conftest, wavu.surfaces

def run(mutant):
    os.environ["WAVU_TEST_MUTANT"] = mutant
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/isolation/test_database.py"])
    return [int(code), said.getvalue()[-2000:]]

for mutant in json.loads(sys.argv[1]):
    reads, writes = os.pipe()
    if os.fork() == 0:
        with open(writes, "w") as pipe:
            json.dump(run(mutant), pipe)
        os._exit(0)
    os.close(writes)
    with open(reads) as pipe:
        print(json.dumps([mutant, *json.loads(pipe.read())]), flush=True)
    os.wait()
"""


def test_the_suite_turns_red() -> None:
    mutants = ["", *MUTANTS, *SESSION_MUTANTS]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    done = subprocess.run(
        [sys.executable, "-c", _RUNS, json.dumps(mutants)], cwd=ROOT, env=environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    runs = {mutant: (code, said) for mutant, code, said in map(json.loads, done.stdout.splitlines())}
    assert list(runs) == mutants
    code, said = runs.pop("")
    assert code == 0, f"without a fault it is green:\n{said}"
    for mutant, (code, said) in runs.items():
        assert code == 1, f"nothing noticed {mutant}:\n{said}"
        assert "1 failed" in said or "1 error" in said, said
