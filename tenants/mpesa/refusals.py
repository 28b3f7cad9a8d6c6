from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class NotReady(Refused):
    kind = Kind.CONFLICT
    message = N_("Paying by M-Pesa is not set up here yet. Ask the team for help.")
