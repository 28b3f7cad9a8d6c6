"""What a person may get wrong: one sentence with the fix, and nothing of theirs is lost."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rehearsal import commands, unprivileged
from rehearsal.environment import PORTS
from rehearsal.faults import SetupFault
from rehearsal.servers import free_port, read_private
from rehearsal.up import MARK, claim
from tests.launcher.toys import PYTHON, ROOT
from tests.stack import TEMPLATE, Stack


def launch(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """As `run` does when the .venv is in order."""
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"} | environ
    command = [PYTHON, "-m", "rehearsal.launcher", *args]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def complaint(*args: str, **environ: str) -> str:
    """The one sentence of a command that fails."""
    done = launch(*args, **environ)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.rstrip()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "wedding.jpg").write_text("irreplaceable")
    return folder


@pytest.fixture
def var(tmp_path: Path) -> Path:
    folder = tmp_path / "var"
    claim(folder).close()
    return folder


def test_reset_deletes_what_a_rehearsal_made(var: Path) -> None:
    (var / "mail").mkdir()
    assert launch("reset", VAR_DIR=str(var)).stdout == f"Deleted {var}.\n"
    assert not var.exists()
    assert launch("reset", VAR_DIR=str(var)).stdout == "Nothing to delete.\n"


def test_no_command_takes_or_deletes_a_folder_of_somebody_elses(photos: Path) -> None:
    assert "photos is not a rehearsal's, so it stays" in complaint("reset", VAR_DIR=str(photos))
    assert "photos holds files that are no rehearsal's" in complaint("up", VAR_DIR=str(photos))
    assert launch("status", VAR_DIR=str(photos)).stdout == "Not running.\n"
    assert [path.name for path in photos.iterdir()] == ["wedding.jpg"]


def test_reset_keeps_an_empty_folder_that_no_rehearsal_made(tmp_path: Path) -> None:
    assert "is not a rehearsal's" in complaint("reset", VAR_DIR=str(tmp_path))
    assert tmp_path.exists()


@pytest.mark.parametrize("below", ["", "me"])
def test_reset_never_deletes_a_home_whatever_it_holds(var: Path, below: str) -> None:
    (var / below).mkdir(exist_ok=True)
    assert "is not a rehearsal's" in complaint("reset", VAR_DIR=str(var), HOME=str(var / below))
    assert (var / MARK).exists()


@pytest.mark.parametrize("place", [Path("/"), ROOT, ROOT.parent, ROOT / "docs"])
def test_the_checkout_and_what_is_above_it_is_no_rehearsals(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "VAR", place)
    monkeypatch.setattr(shutil, "rmtree", lambda path: pytest.fail(f"{path} would be gone"))
    with pytest.raises(SetupFault, match="is not a rehearsal's, so it stays"):
        commands.reset(())


def test_reset_of_a_link_names_the_folder_behind_it(tmp_path: Path, var: Path) -> None:
    (tmp_path / "link").symlink_to(var)
    said = complaint("reset", VAR_DIR=str(tmp_path / "link"))
    assert said.endswith(f"is a link: name the folder behind it: VAR_DIR={var} ./run reset")
    assert var.exists()


def test_a_database_that_somebody_else_linked_to_stays(var: Path, photos: Path) -> None:
    (var / "pg").symlink_to(photos)
    assert launch("reset", VAR_DIR=str(var)).returncode == 0
    assert not var.exists()
    assert (photos / "wedding.jpg").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps its database elsewhere")
def test_the_folder_that_we_made_for_a_database_goes_with_it(
    var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "SCRATCH", tmp_path)
    monkeypatch.setattr(unprivileged, "_works", lambda *_: True)
    monkeypatch.setattr(commands, "VAR", var)
    real = unprivileged._as_account(tmp_path / "programs", var / "pg").data
    assert (var / "pg").resolve() == real
    copied = tmp_path / "copy" / "pg"
    copied.parent.mkdir()
    copied.symlink_to(real)
    unprivileged.remove_outside(copied)  # a copy of the checkout has the link, but it is not its own
    assert real.exists()
    commands.reset(())
    assert not real.parent.exists()
    assert not var.exists()


@pytest.mark.parametrize("text", ["abc", "-1", "nan", "inf"])
def test_a_stop_grace_that_is_no_number(tmp_path: Path, text: str) -> None:
    said = complaint("up", VAR_DIR=str(tmp_path), STOP_GRACE=text)
    assert said == f"STOP_GRACE={text} is not a number of seconds: choose one such as STOP_GRACE=10."


def test_all_variables_that_are_wrong_are_named_at_once(tmp_path: Path) -> None:
    wrong = {
        "PORT": "abc", "SMTP_PORT": "99999", "RADIUS_AUTH_PORT": "4812", "RADIUS_ACCT_PORT": "4812",
        "STOP_GRACE": "abc", "DATABASE_URL": "x",
    }  # fmt: skip
    done = launch("up", VAR_DIR=str(tmp_path), **wrong)
    assert done.returncode == 1
    assert [line.split("=")[0].split(",")[0] for line in done.stderr.splitlines()] == [
        "PORT", "SMTP_PORT", "RADIUS_AUTH_PORT", "STOP_GRACE", "DATABASE_URL is set",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["/proc/x", "file", "file/below", "loop"])
def test_a_place_that_can_be_no_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    var = str(tmp_path / place)
    assert "cannot be used (" in complaint("up", VAR_DIR=var)
    assert launch("status", VAR_DIR=var).stdout == "Not running.\n"
    assert "Traceback" not in launch("reset", VAR_DIR=var).stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_system_that_takes_no_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SetupFault, match=r"var cannot be used \(Read-only file system\): use a checkout"):
        claim(tmp_path / "var")


@pytest.mark.parametrize(
    ("name", "command"),
    [("rehearsal.json", "manage"), ("processes.json", "up"), ("pg.json", "up"), ("secrets.json", "up")],
)
def test_a_broken_file_is_named(var: Path, name: str, command: str) -> None:
    (var / name).write_text("{")
    done = launch(command, VAR_DIR=str(var), **{port.variable: str(free_port()) for port in PORTS})
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"{var / name} is broken: put it right, or delete")
    assert done.stderr.strip().count("\n") == 0


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_what_is_no_json_object_is_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.json").write_bytes(content)
    with pytest.raises(SetupFault, match=r"note\.json is broken"):
        read_private(tmp_path / "note.json")
    assert read_private(tmp_path / "none.json") == {}


def test_a_reader_that_has_enough_is_no_fault(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}", "VAR_DIR": str(tmp_path)}
    command = [PYTHON, "-m", "rehearsal.launcher", "status"]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""


@pytest.mark.parametrize("text", ["abc", "0", "-2", "1000"])
def test_a_web_of_no_number_is_named_with_all_other_faults(text: str) -> None:
    command = [PYTHON, "-m", "gunicorn", "-c", "config/gunicorn.py", "wsgi:app"]
    bad = {"WEB_WORKERS": text, "WEB_THREADS": text, "PORT": "web", "REDIS_URL": "cache"}
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"} | bad
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    named = {line.strip(" -").partition(":")[0] for line in done.stderr.splitlines() if line.startswith("  - ")}
    assert named > {*bad, "DATABASE_URL", "SECRET_KEY", "SPOOL_DIR"}
    assert "Choose a number from 1 to 999, such as WEB_WORKERS=2" in done.stderr


def test_a_code_of_nobody_names_the_file(var: Path) -> None:
    (var / "rehearsal.json").write_text('{"accounts": []}')
    assert complaint("code", "x", VAR_DIR=str(var)).endswith(f"in {var / 'rehearsal.json'}.")


def test_manage_alone_lists_its_commands(var: Path, servers: Stack) -> None:
    roles = {role: servers.url(f"wavu_{role}", TEMPLATE) for role in ("app", "owner", "relay")}
    (var / "rehearsal.json").write_text(json.dumps({"postgres": roles, "redis": servers.redis_url}))
    done = launch("manage", VAR_DIR=str(var))
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout
