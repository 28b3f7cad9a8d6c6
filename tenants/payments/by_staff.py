"""A receipt that a member of staff types in, from a customer's phone: believed at once, and to be proven by M-Pesa."""

from __future__ import annotations

from uuid import UUID

from tenants.mpesa import MpesaAccount
from tenants.payments import callbacks, pull, receipts
from tenants.payments.receipts import Report
from tenants.payments.refusals import NoReceipt, ReceiptKnown, TooLargeByHand
from wavu import audit, clock

SOURCE = "staff"
# More than this waits for M-Pesa's own word.
MOST_CENTS = 500_000


def enter(account: MpesaAccount, *, receipt: str, amount_cents: int, subscriber_id: UUID) -> None:
    """Credits a payment that nobody has told us of, and asks M-Pesa for it. Audited. Raises NoReceipt, TooLargeByHand,
    or ReceiptKnown where it was credited before, by whomever."""
    code = callbacks.receipt_of(receipt.strip().upper())
    if code is None:
        raise NoReceipt
    if not 0 < amount_cents <= MOST_CENTS:
        raise TooLargeByHand
    if not receipts.credit(account, Report(code, amount_cents, SOURCE), subscriber_id=subscriber_id):
        raise ReceiptKnown
    audit.record("payment.entered", subject=subscriber_id, receipt=code, amount_cents=str(amount_cents))
    pull.ask_for(None, f"entered {clock.now():%Y%m%dT%H%M}")
