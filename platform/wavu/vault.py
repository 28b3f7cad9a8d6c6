"""Secrets at rest. A key of ours (KEK, from VAULT_KEYS) wraps one data key (DEK) per tenant, which seals values.

A sealed value opens only in the tenant, table, column and row for which it was sealed (AES-256-GCM with these as
associated data); destroying a tenant's data keys destroys its secrets, backups included.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from itertools import pairwise
from typing import Any, ClassVar, overload
from uuid import UUID

from cachetools import LRUCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import current_app
from sqlalchemy import UniqueConstraint, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Mapped

from wavu.db import TenantRow, db, tenant_context

_NONCE_BYTES = 12
_KEK_ID_BYTES = 2
_VERSION_BYTES = 4


class CannotOpen(Exception):
    """A sealed value does not open: moved to another place, changed, or its key is gone."""


class VaultKey(TenantRow):
    """One data key of a tenant, wrapped. The highest version seals; older ones only open."""

    __tablename__ = "vault_key"
    __table_args__ = (UniqueConstraint("tenant_id", "version"),)

    version: Mapped[int]
    kek: Mapped[int]
    wrapped: Mapped[bytes]


class Vault:
    """The keys of this deployment in this process. Data keys are unwrapped once and kept in memory."""

    def __init__(self, keks: dict[int, bytes]) -> None:
        self._keks = {number: AESGCM(key) for number, key in keks.items()}
        self.newest_kek = max(keks)
        # By row and not by version: a transaction that made a first key may be rolled back, and the next makes another.
        self._opened: LRUCache[UUID, AESGCM] = LRUCache(4096)

    def wrap(self, tenant_id: UUID, version: int, key: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._keks[self.newest_kek].encrypt(nonce, key, _wrap_data(tenant_id, version))

    def unwrap(self, row: VaultKey) -> bytes:
        kek = self._keks.get(row.kek)
        if kek is None:
            raise CannotOpen(f"VAULT_KEYS has no key {row.kek}, which wraps a tenant's data key")
        try:
            return kek.decrypt(
                row.wrapped[:_NONCE_BYTES], row.wrapped[_NONCE_BYTES:], _wrap_data(row.tenant_id, row.version)
            )
        except InvalidTag:
            raise CannotOpen(f"key {row.kek} of VAULT_KEYS is not the one that wrapped a tenant's data key") from None

    def data_key(self, row: VaultKey) -> AESGCM:
        if row.id not in self._opened:
            self._opened[row.id] = AESGCM(self.unwrap(row))
        return self._opened[row.id]


def _wrap_data(tenant_id: UUID, version: int) -> bytes:
    return f"wavu-dek|{tenant_id}|{version}".encode()


def _vault() -> Vault:
    vault: Vault = current_app.extensions["vault"]
    return vault


def _key_row(version: int | None = None) -> VaultKey | None:
    query = select(VaultKey).order_by(VaultKey.version.desc()).limit(1)
    return db.session.scalar(query if version is None else query.where(VaultKey.version == version))


def _read_keys() -> dict[tuple[UUID | None, int], VaultKey]:
    """The rows that this transaction has opened values with, so that it asks for each once."""
    rows: dict[tuple[UUID | None, int], VaultKey] = db.session.info.setdefault("vault_keys", {})
    return rows


def _opening_key(version: int) -> VaultKey:
    known, place = _read_keys(), (tenant_context.get(), version)
    if place not in known:
        row = _key_row(version)
        if row is None:
            raise CannotOpen("the data key is gone")
        known[place] = row
    return known[place]


def _new_key(version: int) -> VaultKey:
    # The one before of this version may have been undone, with a savepoint.
    _read_keys().clear()
    tenant_id = tenant_context.get()
    assert tenant_id is not None
    vault = _vault()
    wrapped = vault.wrap(tenant_id, version, secrets.token_bytes(32))
    row = VaultKey(version=version, kek=vault.newest_kek, wrapped=wrapped)
    db.session.add(row)
    db.session.flush()
    return row


def _lock_keys(*, shared: bool) -> None:
    lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    db.session.execute(select(lock(func.hashtextextended(str(tenant_context.get()), 31))))


def _first_key() -> VaultKey:
    """Made by one process at a time; who comes second finds it."""
    db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(tenant_context.get()), 37))))
    return _key_row() or _new_key(1)


def _place(table: str, column: str, row_id: UUID, version: int) -> bytes:
    return f"{tenant_context.get()}|{table}|{column}|{row_id}|{version}".encode()


def seal(table: str, column: str, row_id: UUID, value: str) -> bytes:
    """Seals a text for one place of the current tenant. Needs a transaction; makes the tenant's first key if none."""
    # Shared with other sealers and closed to rotate(), which must not miss a value that is being sealed.
    _lock_keys(shared=True)
    row = _key_row() or _first_key()
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _vault().data_key(row).encrypt(nonce, value.encode(), _place(table, column, row_id, row.version))
    return row.version.to_bytes(_VERSION_BYTES) + nonce + sealed


def open_sealed(table: str, column: str, row_id: UUID, sealed: bytes) -> str:
    """Opens what seal() made for the same place. Raises CannotOpen anywhere else."""
    version = int.from_bytes(sealed[:_VERSION_BYTES])
    row = _opening_key(version)
    nonce, body = sealed[_VERSION_BYTES:][:_NONCE_BYTES], sealed[_VERSION_BYTES + _NONCE_BYTES :]
    try:
        return _vault().data_key(row).decrypt(nonce, body, _place(table, column, row_id, version)).decode()
    except InvalidTag:
        raise CannotOpen(f"a sealed value of {table}.{column} was moved or changed") from None


class Sealed:
    """An attribute of a TenantRow whose value is sealed in a bytes column: `secret = Sealed("secret_sealed")`.

    Assigning seals at once (the row needs its id), reading opens, None stays None.
    """

    columns: ClassVar[list[tuple[type[TenantRow], str]]] = []

    def __init__(self, column: str) -> None:
        self._column = column

    def __set_name__(self, owner: type[Any], name: str) -> None:
        Sealed.columns.append((owner, self._column))

    @overload
    def __get__(self, row: None, owner: type[Any]) -> Sealed: ...
    @overload
    def __get__(self, row: TenantRow, owner: type[Any]) -> str | None: ...
    def __get__(self, row: TenantRow | None, owner: type[Any]) -> Sealed | str | None:
        if row is None:
            return self
        sealed = getattr(row, self._column)
        return None if sealed is None else open_sealed(row.__tablename__, self._column, row.id, sealed)

    def __set__(self, row: TenantRow, value: str | None) -> None:
        sealed = None if value is None else seal(row.__tablename__, self._column, row.id, value)
        setattr(row, self._column, sealed)


def rewrap() -> int:
    """Wraps the current tenant's data keys with the newest key of VAULT_KEYS. Returns how many it changed."""
    vault, changed = _vault(), 0
    for row in db.session.scalars(select(VaultKey).where(VaultKey.kek != vault.newest_kek).with_for_update()):
        row.wrapped, row.kek = vault.wrap(row.tenant_id, row.version, vault.unwrap(row)), vault.newest_kek
        changed += 1
    return changed


def rotate() -> int:
    """Gives the current tenant a new data key and seals every value again with it. Returns how many values.

    Older keys only open from then on, for what lies sealed elsewhere, such as a link in a message not yet sent;
    forget_old_keys() deletes them.
    """
    _lock_keys(shared=False)
    newest = _key_row()
    if newest is None:
        return 0
    _new_key(newest.version + 1)
    return sum(_reseal(model, column) for model, column in Sealed.columns)


def forget_old_keys(replaced_before: datetime) -> int:
    """Deletes the current tenant's data keys that were replaced before an instant and that no column is sealed with.

    Returns how many. Choose an instant before which every message with a sealed link has left.
    """
    keys = list(db.session.scalars(select(VaultKey).order_by(VaultKey.version)))
    used = {version for model, column in Sealed.columns for version in _versions(model, column)}
    gone = 0
    for key, successor in pairwise(keys):
        if successor.created_at < replaced_before and key.version not in used:
            _read_keys().clear()
            db.session.delete(key)
            gone += 1
    return gone


def _versions(model: type[TenantRow], column: str) -> set[int]:
    attribute: InstrumentedAttribute[bytes | None] = getattr(model, column)
    heads = db.session.scalars(
        select(func.substr(attribute, 1, _VERSION_BYTES)).where(attribute.is_not(None)).distinct()
    )
    return {int.from_bytes(each) for each in heads if each}


def _reseal(model: type[TenantRow], column: str) -> int:
    attribute: InstrumentedAttribute[bytes | None] = getattr(model, column)
    rows = db.session.execute(select(model.id, attribute).where(attribute.is_not(None)).with_for_update()).all()
    for row_id, sealed in rows:
        assert sealed is not None
        value = open_sealed(model.__tablename__, column, row_id, sealed)
        db.session.execute(
            update(model)
            .where(model.id == row_id)
            .values({column: seal(model.__tablename__, column, row_id, value)})
            .execution_options(synchronize_session=False)
        )
    return len(rows)
