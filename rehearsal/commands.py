"""The commands of `./run` other than bringing the product up; each returns an exit code."""
# ruff: noqa: T201, S603

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rehearsal import environment, packages
from rehearsal.environment import DATABASE_URLS
from rehearsal.faults import SetupFault
from rehearsal.servers import read_private
from rehearsal.unprivileged import remove_outside
from rehearsal.up import ROOT, AlreadyRunning, Rehearsal, alive, claim, holder, is_ours

VAR = Path(os.environ.get("VAR_DIR") or ROOT / "var").absolute()
BIN = Path(sys.prefix) / "bin"
OWN_COMMAND = ("chaos", "browser", "bench")
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
    ("python", "-m", "migrations.check"),
)
# Each holds all of the ones below it, at the versions of the first: what was tested is what runs in production.
LOCKS = (
    ("requirements-dev.txt", ("pyproject.toml", "--all-extras")),
    ("requirements-rehearsal.txt", ("pyproject.toml", "--extra", "rehearsal", "-c", "requirements-dev.txt")),
    ("requirements.txt", ("pyproject.toml", "-c", "requirements-dev.txt")),
    ("requirements-uv.txt", ("-",)),
)


def up(args: Sequence[str]) -> int:
    if args:
        raise SetupFault(f"./run up takes no arguments, but got: {' '.join(args)}")
    environment.check_variables(os.environ)
    return Rehearsal(ROOT, VAR).run()


def test(args: Sequence[str]) -> int:
    packages.ensure()
    return _call(pytest_command(args))


def pytest_command(args: Sequence[str]) -> list[str]:
    """Everything in parallel unless the caller chose tests, a number of workers or a debugger."""
    command = [sys.executable, "-m", "pytest", *args]
    if not _chosen(args):
        command += ["tests", *(f"--ignore=tests/{name}" for name in OWN_COMMAND)]
    if not any(arg.startswith(("-n", "--numprocesses", "--pdb", "--trace")) for arg in args):
        command += ["-n", str(_cores())]
    return command


def _chosen(args: Sequence[str]) -> bool:
    return any((ROOT / arg.partition("::")[0]).exists() for arg in args if not arg.startswith("-"))


def chaos(args: Sequence[str]) -> int:
    # A PostgreSQL that is killed in the middle of a connect leaves a half-open connection to the garbage collector.
    return _call([*own_pytest_command("chaos", args), "-W", "ignore::ResourceWarning"])


def own_pytest_command(folder: str, args: Sequence[str]) -> list[str]:
    """All of one folder unless the caller chose tests; one after another."""
    return [sys.executable, "-m", "pytest", *([] if _chosen(args) else [f"tests/{folder}"]), *args]


def browser(args: Sequence[str]) -> int:
    packages.ensure()
    return _call(own_pytest_command("browser", args))


def bench(args: Sequence[str]) -> int:
    measurements = sorted(str(path) for path in (ROOT / "benchmarks").glob("*.py") if path.name != "__init__.py")
    return _call([sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.conftest", *measurements, *args])


def check(args: Sequence[str]) -> int:
    """Run every check even when one fails: a person wants to see all that is wrong."""
    if args:
        raise SetupFault(f"./run check takes no arguments, but got: {' '.join(args)}")
    failed = []
    for command in CHECKS:
        print(f"== {' '.join(command)}", flush=True)
        began = time.monotonic()
        if _call([str(BIN / command[0]), *command[1:]]):
            failed.append(" ".join(command))
        print(f"   {time.monotonic() - began:.1f} s", flush=True)
    print(f"Failed: {', '.join(failed)}" if failed else "All checks passed.")
    return 1 if failed else 0


def lock(args: Sequence[str]) -> int:
    """Keeps the pins that still fit unless told --upgrade; the files must not name a package index."""
    uv = BIN / "uv"
    if not uv.exists():
        _call([sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r", "requirements-uv.txt"])
    form = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
    for file, sources in LOCKS:
        command = [str(uv), "pip", "compile", *form, *sources, "-o", file, *args]
        if subprocess.run(command, cwd=ROOT, input=b"uv\n" if "-" in sources else b"", check=False).returncode:
            return 1
        print(f"{file}: {sum('==' in line for line in (ROOT / file).read_text().splitlines())} packages")
        if any(word in (ROOT / file).read_text() for word in ("http:", "https:", "file:", "index-url", "find-links")):
            raise SetupFault(f"{file} names a package index: compile it without index settings of this machine.")
    return 0


def reset(args: Sequence[str]) -> int:
    """Delete var/, and never a folder that is not a rehearsal's own."""
    if args:
        raise SetupFault(f"./run reset takes no arguments, but got: {' '.join(args)}")
    if not os.path.lexists(VAR):
        print("Nothing to delete.")
        return 0
    if VAR.is_symlink():
        raise SetupFault(f"{VAR} is a link: name the folder behind it: VAR_DIR={os.path.realpath(VAR)} ./run reset")
    if not is_ours(VAR):
        raise SetupFault(f"{VAR} is not a rehearsal's, so it stays: name in VAR_DIR the folder that ./run made.")
    with claim(VAR):
        remove_outside(VAR / "pg")
        try:
            shutil.rmtree(VAR)
        except OSError as error:
            raise SetupFault(f"{error.filename} could not be deleted ({error.strerror}): delete it by hand.") from error
    print(f"Deleted {VAR}.")
    return 0


def status(args: Sequence[str]) -> int:
    """Exit code 0 when the rehearsal runs, 3 when not."""
    if not running():
        print("Not running.")
        return 3
    print(f"Running as process {holder(VAR)}.")
    for name, pid in alive(VAR).items():
        print(f"  {name.ljust(20)} {pid}")
    return 0


def running() -> bool:
    if not is_ours(VAR) or not os.path.exists(VAR):
        return False
    try:
        claim(VAR).close()
    except AlreadyRunning:
        return True
    return False


def code(args: Sequence[str]) -> int:
    import pyotp

    wanted = [account for account in _facts().get("accounts", []) if not args or account.get("email") in args]
    for account in wanted:
        if secret := account.get("totp_secret"):
            print(f"{pyotp.TOTP(secret).now()}  {account['email']}")
    if not any(account.get("totp_secret") for account in wanted):
        raise SetupFault(f"No such account with a second factor in {VAR / 'rehearsal.json'}.")
    print(f"Good for {30 - int(time.time()) % 30} s.", file=sys.stderr)
    return 0


def manage(args: Sequence[str]) -> int:
    env = environment.build(ROOT, VAR, environment.wanted_ports(os.environ), _urls())
    os.chdir(ROOT)
    os.execve(BIN / "flask", ["flask", "--app", "wsgi", *(args or ["--help"])], env)  # noqa: S606


def _urls() -> dict[str, str]:
    facts = _facts()
    urls = {name: str(facts["postgres"][role.removeprefix("wavu_")]) for name, role in DATABASE_URLS.items()}
    return urls | {"REDIS_URL": str(facts["redis"])}


def _facts() -> dict[str, Any]:
    if facts := read_private(VAR / "rehearsal.json"):
        return facts
    raise SetupFault("There is no rehearsal yet: start it with ./run")


def _call(command: Sequence[str]) -> int:
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "VIRTUAL_ENV": sys.prefix}
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    while True:
        # Ctrl-C reaches the command too, and it may have things to clear away.
        with suppress(KeyboardInterrupt):
            return process.wait()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    function.__name__: function
    for function in (up, test, check, chaos, browser, bench, lock, reset, status, code, manage)
}
