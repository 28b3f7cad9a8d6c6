from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class NotReady(Refused):
    kind = Kind.CONFLICT
    message = N_("Paying by M-Pesa is not set up here yet. Ask the team for help.")


class InitiatorNotReady(Refused):
    kind = Kind.CONFLICT
    message = N_("The M-Pesa account has no API initiator yet: enter it under Money, M-Pesa initiator.")


class InitiatorFrozen(Refused):
    """M-Pesa refused the initiator, and locks it if it is tried again."""

    kind = Kind.CONFLICT
    message = N_("M-Pesa refused the API initiator. Enter new credentials before anything else is sent.")


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
