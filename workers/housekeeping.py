"""Jobs that keep the house clean."""

from __future__ import annotations

from typing import Any

from wavu import accounts


def forget_old_sessions(_: dict[str, Any]) -> None:
    """Deletes sessions, links and attempts that have had their time. Running twice finds nothing the second time."""
    accounts.forget_old()
