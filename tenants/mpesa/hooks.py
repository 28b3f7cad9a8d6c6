"""Where M-Pesa reports payments that customers make by hand, and telling it so (build sheet 6.1, 6.2, 7)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app

from config import Settings
from tenants.gateway import Verdict
from tenants.mpesa import daraja
from tenants.mpesa.accounts import call, find_account, open_app
from tenants.mpesa.models import MpesaAccount
from wavu import clock, ids, outbox
from wavu.outbox import Queue
from wavu.tenancy import current_tenant

_AGAIN, _AGAIN_AT_MOST = timedelta(minutes=1), timedelta(hours=6)


def hook_url(kind: str, tenant_id: UUID, token: str) -> str:
    """Where machines answer: an STK push (`s`), a confirmation (`c`), a validation (`v`), a
    standing order (`o`). Hex only, and none of the
    words that Daraja's gateway refuses."""
    settings: Settings = current_app.extensions["settings"]
    return f"{settings.origin(f'hooks.{settings.platform_domain}')}/h/{kind}/{tenant_id}/{token}"


def token_of(account: MpesaAccount) -> str:
    """It lives as long as the account: production takes the addresses once."""
    token = account.hook_token
    if token is None:
        token = account.hook_token = secrets.token_hex(32)
        account.hook_fingerprint = ids.fingerprint(token)
    return token


def ask_to_register(account: MpesaAccount) -> None:
    """Has M-Pesa told again, after the running transaction, of what it has not taken yet."""
    outbox.put(Queue.DARAJA, "register_hooks", f"{account.id} {ids.new_id()}", {"account_id": str(account.id)})


def register_hooks(event: dict[str, Any]) -> Generator[Callable[[], Any], Any, None]:
    """Job: tells M-Pesa where to report payments made by hand, and that we shall ask it with Pull. What was registered
    is not asked for again, so twice is harmless."""
    account = find_account(UUID(event["account_id"]))
    app, account_id, token = open_app(account), account.id, token_of(account)
    confirmation, validation = (hook_url(kind, account.tenant_id, token) for kind in "cv")
    phone = current_tenant().help_phone
    urls, pull = account.urls_registered_at is None, account.pull_registered_at is None

    def ask() -> tuple[daraja.NotAccepted | None, daraja.NotAccepted | None]:
        return (
            call(account_id, app, lambda token: daraja.register_urls(
                app, token, confirmation=confirmation, validation=validation)) if urls else None,
            call(account_id, app, lambda token: daraja.register_pull(
                app, token, phone=phone, callback_url=confirmation)) if pull and phone else None,
        )  # fmt: skip

    of_urls, of_pull = yield ask
    account, now = find_account(account_id), clock.now()
    if urls:
        account.urls_registered_at = None if of_urls else now
        account.hook_answer = of_urls.code[:40] if of_urls else None
    if pull and phone:
        account.pull_registered_at = None if of_pull else now
    if any(answer and answer.meaning.verdict in {Verdict.UNKNOWN, Verdict.PENDING} for answer in (of_urls, of_pull)):
        tries = int(event.get("tries", 0)) + 1
        later = now + min(_AGAIN * 2**tries, _AGAIN_AT_MOST)
        payload = {"account_id": str(account_id), "tries": tries}
        outbox.put(Queue.DARAJA, "register_hooks", f"{account_id}:{tries}:{now.isoformat()}", payload, run_at=later)
