"""Why setting an account up, or changing where money goes, is refused: the same at every gateway (ADR 0018)."""

from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class NotTested(Refused):
    kind = Kind.CONFLICT
    message = N_("Test this account first: not every value is known to be right.")


class AlreadyInUse(Refused):
    kind = Kind.CONFLICT
    message = N_("This account takes payments: its values change by a change that is announced.")


class ChangeWaiting(Refused):
    kind = Kind.CONFLICT
    message = N_("Another change is waiting already. Cancel it, or let it take effect first.")


class NeedsAnother(Refused):
    kind = Kind.FORBIDDEN
    message = N_("Somebody else must approve this: you asked for it.")


class ChangeOver(Refused):
    kind = Kind.CONFLICT
    message = N_("This change is over: it has taken effect, or was cancelled.")
