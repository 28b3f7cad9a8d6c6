"""Failpoints: named moments at which a process can be made to die, so that tests prove what a crash there costs.

`FAILPOINT_DIR` names a folder; config refuses it in production. A file there that is called like a point arms it: the
first process that comes by renames the file to `<point>.hit` and kills itself, and whoever comes next goes on. A file
that is not empty arms the point for what it names alone, such as one job.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.orm import Session

_folder: Path | None = None


def arm(folder: Path | None) -> None:
    """Says where this process looks for armed points; None: nowhere, and a point costs one look at a global."""
    global _folder
    _folder = folder


def failpoint(point: str, about: str = "") -> None:
    """Ends this process by SIGKILL, if the point is armed for all or for `about`. Once: of several processes, one."""
    if _folder is None:
        return
    armed = _folder / point
    with suppress(FileNotFoundError):
        if armed.read_text() in ("", about):
            armed.rename(_folder / f"{point}.hit")
            os.kill(os.getpid(), signal.SIGKILL)


def failpoint_at_commit(session: Session, point: str, about: str = "") -> None:
    """Points `<point>.before` and `<point>.after`, around the commit that the session's transaction is coming to."""
    if _folder is not None:
        event.listen(session, "before_commit", lambda _: failpoint(f"{point}.before", about), once=True)
        event.listen(session, "after_commit", lambda _: failpoint(f"{point}.after", about), once=True)
