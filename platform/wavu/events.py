"""Facts that a capability announces. workers/reactions.py says, on one page, which jobs each of them starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from wavu import outbox


@dataclass(frozen=True)
class Event:
    """Something that happened, named in the past tense. Its fields are JSON values, instants or UUIDs."""

    @property
    def key(self) -> str:
        """What makes this fact one and the same within its tenant; its jobs run once per key."""
        raise NotImplementedError(f"{type(self).__name__} needs a key")


class Reaction(NamedTuple):
    """A job that an event starts."""

    job: str
    queue: outbox.Queue


_reactions: dict[type[Event], tuple[Reaction, ...]] = {}


def react(event: type[Event], *reactions: Reaction) -> None:
    """Declares what an event starts, possibly nothing. Called once per event while the application is composed."""
    _reactions[event] = reactions


def announce(event: Event) -> None:
    """Adds the event's jobs to the running transaction: they happen if, and only if, it commits.

    Announcing the same fact again adds nothing. Raises LookupError for an event that has no line in
    workers/reactions.py.
    """
    payload: dict[str, Any] = json.loads(json.dumps(asdict(event), default=str))
    for job, queue in _reactions[type(event)]:
        outbox.put(queue, job, event.key, payload)
