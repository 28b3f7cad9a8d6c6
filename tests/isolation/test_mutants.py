"""Proof that the suite notices: each fault planted into the schema or the session turns it red."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.stack import MUTANTS, ROOT

SESSION_MUTANTS = ("hook_blanked", "hook_skips_missing_tenant")


@pytest.mark.parametrize("mutant", [*MUTANTS, *SESSION_MUTANTS])
def test_the_suite_turns_red(mutant: str) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist",
         "tests/isolation/test_database.py"],
        cwd=ROOT, env=environ | {"WAVU_TEST_MUTANT": mutant}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, f"nothing noticed {mutant}:\n{done.stdout[-2000:]}"
    assert "1 failed" in done.stdout or "1 error" in done.stdout, done.stdout[-2000:]
