"""The three ways in which something does not happen: a business no, an outage, and (everything else) a bug."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


def N_(message: str) -> str:
    """Marks a message for translation where it stands; it is translated where it is shown."""
    return message


class Kind(StrEnum):
    """What sort of no it is. Each surface renders it in its own way; none of them is an HTTP status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"


class Refused(Exception):
    """A business no, for the reader: a page, JSON, a RADIUS reject or a finished job, never an alarm.

    Subclasses are sentences (`SlugTaken`) with a `message` whose %(name)s places are filled from `facts`. A message
    never says whether another tenant's thing exists.
    """

    kind: ClassVar[Kind] = Kind.INVALID
    message: ClassVar[str] = N_("This cannot be done.")

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        super().__init__(self.message % facts)

    @property
    def retry_after_seconds(self) -> int | None:
        """When the same may be tried again, where waiting helps."""
        return None

    @property
    def code(self) -> str:
        """The class name in snake case: what machines read."""
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in type(self).__name__).lstrip("_")


class NotFound(Refused):
    """Also said of another tenant's thing: the two must look the same."""

    kind = Kind.NOT_FOUND
    message = N_("We could not find that.")


class Outage(Exception):
    """Something outside, or our own database, does not answer. Retried with backoff; counted, not alarmed."""

    def __init__(self, system: str, retry_after_seconds: int = 5) -> None:
        self.system = system
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{system} does not answer")
