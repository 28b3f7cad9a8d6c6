from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from tenants import ledger
from wavu.db import TenantRow
from wavu.vault import Sealed

_ACCOUNT = ["tenant_id", "mpesa_account_id"], ["mpesa_account.tenant_id", "mpesa_account.id"]


class MpesaAccount(TenantRow):
    """A tenant's own Daraja app and shortcode. A PayBill has one number; a Till has the store's and the till's.

    An active one takes payments; a draft is being set up, or waits for its change; any other has had its time, and
    keeps its attempts and what is still reported of them. None is ever deleted.
    """

    __tablename__ = "mpesa_account"
    provider: ClassVar[str] = "mpesa"

    environment: Mapped[str]
    kind: Mapped[str]
    business_short_code: Mapped[str]
    party_b: Mapped[str]
    consumer_key_sealed: Mapped[bytes]
    consumer_secret_sealed: Mapped[bytes]
    passkey_sealed: Mapped[bytes]
    active: Mapped[bool] = mapped_column(default=True)
    # Whether the tenant has Safaricom's contract for standing orders (build sheet 14).
    standing_orders: Mapped[bool] = mapped_column(default=False)
    draft: Mapped[bool] = mapped_column(default=False)
    # Its name as Safaricom has it, once the owner has confirmed that this is theirs.
    organisation: Mapped[str | None]
    # Told of every change of where money goes, beside the owners.
    contact_email: Mapped[str | None]
    keys_set_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # What the tenant must mend, in words for them, and since when; None while all is well.
    fault: Mapped[str | None]
    fault_since: Mapped[datetime | None]
    # Since when payments are asked for and none comes, as none should be missing at this hour.
    silent_since: Mapped[datetime | None]
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

    @property
    def ledger_code(self) -> str:
        """Where the book has the money that is on it."""
        return ledger.mpesa(self.shortcode_group)

    def fingerprints(self) -> dict[str, str]:
        """What may be shown of its secrets: enough to see whether two are the same."""
        said = {"key": self.consumer_key, "secret": self.consumer_secret, "passkey": self.passkey}
        return {
            name: hashlib.sha256(f"{self.tenant_id} {name} {value}".encode()).hexdigest()[:8]
            for name, value in said.items()
        }


class MpesaInitiator(TenantRow):
    """In whose name an account's app pays out, takes back and asks: a user of the organisation portal.

    Either the password, with the certificate that encrypts it, or a ready SecurityCredential. While it is frozen
    nothing is asked in its name: M-Pesa locks it after some refusals.
    """

    __tablename__ = "mpesa_initiator"
    __table_args__ = (
        UniqueConstraint("tenant_id", "mpesa_account_id"),
        ForeignKeyConstraint(*_ACCOUNT, name="fk_mpesa_initiator_account"),
        CheckConstraint(
            "credential_sealed IS NOT NULL OR (password_sealed IS NOT NULL AND certificate IS NOT NULL)", name="secret"
        ),
    )

    mpesa_account_id: Mapped[UUID]
    name: Mapped[str]
    password_sealed: Mapped[bytes | None]
    certificate: Mapped[str | None]
    credential_sealed: Mapped[bytes | None]
    # When the password was set at the organisation portal, where the tenant lives: it is good for 90 days.
    password_set_on: Mapped[date]
    # When these credentials were given to us: what was refused before does not count against them.
    set_at: Mapped[datetime]
    fault: Mapped[str | None]
    fault_api: Mapped[str | None]
    fault_since: Mapped[datetime | None]
    frozen_at: Mapped[datetime | None]

    password = Sealed("password_sealed")
    credential = Sealed("credential_sealed")


class MpesaRequest(TenantRow):
    """One request to an API that answers later. Its token is in the addresses that M-Pesa was given for the outcome;
    `subject_id` is what it is about, for whoever asked."""

    __tablename__ = "mpesa_request"
    __table_args__ = (
        UniqueConstraint("tenant_id", "token_fingerprint"),
        ForeignKeyConstraint(*_ACCOUNT, name="fk_mpesa_request_account"),
    )

    mpesa_account_id: Mapped[UUID]
    api: Mapped[str]
    subject_id: Mapped[UUID | None]
    receipt: Mapped[str | None]
    token_fingerprint: Mapped[str]
    state: Mapped[str] = mapped_column(default="sent")
    code: Mapped[str | None]
    originator_conversation_id: Mapped[str | None]
    conversation_id: Mapped[str | None]
    answered_at: Mapped[datetime | None]


class MpesaResult(TenantRow):
    """What was told about a request, as it came: `result`, or `timeout` where M-Pesa itself does not know."""

    __tablename__ = "mpesa_result"
    __table_args__ = (
        UniqueConstraint("tenant_id", "request_id", "kind", "body_digest"),
        ForeignKeyConstraint(
            ["tenant_id", "request_id"], ["mpesa_request.tenant_id", "mpesa_request.id"], name="fk_mpesa_result_request"
        ),
    )

    request_id: Mapped[UUID]
    kind: Mapped[str]
    body_digest: Mapped[bytes]
    body: Mapped[bytes]
    peer: Mapped[str | None]
    outcome: Mapped[str | None]
    processed_at: Mapped[datetime | None]


class MpesaBalance(TenantRow):
    """What an account of M-Pesa's held at an instant, by M-Pesa's own word. `accounts` has a list under `accounts`."""

    __tablename__ = "mpesa_balance"
    __table_args__ = (ForeignKeyConstraint(*_ACCOUNT, name="fk_mpesa_balance_account"),)

    mpesa_account_id: Mapped[UUID]
    as_of: Mapped[datetime]
    accounts: Mapped[dict[str, Any]]


class MpesaCheck(TenantRow):
    """What one step of setting an account up found. Tried again, it is written over."""

    __tablename__ = "mpesa_check"
    __table_args__ = (
        UniqueConstraint("tenant_id", "account_id", "step"),
        ForeignKeyConstraint(
            ["tenant_id", "account_id"], ["mpesa_account.tenant_id", "mpesa_account.id"], name="fk_mpesa_check_account"
        ),
    )

    account_id: Mapped[UUID]
    step: Mapped[str]
    # waiting, ok, wrong, skipped or unknown.
    state: Mapped[str]
    code: Mapped[str | None]
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    checked_at: Mapped[datetime | None]


class MpesaChange(TenantRow):
    """Somebody wants money to go elsewhere, or other keys to be used: see changes.py."""

    __tablename__ = "mpesa_change"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "account_id"], ["mpesa_account.tenant_id", "mpesa_account.id"], name="fk_mpesa_change_account"
        ),
    )

    account_id: Mapped[UUID]
    # waiting, done or cancelled.
    state: Mapped[str] = mapped_column(default="waiting")
    effective_at: Mapped[datetime]
    requested_by: Mapped[UUID]
    requested_by_name: Mapped[str]
    contact_email: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    ended_by_name: Mapped[str | None]


class MpesaQr(TenantRow):
    """A picture to pay by with the M-Pesa app (qr.py): asked of M-Pesa once for an account, a reference and an amount.
    `title` is what stands above it, and `subject_id` what it pays for, for whoever asked."""

    __tablename__ = "mpesa_qr"
    __table_args__ = (
        UniqueConstraint("tenant_id", "mpesa_account_id", "reference", "amount_cents", name="uq_mpesa_qr_asked"),
        ForeignKeyConstraint(*_ACCOUNT, name="fk_mpesa_qr_account"),
        CheckConstraint("amount_cents > 0", name="amount"),
        CheckConstraint("(state = 'ready') = (picture IS NOT NULL)", name="picture"),
    )

    mpesa_account_id: Mapped[UUID]
    reference: Mapped[str]
    amount_cents: Mapped[int]
    title: Mapped[str]
    subject_id: Mapped[UUID | None]
    # asked, ready, or refused: what M-Pesa said is in `code`.
    state: Mapped[str] = mapped_column(default="asked")
    code: Mapped[str | None]
    picture: Mapped[bytes | None]
