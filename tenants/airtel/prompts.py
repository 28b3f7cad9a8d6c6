"""Airtel Money as a gateway for money: USSD push, status enquiry and callback (docs/airtel.md)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tenants.airtel import accounts, api, classify
from tenants.airtel.models import AirtelAccount
from tenants.gateway import Accepted, Account, Answer, Meaning, NotAccepted, Prompt, Told
from wavu.failpoint import failpoint


class UssdPush:
    """Implements tenants.gateway.Gateway."""

    provider = "airtel"
    # Airtel asks for three minutes; a payment whose callback was lost shall not wait for so long, and an answer that
    # comes early says at worst that it is in progress.
    asks_after = (45, 90, 180, 300, 900, 3600, 21_600, 86_400)
    declined = classify.DECLINED
    names_itself = True

    def account(self, account_id: UUID) -> AirtelAccount:
        return accounts.find_account(account_id)

    def prompt(
        self, account_id: UUID, prompt: Prompt, *, in_line: bool, patience_seconds: float
    ) -> Callable[[], Accepted | NotAccepted]:
        del in_line, patience_seconds  # no pace is known of Airtel's, so none is kept
        app = accounts.open_app(accounts.find_account(account_id))
        assert prompt.name is not None
        name = prompt.name

        def push(token: str) -> Accepted | NotAccepted:
            failpoint("cp6.before")
            answer = api.push(
                app,
                token,
                name=name,
                phone=prompt.phone,
                amount_cents=prompt.amount_cents,
                reference=prompt.description,
            )
            failpoint("cp6.after")
            return answer

        return lambda: accounts.call(account_id, app, push)

    def query(self, account_id: UUID, name: str, *, in_line: bool) -> Callable[[], Answer | NotAccepted]:
        del in_line
        app = accounts.open_app(accounts.find_account(account_id))
        return lambda: accounts.call(account_id, app, lambda token: api.enquire(app, token, name))

    def meaning(self, code: str) -> Meaning:
        return classify.result(code)

    def believes_no(self, code: str, seconds: float) -> bool:
        return classify.is_late_enough(code, seconds)

    def read(self, body: bytes) -> Told | None:
        return api.read(body)

    def trusts(self, account: Account, body: bytes, peer: str | None, meaning: Meaning) -> bool:
        """Only under Airtel's signature. Without one the address is all that speaks for it: it is the same for every
        payment of the account, stands in Airtel's portal for all who work there to read, and lives as long as the
        account. So a claim without a signature, yes or no, is asked about."""
        del peer, meaning
        key = account.hash_key if isinstance(account, AirtelAccount) else None
        return key is not None and api.is_signed(body, key)

    def note_works(self, account_id: UUID, *, paid: bool) -> None:
        del paid
        accounts.note_works(account_id)

    def note_fault(self, account_id: UUID, fix: str | None) -> None:
        accounts.note_fault(account_id, fix)
