# ruff: noqa: S607

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from rehearsal.commands import COMMANDS
from tests.launcher.toys import PYTHON, ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone, and a PATH with only what a bare Debian has."""
    place = tmp_path / "checkout"
    programs = tmp_path / "bin"
    for folder in (place, programs):
        folder.mkdir()
    for name in ("run", "requirements-rehearsal.txt", "requirements-dev.txt", "requirements-uv.txt"):
        shutil.copy(ROOT / name, place)
    for name in ("sh", "cat", "cksum", "date", "dirname", "grep", "id", "mkdir", "rm", "sed", "tail", "sleep"):
        (programs / name).symlink_to(str(shutil.which(name)))
    return place


def fake_python(checkout: Path, name: str, version: str, venv: str) -> None:
    """An interpreter that answers the three questions of `run`, and whose venv module does what `venv` says."""
    program = checkout.parent / "bin" / name
    modern = 0 if int(version.split(".")[1]) >= 11 else 1
    program.write_text(f"""#!/bin/sh
case "$*" in
  *ensurepip*) [ "{venv}" != none ] ;;
  *'print('*) echo {version} ;;
  *version_info*) exit {modern} ;;
  *'-m venv'*) mkdir -p .venv/bin; {venv} ;;
esac
""")
    program.chmod(0o755)


def run(checkout: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(checkout.parent / "bin"), "HOME": str(checkout)}
    return subprocess.run([str(checkout / "run"), *args], env=env, capture_output=True, text=True, check=False)


def test_without_python_one_sentence_says_what_to_do(checkout: Path) -> None:
    done = run(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed")
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_too_old_a_python_is_named(checkout: Path) -> None:
    fake_python(checkout, "python3", "3.9", "exit 0")
    fake_python(checkout, "apt-get", "3.9", "exit 0")
    done = run(checkout, "test")
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.9 is too old, 3.11 or newer is needed: ")
    assert "apt-get install -y python3 python3-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_python_without_venv_names_the_package(checkout: Path) -> None:
    fake_python(checkout, "python3", "3.12", "none")
    fake_python(checkout, "apt-get", "3.9", "exit 0")
    done = run(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.12 is here, but without its venv module: ")
    assert done.stderr.rstrip().endswith("apt-get install -y python3.12-venv")
    assert not (checkout / ".venv").exists()


def test_a_newer_python_is_found_beside_an_old_one_and_a_half_made_venv_is_removed(checkout: Path) -> None:
    fake_python(checkout, "python3", "3.9", "exit 0")
    fake_python(checkout, "python3.13", "3.13", "echo disk full >&2; exit 1")
    done = run(checkout)
    assert done.returncode == 1
    assert "Making .venv with Python 3.13" in done.stdout
    assert "disk full" in done.stderr
    assert "Could not make .venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_help_names_every_command_and_needs_nothing(checkout: Path) -> None:
    done = run(checkout, "help")
    assert done.returncode == 0
    assert {"up", *re.findall(r"^\./run (\w+)", done.stdout, re.M)} == {*COMMANDS, "help"}
    assert not (checkout / ".venv").exists()
    assert run(checkout, "fly").stderr == "There is no command fly: see ./run help\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a folder that others may not write in")
@pytest.mark.parametrize("place", ["var", "var/log", ".venv"])
def test_what_root_left_behind_is_given_back_by_one_command(place: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "run", folder)
        for path in (Path(folder), *(Path(folder, name) for name in ("var", "var/log", ".venv"))):
            path.mkdir(exist_ok=True)
            path.chmod(0o755 if path == Path(folder, place) else 0o777)
        done = subprocess.run([f"{folder}/run"], user=65534, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f'No right to write in {place}, which another user made: sudo chown -R "$(id -un)" var .venv\n'
    )


@pytest.mark.parametrize(
    ("installed", "command", "installs"),
    [
        ("requirements-rehearsal.txt", "status", False),
        ("requirements-rehearsal.txt", "test", True),
        ("requirements-dev.txt", "status", False),
        ("requirements-dev.txt", "test", False),
        ("", "status", True),
    ],
)
def test_the_bigger_set_satisfies_both_and_nothing_is_done_twice(
    checkout: Path, installed: str, command: str, installs: bool
) -> None:
    log = checkout / "calls"
    program = checkout / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    for path in (program, program.with_name("pip"), program.with_name("uv")):
        path.write_text(f'#!/bin/sh\necho "$0 $*" >>{log}\n')
        path.chmod(0o755)
    sums = f"cat requirements-uv.txt {installed} | cksum"
    if installed:
        total = subprocess.run(["sh", "-c", sums], cwd=checkout, capture_output=True, text=True, check=True).stdout
        (checkout / ".venv" / ".installed").write_text(f"{checkout}\n{installed} {total}")
    for expected in (installs, False):
        log.write_text("")
        assert run(checkout, command).returncode == 0
        assert ("uv pip install" in log.read_text()) == expected
        assert f"-m rehearsal.launcher {command}" in log.read_text()


def test_each_set_of_packages_holds_the_smaller_one_at_the_same_versions() -> None:
    production, with_servers, development = (
        set(re.findall(r"^(\S+==[^\s;]+)", (ROOT / name).read_text(), re.M))
        for name in ("requirements.txt", "requirements-rehearsal.txt", "requirements-dev.txt")
    )
    assert production < with_servers < development


def test_production_installs_no_server_of_the_rehearsal() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    production = re.findall(r"^([^=\s]+)==", (ROOT / "requirements.txt").read_text(), re.M)
    assert set(extras["rehearsal"]) & set(production) == set()
    assert set(extras["dev"]) & set(production) == set()


def test_the_standard_platform_module_is_not_shadowed() -> None:
    env = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}", "PATH": os.defpath}
    code = "import platform, wavu; print(platform.python_implementation())"
    done = subprocess.run([PYTHON, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "CPython", done.stderr
