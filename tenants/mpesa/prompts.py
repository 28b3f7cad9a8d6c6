"""M-Pesa as a gateway for money: STK push, its query and its callback (build sheet 4)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tenants.gateway import Accepted, Account, Answer, Meaning, NotAccepted, Prompt, Told, Verdict
from tenants.mpesa import accounts, callback, classify, daraja, exchange
from tenants.mpesa.models import MpesaAccount
from wavu import clock
from wavu.failpoint import failpoint


class StkPush:
    """Implements tenants.gateway.Gateway."""

    provider = "mpesa"
    # money-and-reliability 3.5.
    asks_after = (20, 40, 75, 120, 300, 900, 3600, 21_600, 86_400)
    # No balance, their limits, cancelled, no answer, a wrong PIN.
    declined = frozenset({"1", "2", "3", "4", "17", "1001", "1019", "1032", "1037", "2001", "8006"})
    names_itself = False

    def account(self, account_id: UUID) -> MpesaAccount:
        return accounts.find_account(account_id)

    def prompt(
        self, account_id: UUID, prompt: Prompt, *, in_line: bool, patience_seconds: float
    ) -> Callable[[], Accepted | NotAccepted]:
        app = accounts.open_app(accounts.find_account(account_id))

        def push(token: str) -> Accepted | NotAccepted:
            failpoint("cp6.before")
            answer = daraja.stk_push(
                app,
                token,
                now=clock.now(),
                phone=prompt.phone,
                amount_cents=prompt.amount_cents,
                callback_url=prompt.callback_url,
                reference=prompt.reference,
                description=prompt.description,
            )
            failpoint("cp6.after")
            return answer

        return lambda: accounts.call(
            account_id, app, push, kind="stk", in_line=in_line, patience_seconds=patience_seconds
        )

    def query(self, account_id: UUID, name: str, *, in_line: bool) -> Callable[[], Answer | NotAccepted]:
        app = accounts.open_app(accounts.find_account(account_id))
        return lambda: accounts.call(
            account_id,
            app,
            lambda token: daraja.stk_query(app, token, name, now=clock.now()),
            kind="query",
            in_line=in_line,
        )

    def meaning(self, code: str) -> Meaning:
        return classify.result(code)

    def believes_no(self, code: str, seconds: float) -> bool:
        return classify.is_late_enough(code, seconds)

    def read(self, body: bytes) -> Told | None:
        return callback.parse(body)

    def trusts(self, account: Account, body: bytes, peer: str | None, meaning: Meaning) -> bool:
        """The path's token is the attempt's own, and enough for a no; a yes must come from Daraja's addresses too."""
        if meaning.verdict is not Verdict.SUCCESS:
            return True
        return exchange.comes_from_daraja(account, peer)

    def note_works(self, account_id: UUID, *, paid: bool) -> None:
        accounts.note_works(account_id, paid=paid)

    def note_fault(self, account_id: UUID, fix: str | None) -> None:
        accounts.note_fault(account_id, fix)
