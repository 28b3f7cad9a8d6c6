from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class NoPayerPhone(Refused):
    kind = Kind.CONFLICT
    message = N_("The number that paid is not known to us. Take the whole payment back instead.")


class NotProvenYet(Refused):
    kind = Kind.CONFLICT
    message = N_("M-Pesa has not told of this payment yet. It can go back once it has.")


class MoreThanCameIn(Refused):
    kind = Kind.CONFLICT
    message = N_("At most %(left)s of this payment can go back.")


class TooLittleToSend(Refused):
    """Build sheet 9: B2C moves 10 to 250,000 shillings."""

    message = N_("M-Pesa sends KES 10 to KES 250,000 at a time, in whole shillings.")


class OnlyWhole(Refused):
    kind = Kind.CONFLICT
    message = N_("A payment can be taken back as a whole only, and some of this one went back before.")


class AlreadyUnderWay(Refused):
    kind = Kind.CONFLICT
    message = N_("This payment is being taken back already.")


class SamePerson(Refused):
    kind = Kind.FORBIDDEN
    message = N_("A second person must approve this: somebody other than who asked for it.")


class NotOpen(Refused):
    kind = Kind.CONFLICT
    message = N_("This has gone on meanwhile. Look at where it stands now.")


class NotBought(Refused):
    kind = Kind.CONFLICT
    message = N_("This payment bought no package, or the package was given back before.")


class PaidWithAirtel(Refused):
    kind = Kind.CONFLICT
    message = N_(
        "This was paid with Airtel Money, and M-Pesa cannot send it back. Give it back to the customer's balance, or "
        "refund it in Airtel's own portal."
    )
