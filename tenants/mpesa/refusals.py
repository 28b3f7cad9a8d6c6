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
