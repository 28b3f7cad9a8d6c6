"""Three books side by side: what Safaricom says, what we credited, and the service that was given.

Promises: every difference has a name and a price; a statement counts each movement once; a closed day never changes,
and its seal shows it.
"""

from tenants.reconciliation.acts import accept, credit, find_case, open_case, open_cases, resolve_case, take_back
from tenants.reconciliation.closing import (
    DayState,
    check_day,
    close_day,
    days_to_close,
    find_close,
    first_broken_seal,
    first_day,
    list_days,
)
from tenants.reconciliation.imports import (
    MAX_STATEMENT_BYTES,
    Imported,
    import_statement,
    list_statements,
)
from tenants.reconciliation.matching import KINDS, DayMatch, Difference, match, period_of
from tenants.reconciliation.models import DayCheck, DayClose, DifferenceDecision, Statement, StatementRow
from tenants.reconciliation.refusals import AlreadyClosed, DifferencesLeft, NotOver, StillPosting
from tenants.reconciliation.reports import PAGE, REPORTS, Line, Payment, payments_page, report, walk

__all__ = [
    "KINDS",
    "MAX_STATEMENT_BYTES",
    "PAGE",
    "REPORTS",
    "AlreadyClosed",
    "DayCheck",
    "DayClose",
    "DayMatch",
    "DayState",
    "Difference",
    "DifferenceDecision",
    "DifferencesLeft",
    "Imported",
    "Line",
    "NotOver",
    "Payment",
    "Statement",
    "StatementRow",
    "StillPosting",
    "accept",
    "check_day",
    "close_day",
    "credit",
    "days_to_close",
    "find_case",
    "find_close",
    "first_broken_seal",
    "first_day",
    "import_statement",
    "list_days",
    "list_statements",
    "match",
    "open_case",
    "open_cases",
    "payments_page",
    "period_of",
    "report",
    "resolve_case",
    "take_back",
    "walk",
]
