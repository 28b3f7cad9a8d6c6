from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class NotReady(Refused):
    kind = Kind.CONFLICT
    message = N_("Paying with Airtel Money is not set up here. Pay with M-Pesa.")
