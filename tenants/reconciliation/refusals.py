from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class StatementUnreadable(Refused):
    """A row of the file is not what a statement holds. `row` counts from 1, as a spreadsheet does."""

    message = N_("Row %(row)s, column %(column)s: %(value)s is not what belongs there. Nothing was imported.")


class StatementShort(Refused):
    message = N_("Row %(row)s ends before the column %(column)s. Nothing was imported.")


class NoStatement(Refused):
    message = N_(
        "This is no M-Pesa statement: we look for the columns Receipt No., Completion Time, Paid In and Withdrawn."
        " Export it from the M-Pesa organisation portal as CSV."
    )


class StatementBroken(Refused):
    """The balance column does not add up."""

    kind = Kind.CONFLICT
    message = N_(
        "Row %(row)s: the balance before %(receipt)s is not the one that the movement before it left: %(gap)s is"
        " between them. A row was left out or changed. Export the statement again, without filters; nothing was"
        " imported."
    )


class OfAnotherShortcode(Refused):
    kind = Kind.CONFLICT
    message = N_("This statement is of %(found)s and not of %(wanted)s. Nothing was imported.")


class SaysOtherwise(Refused):
    kind = Kind.CONFLICT
    message = N_(
        "Row %(row)s: an earlier statement says something else of %(receipt)s. One of the two files was changed;"
        " nothing was imported."
    )


class AlreadyClosed(Refused):
    kind = Kind.CONFLICT
    message = N_("This day is closed already.")


class NotOver(Refused):
    kind = Kind.CONFLICT
    message = N_("This day is not over yet.")


class StillPosting(Refused):
    kind = Kind.CONFLICT
    message = N_("Something that began on this day is still being written. Try again in a minute.")


class DifferencesLeft(Refused):
    kind = Kind.CONFLICT
    message = N_("%(count)s differences are still open: credit, explain or follow up each of them first.")


class NoSuchDifference(Refused):
    kind = Kind.NOT_FOUND
    message = N_("This difference is gone: somebody settled it, or new facts came in.")
