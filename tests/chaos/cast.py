"""`python -m tests.chaos.cast relay|workers`: the product's own processes, with two jobs added whose effects count."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from wavu import audit
from workers import relay, runtime
from workers.reactions import JOBS


def mark(payload: dict[str, Any]) -> None:
    """Database work: its effect and its mark commit together."""
    audit.record("chaos.effect", number=payload["number"])


def mark_after_call(payload: dict[str, Any]) -> Iterator[Callable[[], int]]:
    """A call to the outside, then its effect."""
    number = yield lambda: payload["number"]
    audit.record("chaos.effect", number=number)


if __name__ == "__main__":
    JOBS["chaos_mark"] = mark
    JOBS["chaos_call"] = mark_after_call
    role = sys.argv.pop(1)
    {"relay": relay.main, "workers": runtime.main}[role]()
