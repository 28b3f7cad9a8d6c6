"""The migrations make what the models describe, and can be run again."""

from __future__ import annotations

from migrations.check import differences
from tests.stack import Stack, database_of, migrate


def test_models_and_migrations_agree(own_database: dict[str, str], servers: Stack) -> None:
    url = servers.url("wavu_owner", database_of(own_database))
    assert differences(url) == []
    migrate(url)
