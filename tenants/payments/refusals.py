from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class PromptOpen(Refused):
    kind = Kind.CONFLICT
    message = N_("A request is open on this phone. Finish it, or wait %(seconds)s seconds.")


class TooManyPrompts(Refused):
    kind = Kind.TOO_MANY
    message = N_("Too many requests to this phone. Wait %(minutes)s minutes and try again.")


class TooManyPromptsToday(Refused):
    kind = Kind.TOO_MANY
    message = N_("This phone was asked to pay too often today. Try again tomorrow.")


class MoreThanLeft(Refused):
    kind = Kind.CONFLICT
    message = N_("There is less left of this payment. Reload the page and try again.")
