from __future__ import annotations

from sqlalchemy import text

from wavu.db import db

_CHECKS = {
    "the entries in {0} sum to {1} and not to 0": """
        SELECT currency, sum(amount_cents) FROM ledger_entry GROUP BY currency HAVING sum(amount_cents) <> 0""",
    "transaction {0} sums to {1} and not to 0, or has fewer than two legs": """
        SELECT t.key, coalesce(sum(e.amount_cents), 0) FROM ledger_transaction t
        LEFT JOIN ledger_entry e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
        GROUP BY t.id, t.key, e.currency HAVING coalesce(sum(e.amount_cents), 0) <> 0 OR count(e.id) < 2""",
    "account {0} has a balance that is off by {1} from its entries": """
        SELECT a.code, a.balance_cents - coalesce(sum(e.amount_cents), 0) FROM ledger_account a
        LEFT JOIN ledger_entry e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
        GROUP BY a.id, a.code, a.balance_cents HAVING a.balance_cents <> coalesce(sum(e.amount_cents), 0)""",
    "account {0} stands at {1}, below what it may": """
        SELECT code, balance_cents FROM ledger_account
        WHERE balance_cents < coalesce(floor_cents, balance_cents)
        OR (balance_cents < 0 AND code ~ '^liab:(wallet|promo|voucher_outstanding|reseller_float|suspense):')""",
}


def audit() -> list[str]:
    """What is wrong with the current tenant's book, a sentence each; empty for a sound one.

    Invariants I1 to I3: entries sum to 0 per currency, each transaction's too; every balance is the sum of its
    entries; no account is below its floor. Reads the whole book.
    """
    return [sentence.format(*found) for sentence, query in _CHECKS.items() for found in db.session.execute(text(query))]
