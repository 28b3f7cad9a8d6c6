from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from tenants import ledger
from wavu.db import TenantRow
from wavu.vault import Sealed


class AirtelAccount(TenantRow):
    """A tenant's own application at Airtel's developer portal, and the merchant whose money it collects.

    `state`: draft (being set up), waiting (to take effect: see changes.py), on (takes payments), off (switched off,
    and may be switched on again), gone (dropped, or replaced). None is ever deleted: what is late still settles.
    """

    __tablename__ = "airtel_account"
    __table_args__ = (
        UniqueConstraint("tenant_id", "hook_fingerprint", name="uq_airtel_account_hook"),
        CheckConstraint("environment IN ('rehearsal', 'staging', 'production')", name="environment"),
        CheckConstraint("state IN ('draft', 'waiting', 'on', 'off', 'gone')", name="state"),
        CheckConstraint("merchant_number ~ '^[0-9A-Za-z]{4,15}$'", name="merchant_number"),
    )
    provider: ClassVar[str] = "airtel"

    environment: Mapped[str]
    # The till or merchant code at Airtel Money: names the account in our book, and to customers.
    merchant_number: Mapped[str]
    client_id_sealed: Mapped[bytes]
    client_secret_sealed: Mapped[bytes]
    # With which Airtel signs its callbacks, where the tenant has turned that on there.
    hash_key_sealed: Mapped[bytes | None]
    state: Mapped[str] = mapped_column(default="draft")
    # Told of every change of where money goes, beside the owners.
    contact_email: Mapped[str | None]
    keys_set_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # What the tests of its values found, by step: see setup.py.
    checks: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # While it waits: since when, until when, and who asked for it.
    asked_at: Mapped[datetime | None]
    effective_at: Mapped[datetime | None]
    requested_by: Mapped[UUID | None]
    requested_by_name: Mapped[str | None]
    # Whom to write to beside the owners: as it was before anything changed.
    told_email: Mapped[str | None]
    # What the tenant must mend, in words for them, and since when; None while all is well.
    fault: Mapped[str | None]
    fault_since: Mapped[datetime | None]
    token_sealed: Mapped[bytes | None]
    token_expires_at: Mapped[datetime | None]
    # Until when one process may fetch a token for all others.
    token_fetched_by: Mapped[datetime | None]
    # The token in the address to which Airtel calls back, and when it was first called.
    hook_fingerprint: Mapped[str]
    hook_token_sealed: Mapped[bytes]
    called_back_at: Mapped[datetime | None]

    client_id = Sealed("client_id_sealed")
    client_secret = Sealed("client_secret_sealed")
    hash_key = Sealed("hash_key_sealed")
    token = Sealed("token_sealed")
    hook_token = Sealed("hook_token_sealed")

    @property
    def label(self) -> str:
        return f"Airtel Money {self.merchant_number}"

    @property
    def shortcode_group(self) -> str:
        """Its name in the keys of receipts: no M-Pesa number is called so."""
        return f"airtel {self.merchant_number}"

    @property
    def ledger_code(self) -> str:
        """Where the book has the money that is on it."""
        return ledger.airtel(self.merchant_number)

    def fingerprints(self) -> dict[str, str | None]:
        """What may be shown of its secrets: enough to see whether two are the same."""
        said = {"id": self.client_id, "secret": self.client_secret}
        if self.hash_key_sealed is not None:
            said["hash"] = self.hash_key
        return {
            name: hashlib.sha256(f"{self.tenant_id} {name} {value}".encode()).hexdigest()[:8]
            for name, value in said.items()
        }
