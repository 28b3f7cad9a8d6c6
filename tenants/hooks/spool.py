"""The spool: callbacks that came while PostgreSQL was away, each in a file of its own until it is back.

Daraja may never say again what it was not answered to. So a callback that the database cannot take is written to disk,
forced there, and answered; a thread of each web process hands the files in, in the order in which they came.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import structlog
from flask import Flask

from config import ConfigurationError, Settings
from tenants import checkout, mpesa, payments
from wavu import ids
from wavu.db import is_outage, transaction
from wavu.failpoint import failpoint
from wavu.tenancy import tenant_scope

log = structlog.get_logger(__name__)

# Nobody can check a token while the database is away: a stranger may fill the spool, and no more of the disk than this.
MOST_FILES = 50_000
_LOOK_SECONDS = 2.0


# What stores a machine's word, by the letter that its path carries; each answers whether the token is somebody's.
RECEIVERS: dict[str, Callable[[str, bytes, str | None], bool]] = {
    "s": payments.receive_callback,
    "a": payments.receive_airtel,
    "c": payments.receive_confirmation,
    "r": partial(mpesa.receive_result, "result"),
    "q": partial(mpesa.receive_result, "timeout"),
    "o": checkout.receive_standing_order,
}


class Callback(NamedTuple):
    """What a machine said, as it came; `kind` is a key of RECEIVERS."""

    kind: str
    tenant_id: UUID
    token: str
    body: bytes
    peer: str | None


class SpoolFull(Exception):
    """There is no room: the caller must be told to come again."""


class Spool:
    """A folder of callbacks, shared by the web processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watched_by: int | None = None
        self._stop = threading.Event()

    def keep(self, callback: Callback) -> None:
        """Returns once it is on the disk. Raises SpoolFull, or OSError where the disk does not take it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(self.waiting()) >= MOST_FILES:
            raise SpoolFull
        said = callback._asdict() | {
            "tenant_id": str(callback.tenant_id),
            "body": base64.b64encode(callback.body).decode(),
        }
        # The names sort by age.
        path = self._folder / f"{ids.new_id()}.json"
        part = path.with_suffix(".part")
        with open(part, "x", encoding="utf-8", opener=_private) as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        failpoint("cp23.before")
        part.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        failpoint("cp23.after")

    def takes(self) -> bool:
        """Whether the folder is there, or can be made, and can be written."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.access(self._folder, os.W_OK | os.X_OK)
        return False

    def waiting(self) -> list[Path]:
        """The files, oldest first."""
        with suppress(FileNotFoundError):
            return sorted(path for path in self._folder.iterdir() if path.suffix == ".json")
        return []

    def hand_in(self, app: Flask) -> int:
        """Gives what waits to the inbox and returns how many there were. Stops where the database is still away.

        One process at a time; a file goes only after its callback is stored, and the inbox takes a copy once.
        """
        handed = 0
        with self._alone() as alone:
            for path in self.waiting() if alone else []:
                try:
                    self._hand_in(app, path)
                except Exception as error:
                    if is_outage(error):
                        break
                    log.exception("a spooled callback cannot be handed in", file=path.name)
                    path.rename(path.with_suffix(".bad"))
                else:
                    handed += 1
        if handed:
            log.warning("spooled callbacks handed in", number=handed)
        return handed

    def _hand_in(self, app: Flask, path: Path) -> None:
        said = json.loads(path.read_text("utf-8"))
        body = base64.b64decode(said["body"])
        failpoint("cp23.before_handing_in")
        with app.app_context(), tenant_scope(UUID(said["tenant_id"])), transaction():
            known = RECEIVERS[said["kind"]](said["token"], body, said["peer"])
        if not known:
            log.warning("a spooled callback is nobody's", tenant=said["tenant_id"])
        failpoint("cp23.handed_in")
        path.unlink()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        if not self._folder.is_dir():
            yield False
            return
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def watch(self, app: Flask) -> None:
        """Starts this process's thread that hands in what waits, now and later. A second call does nothing."""
        if self._watched_by != os.getpid():
            self._watched_by = os.getpid()
            threading.Thread(target=self._watch, args=(app,), name="spool", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread; what waits stays."""
        self._stop.set()

    def _watch(self, app: Flask) -> None:
        while not self._stop.is_set():
            try:
                if self.waiting():
                    self.hand_in(app)
            except Exception:
                log.exception("the spool cannot be read")
            self._stop.wait(_LOOK_SECONDS)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def init_spool(app: Flask, settings: Settings) -> None:
    """Gives the application its spool, if one is configured. Threads do not survive a fork, so each process starts its
    own with the first request that it serves, whatever it is for: a health check will do."""
    if settings.spool_dir is None:
        return
    app.extensions["spool"] = spool = Spool(settings.spool_dir)
    if not spool.takes():
        raise ConfigurationError(["SPOOL_DIR: cannot be made or written by this process. Give it a folder of its own."])
    app.before_request(lambda: app.extensions["spool"].watch(app))
