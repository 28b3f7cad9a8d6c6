from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class NotEnoughMoney(Refused):
    """An account would fall below its floor. Nothing of the transaction was posted."""

    kind = Kind.CONFLICT
    message = N_("There is not enough money in the wallet.")


class AlreadyReversed(Refused):
    kind = Kind.CONFLICT
    message = N_("This was reversed before.")
