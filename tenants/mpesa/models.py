from __future__ import annotations

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wavu.db import TenantRow
from wavu.vault import Sealed


class MpesaAccount(TenantRow):
    """A tenant's own Daraja app and shortcode. A PayBill has one number; a Till has the store's and the till's."""

    __tablename__ = "mpesa_account"
    __table_args__ = (
        UniqueConstraint(
            "tenant_id", "environment", "business_short_code", "party_b", name="uq_mpesa_account_shortcode"
        ),
    )

    environment: Mapped[str]
    kind: Mapped[str]
    business_short_code: Mapped[str]
    party_b: Mapped[str]
    consumer_key_sealed: Mapped[bytes]
    consumer_secret_sealed: Mapped[bytes]
    passkey_sealed: Mapped[bytes]
    active: Mapped[bool] = mapped_column(default=True)
    # What the tenant must mend, in words for them, and since when; None while all is well.
    fault: Mapped[str | None]
    fault_since: Mapped[datetime | None]
    token_sealed: Mapped[bytes | None]
    token_expires_at: Mapped[datetime | None]
    # Until when one process may fetch a token for all others.
    token_fetched_by: Mapped[datetime | None]
    # The long-lived token in the addresses that M-Pesa calls about payments made by hand.
    hook_fingerprint: Mapped[str | None]
    hook_token_sealed: Mapped[bytes | None]
    # What M-Pesa said when it was told of them, where it did not take them.
    hook_answer: Mapped[str | None]
    urls_registered_at: Mapped[datetime | None]
    pull_registered_at: Mapped[datetime | None]
    # Up to when Pull has told us of every payment.
    pulled_until: Mapped[datetime | None]
    # Whether a payment to an account number that is nobody's is refused. Else it is taken, into suspense.
    refuses_unknown_references: Mapped[bool] = mapped_column(default=False)

    consumer_key = Sealed("consumer_key_sealed")
    consumer_secret = Sealed("consumer_secret_sealed")
    passkey = Sealed("passkey_sealed")
    token = Sealed("token_sealed")
    hook_token = Sealed("hook_token_sealed")

    @property
    def label(self) -> str:
        """The number that customers pay to, as Safaricom calls it in every language: `PayBill 600100`."""
        return f"{'PayBill' if self.kind == 'paybill' else 'Till'} {self.party_b}"

    @property
    def shortcode_group(self) -> str:
        """One name for a PayBill, or for a store and its till: a receipt may be reported under either number."""
        return "+".join(sorted({self.business_short_code, self.party_b}))
