"""System packages that only some tests need: installed where we may, otherwise named exactly."""
# ruff: noqa: T201, S603

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Any one of `programs` will do; `package` brings it, on Debian and on macOS."""

    programs: tuple[str, ...]
    debian: str
    brew: str


NEEDS = (
    Need(("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"), "chromium", "--cask chromium"),
    Need(("radclient",), "freeradius-utils", "freeradius-server"),
)
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")
PATIENCE = ("-qq", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")


def ensure() -> None:
    """Never fails: a test that cannot run says so itself."""
    wanted = missing()
    if not wanted or os.environ.get("APP_SYSTEM_DEPS") == "0":
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print(
            f"Installing system packages that some tests need: {', '.join(need.debian for need in wanted)} ...",
            flush=True,
        )
        _install([need.debian for need in wanted])
        wanted = missing()
    for line in advice(wanted):
        print(line, flush=True)


def missing() -> list[Need]:
    return [need for need in NEEDS if not any(shutil.which(program) for program in need.programs)]


def advice(wanted: list[Need]) -> Iterator[str]:
    """The exact lines to run, for this system."""
    if not wanted:
        return
    yield "Some tests cannot run without a system package. To have them:"
    if shutil.which("apt-get"):
        names = " ".join(need.debian for need in wanted if not (need.debian == "chromium" and _ubuntu()))
        if names:
            yield f"  {'' if os.geteuid() == 0 else 'sudo '}{' '.join(INSTALL)} {names}"
        if _ubuntu() and any(need.debian == "chromium" for need in wanted):
            yield "  sudo snap install chromium"
    elif shutil.which("brew"):
        yield from (f"  brew install {need.brew}" for need in wanted)
    else:
        yield f"  install {' and '.join(need.debian for need in wanted)} with your package manager"


def _ubuntu() -> bool:
    """Its chromium package is an empty shell around a snap."""
    release = Path("/etc/os-release")
    return release.exists() and "ID=ubuntu" in release.read_text().splitlines()


def _install(names: list[str]) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    quiet = subprocess.DEVNULL
    command = [*INSTALL, *PATIENCE, *names]
    if subprocess.run(command, env=env, stdin=quiet, stdout=quiet, stderr=quiet, check=False).returncode:
        subprocess.run(["apt-get", "update", *PATIENCE], env=env, stdin=quiet, stdout=quiet, check=False)  # noqa: S607
        subprocess.run(command, env=env, stdin=quiet, stdout=quiet, check=False)
