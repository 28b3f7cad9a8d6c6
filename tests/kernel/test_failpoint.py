"""A failpoint does nothing where none is armed, and kills once where one is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config import ConfigurationError, load
from tests.kernel.test_config import GOOD
from tests.stack import ROOT
from wavu import failpoint

_PASS = """
import sys
from pathlib import Path
from wavu import failpoint
failpoint.arm(Path(sys.argv[1]) if sys.argv[1] else None)
failpoint.failpoint("cp4.before", "daraja")
print("alive")
"""


def _ends(folder: Path | None) -> int:
    """How a process ends that comes by: its exit code."""
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
    done = subprocess.run([sys.executable, "-c", _PASS, str(folder or "")], env=environ, capture_output=True)
    assert (done.stdout == b"alive\n") is (done.returncode == 0), done.stderr
    return done.returncode


def test_an_armed_point_kills_the_first_who_comes_by(tmp_path: Path) -> None:
    (tmp_path / "cp4.before").touch()
    assert [_ends(tmp_path), _ends(tmp_path)] == [-signal.SIGKILL, 0]
    assert (tmp_path / "cp4.before.hit").exists()


@pytest.mark.parametrize(("about", "code"), [("daraja", -signal.SIGKILL), ("settlement", 0)])
def test_a_point_is_armed_for_what_it_names(tmp_path: Path, about: str, code: int) -> None:
    (tmp_path / "cp4.before").write_text(about)
    assert _ends(tmp_path) == code


def test_without_a_folder_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cp4.before").touch()
    monkeypatch.chdir(tmp_path)
    assert failpoint._folder is None
    failpoint.failpoint("cp4.before", "daraja")
    assert _ends(None) == 0


def test_production_refuses_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(GOOD | {"FAILPOINT_DIR": str(tmp_path)})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["FAILPOINT_DIR"]
