from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class PromptOpen(Refused):
    kind = Kind.CONFLICT
    message = N_("This phone was asked a moment ago. Finish that request if it is open, or wait %(seconds)s seconds.")


class TooManyPrompts(Refused):
    kind = Kind.TOO_MANY
    message = N_("Too many requests to this phone. Wait %(minutes)s minutes and try again.")


class TooManyPromptsToday(Refused):
    kind = Kind.TOO_MANY
    message = N_("This phone was asked to pay too often today. Try again tomorrow.")


class MoreThanLeft(Refused):
    kind = Kind.CONFLICT
    message = N_("There is less left of this payment. Reload the page and try again.")


class AlreadyVoided(Refused):
    kind = Kind.CONFLICT
    message = N_("This payment was taken back already.")


class AlreadySpent(Refused):
    kind = Kind.CONFLICT
    message = N_("The customer has spent this money. Take the package back first, or leave the payment.")


class NoReceipt(Refused):
    message = N_("A receipt code has ten letters and digits, such as UKO7RT61SV.")


class TooLargeByHand(Refused):
    message = N_("Up to KES 5,000 can be entered by hand. M-Pesa tells of larger payments within 15 minutes.")


class ReceiptKnown(Refused):
    kind = Kind.CONFLICT
    message = N_("This receipt has come in already. Search for it under Payments.")
