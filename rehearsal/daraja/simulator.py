"""The whole simulator in one object: serve it in-process, script people, turn knobs, read the book."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from werkzeug.routing import Map

from rehearsal.simulation import (
    BadKnob,
    NotPossible,
    Server,
    Unknown,
    application,
    loopback_address,
    loopback_names_only,
    number,
)

from . import certificate, control, phone, products, statement
from .b2c import B2cDesk
from .book import Transaction
from .c2b import C2bDesk
from .callbacks import RESULTS
from .clock import Clock
from .counter import CounterDesk
from .courier import Courier, Letter
from .express import OUTCOMES, ExpressDesk
from .gateway import Call, Gateway, Handler, Reply
from .initiator import InitiatorDesk
from .journal import Journal
from .knobs import FORGERIES, GROUPS, Knobs
from .memory import Memory
from .organisation import OrganisationDesk
from .parties import ROLES, Initiator, Merchant, Subscriber
from .pull import PullDesk
from .ratiba import RatibaDesk, StandingOrder
from .world import App, Attempt, Rule, Script, World

_ADDRESSES = Map()
STATEMENT_SECONDS = 31 * 24 * 3600  # of a statement for which no beginning is named


class Simulator:
    """A Daraja of one's own on loopback. All methods are safe from any thread.

    `seed` fixes every draw and identifier; `start` and `frozen` fix the clock, so that a test moves it with `advance`.
    """

    def __init__(
        self, seed: int = 0, *, start: datetime | None = None, frozen: bool = False, journal: Path | None = None,
        memory: Path | None = None,
    ) -> None:  # fmt: skip
        self.clock = Clock(start, frozen=frozen)
        self.world = World(self.clock, seed)
        self.journal = Journal(lambda: self.clock.eat().isoformat(), journal)
        self.courier = Courier(self.world, self.journal)
        self.c2b = C2bDesk(self.world, self.courier)
        self.pull = PullDesk(self.world)
        initiators = InitiatorDesk(self.world, self.courier)
        self.organisation = OrganisationDesk(self.world, initiators)
        self.b2c = B2cDesk(self.world, initiators)
        self.counter = CounterDesk(self.world)
        self.ratiba = RatibaDesk(self.world, self.courier, self.c2b)
        self.desk = ExpressDesk(self.world, self.courier, self.c2b)
        self.web = application(__package__, _ADDRESSES)
        self.web.before_request(loopback_names_only)
        self.gateway = Gateway(self.web, self.world, self.journal)
        self._mount()
        self.web.register_blueprint(control.blueprint(self))
        self.web.register_blueprint(phone.blueprint(self))
        self.base_url = ""
        self._server: Server | None = None
        self._memory = Memory(memory)

    def _mount(self) -> None:
        """Every API of Daraja that there is here: path, exchange, product, handler."""
        for path, exchange, product, handler in (
            ("/mpesa/stkpush/v1/processrequest", "stk", products.EXPRESS, self.desk.push),
            ("/mpesa/stkpushquery/v1/query", "query", products.EXPRESS, self.desk.query),
            ("/mpesa/c2b/v1/registerurl", "c2b", products.C2B, self.c2b.register_v1),
            ("/mpesa/c2b/v2/registerurl", "c2b", products.C2B, self.c2b.register_v2),
            ("/mpesa/c2b/v1/simulate", "c2b", products.C2B, self.c2b.simulate),
            ("/mpesa/c2b/v2/simulate", "c2b", products.C2B, self.c2b.simulate),
            ("/pulltransactions/v1/register", "pull", products.PULL, self.pull.register),
            ("/pulltransactions/v1/query", "pull", products.PULL, self.pull.query),
            ("/mpesa/transactionstatus/v1/query", "status", products.STATUS, self.organisation.status),
            ("/mpesa/accountbalance/v1/query", "balance", products.BALANCE, self.organisation.balance),
            ("/mpesa/reversal/v1/request", "reversal", products.REVERSAL, self.organisation.reversal),
            ("/mpesa/b2c/v1/paymentrequest", "b2c", products.B2C, self.b2c.pay_v1),
            ("/mpesa/b2c/v3/paymentrequest", "b2c", products.B2C, self.b2c.pay_v3),
            ("/mpesa/b2pochi/v1/paymentrequest", "b2c", products.B2C, self.b2c.pay_pochi),
            ("/mpesa/qrcode/v1/generate", "qr", products.QR, self.counter.qr),
            ("/standingorder/v1/createStandingOrderExternal", "ratiba", products.RATIBA, self.ratiba.create),
            ("/sfcverify/v1/query/info", "lookup", products.LOOKUP, self.counter.organisation),
        ):
            self.gateway.mount(path, exchange, product, self._kept(handler) if exchange in {"c2b", "pull"} else handler)

    def _kept(self, handler: Handler) -> Handler:
        """What organisations register outlives this process, as it does at Safaricom."""

        def handle(call: Call) -> Reply:
            reply = handler(call)
            self._memory.keep(self.world.merchants.values())
            return reply

        return handle

    # -- life

    @property
    def control_url(self) -> str:
        return f"{self.base_url}/control"

    def serve(self, port: int = 0, bind: str = "127.0.0.1") -> Simulator:
        """Start answering on loopback; port 0 takes a free one. Raises ValueError for any other address."""
        self._server = Server(self.web, require_loopback(bind), port)
        self.base_url = self._server.url
        self.clock.start()
        return self

    def close(self) -> None:
        self.gateway.release()
        if self._server is not None:
            self._server.close()
        self.clock.close()
        self.courier.close()

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def reset(self, seed: int | None = None) -> None:
        """As new: no apps, phones, knobs or history. The clock keeps its time."""
        with self.world.lock:
            self.clock.forget()
            self.world.reset(self.world.seed if seed is None else seed)
            self.gateway.calm()
            self.ratiba.orders.clear()
            self.courier.letters.clear()
            self.courier.held.clear()

    # -- who exists

    def add_app(
        self, consumer_key: str, consumer_secret: str, shortcode: str, *, passkey: str, till: str | None = None,
        name: str = "", products: Iterable[str] = products.PRODUCTS, max_balance: int | None = None,
        validation: bool = False, initiators: Iterable[Mapping[str, Any]] = (),
    ) -> App:  # fmt: skip
        """An app and its merchant; with `till`, `shortcode` is the store number. The same key or shortcode is replaced.

        A merchant keeps its balance and its URLs when it is given again (a second app for it, or a new passkey).
        With `validation`, customers' payments by hand are put to its validation URL first. `initiators` are objects
        {"name": ..., "password": ..., "roles": [...]}, with every role of `parties.ROLES` where none are named.
        """
        for code in filter(None, (shortcode, till)):
            if not re.fullmatch(r"[0-9]{5,7}", code):
                raise ValueError(f"{code!r} is not a shortcode")
        with self.world.lock:
            made = Merchant(shortcode, passkey, name or f"MERCHANT {shortcode}", till, max_balance=max_balance)
            if shortcode not in self.world.merchants:
                self._memory.recall(made)
            known = self.world.merchants.setdefault(shortcode, made)
            known.passkey, known.name, known.till = passkey, made.name, till
            known.max_balance, known.validation = max_balance, validation
            known.initiators |= {made.name: made for made in (_initiator(**given) for given in initiators)}
            app = self.world.apps[consumer_key] = App(consumer_key, consumer_secret, shortcode, set(products))
            return app

    def merchant(self, shortcode: str, **changes: Any) -> Merchant:
        """The merchant with this PayBill or store number. Changes: name, balance, max_balance, validation."""
        if unknown := set(changes) - {"name", "balance", "max_balance", "validation"}:
            raise ValueError(f"a merchant has no {', '.join(sorted(unknown))}")
        with self.world.lock:
            known = self.world.merchant(shortcode)
            vars(known).update(changes)
            return known

    def delete_urls(self, shortcode: str) -> None:
        """As two operators do at the portal under Self Services, URL Management (build sheet 6.1)."""
        with self.world.lock:
            self.world.merchant(shortcode).urls = None
            self._memory.keep(self.world.merchants.values())

    def set_products(self, consumer_key: str, products: Iterable[str]) -> None:
        """Tokens already issued keep the products they were issued with."""
        with self.world.lock:
            self._app(consumer_key).products = set(products)

    def revoke_tokens(self, consumer_key: str) -> None:
        with self.world.lock:
            self.world.kill_tokens(self._app(consumer_key).consumer_key)

    def _app(self, consumer_key: str) -> App:
        if consumer_key not in self.world.apps:
            raise Unknown(f"there is no app {consumer_key!r}")
        return self.world.apps[consumer_key]

    def subscriber(self, msisdn: str, **changes: Any) -> Subscriber:
        """The phone with this number, made on first mention. Changes: name, pin, balance, reachable, wrong_pins."""
        if not re.fullmatch(r"254[17][0-9]{8}", msisdn):
            raise ValueError(f"{msisdn!r} is not a number like 254712345678")
        if unknown := set(changes) - {"name", "pin", "balance", "reachable", "wrong_pins"}:
            raise ValueError(f"a subscriber has no {', '.join(sorted(unknown))}")
        with self.world.lock:
            who = self.world.subscriber(msisdn)
            vars(who).update(changes)
            return who

    # -- knobs, rules, scripts

    def set_knobs(self, knobs: Mapping[str, object]) -> None:
        """`{"callback.drop": 1}`; see knobs.py for all. Raises BadKnob and changes nothing if one is wrong."""
        with self.world.lock:
            self.world.knobs = self.world.knobs.changed(knobs)

    def reset_knobs(self) -> None:
        """Every knob to its default, no rules, no scripts."""
        with self.world.lock:
            self.world.knobs = Knobs()
            self.world.rules.clear()
            self.world.scripts.clear()
            self.gateway.calm()

    def rule(self, knobs: Mapping[str, object], **match: Any) -> Rule:
        """Knobs for some exchanges only: by shortcode, msisdn, consumer_key, exchange (knobs.GROUPS).

        The first `skip` of them pass; then it holds `times` times.
        """
        Knobs().changed(knobs)
        if unknown := set(match) - {"shortcode", "msisdn", "consumer_key", "exchange", "times", "skip"}:
            raise BadKnob(f"a rule has no {', '.join(sorted(unknown))}")
        if match.get("exchange") not in (None, *GROUPS):
            raise BadKnob(f"an exchange is one of {', '.join(GROUPS)}")
        with self.world.lock:
            made = Rule(len(self.world.rules) + 1, dict(knobs), **match)
            self.world.rules.append(made)
            return made

    def script(self, msisdn: str, *outcomes: str | Script | Mapping[str, Any]) -> None:
        """What the person with this phone does at the next prompts, in order: one of OUTCOMES or a result code."""
        self.subscriber(msisdn)
        scripts = [_script(outcome) for outcome in outcomes]
        with self.world.lock:
            self.world.scripts.setdefault(msisdn, deque()).extend(scripts)

    # -- people

    def prompts(self, msisdn: str | None = None) -> list[Attempt]:
        with self.world.lock:
            return self.world.prompts(msisdn)

    def answer(self, who: str, action: str, pin: str = "1234") -> Attempt:
        """Answer the prompt with this CheckoutRequestID, or the one open on this phone: pin, cancel or ignore."""
        with self.world.lock:
            found = [self.world.attempts[who]] if who in self.world.attempts else self.world.prompts(who)
            if not found:
                raise NotPossible(f"there is no open prompt for {who}")
            self.desk.answer(found[-1], action, pin)
            return found[-1]

    def standing_orders(self, msisdn: str | None = None) -> list[StandingOrder]:
        """All that were accepted, of everybody or of this phone."""
        with self.world.lock:
            return [order for order in self.ratiba.orders.values() if msisdn in (None, order.msisdn)]

    def answer_order(self, who: str, action: str, pin: str = "1234") -> StandingOrder:
        """Answer the request for a PIN of this standing order, or the one open on this phone: pin, cancel, ignore; or
        end one that stands: end."""
        with self.world.lock:
            orders = self.ratiba.orders
            able = [order for order in orders.values() if (order.stands if action == "end" else order.prompting)]
            found = [orders[who]] if who in orders else [order for order in able if order.msisdn == who]
            if not found:
                raise NotPossible(f"there is no such standing order of {who}")
            if action == "end":
                self.ratiba.end(found[-1])
            else:
                self.ratiba.answer(found[-1], action, pin)
            return found[-1]

    # -- customers who pay by hand

    def pay(self, msisdn: str, shortcode: str, amount: int, account: str = "", pin: str = "1234") -> Transaction:
        """Lipa na M-Pesa at a PayBill with an account number, or at a till without.

        Raises NotPossible if it is refused. Waits for the validation URL where the merchant has one, so the caller must
        not hold the lock.
        """
        self.subscriber(msisdn)
        return self.c2b.pay(msisdn, shortcode, amount, account, pin)

    # -- what happened

    def attempt(self, checkout_request_id: str) -> Attempt:
        with self.world.lock:
            return self.world.attempt(checkout_request_id)

    def attempts(self) -> list[Attempt]:
        with self.world.lock:
            return list(self.world.attempts.values())

    def book(self, shortcode: str | None = None) -> list[Transaction]:
        """Every shilling that moved."""
        with self.world.lock:
            book = self.world.book
            return list(book.lines if shortcode is None else book.of(shortcode))

    def statement(self, shortcode: str, start: datetime | None = None, end: datetime | None = None) -> str:
        """The organisation portal's export for a PayBill or store number: CSV.

        Of all that moved from `start`, or 31 days before the end, to `end`, or now."""
        with self.world.lock:
            merchant, now = self.world.merchant(shortcode), self.clock.now()
            last = now if end is None else end.timestamp()
            first = last - STATEMENT_SECONDS if start is None else start.timestamp()
            lines = self.world.book.between(shortcode, first, last)
            return statement.export(merchant, lines, first, last, self.clock, self.world.knobs)

    def transaction(self, receipt: str) -> Transaction:
        with self.world.lock:
            line = self.world.book.find(receipt)
        if line is None:
            raise Unknown(f"there is no transaction {receipt!r}")
        return line

    def reverse(self, receipt: str) -> Transaction:
        """As Safaricom's care does for a customer: nobody is called back, only the statement shows it (11)."""
        line = self.transaction(receipt)
        with self.world.lock:
            merchant = self.world.merchant(line.shortcode)
            if line.kind not in ("stk", "c2b"):
                raise NotPossible(f"{receipt} is no payment by a customer")
            if refusal := self.world.book.refusal_of_reversal(line, merchant, line.amount):
                raise NotPossible(f"{receipt} cannot be reversed: {refusal}")
            return self.world.book.reverse(line, merchant, self.world.subscriber(line.msisdn), line.amount)

    @staticmethod
    def certificate() -> str:
        """What encrypts initiator passwords, as PEM; the same at every start."""
        return certificate.pem()

    def total(self, shortcode: str | None = None) -> int:
        """What came in less what went out."""
        return sum(line.amount for line in self.book(shortcode))

    def letters(self, about: str | None = None) -> list[Letter]:
        """All that was called back: sent, dropped, waiting and forged, with the receiver's answers.

        `about` is a CheckoutRequestID, a receipt or a ConversationID.
        """
        with self.world.lock:
            return [letter for letter in self.courier.letters if about in (None, letter.about)]

    # -- callbacks and time

    def forge(self, about: str, forgery: str) -> None:
        """One forgery now: of the callback to a push (CheckoutRequestID), or of a C2B confirmation (receipt)."""
        if forgery not in FORGERIES:
            raise BadKnob(f"forgeries are {', '.join(FORGERIES)}")
        if about in self.world.attempts:
            self.desk.forge(self.attempt(about), forgery)
        else:
            self.c2b.forge(self.transaction(about), forgery)

    def resend(self, about: str) -> None:
        """The genuine one once more, whatever the knobs dropped; `about` as for `forge`."""
        if about in self.world.attempts:
            self.desk.resend(self.attempt(about))
        else:
            self.c2b.resend(self.transaction(about))

    def flush_callbacks(self) -> None:
        self.courier.flush()

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; then wait until the callbacks it caused are off the wire."""
        self.clock.advance(seconds)
        self.wait_idle()

    def wait_idle(self, timeout: float = 10.0) -> bool:
        return self.courier.wait_idle(timeout)


def _initiator(name: str, password: str, roles: Iterable[str] = ROLES) -> Initiator:
    if unknown := set(roles) - set(ROLES):
        raise ValueError(f"there is no role {', '.join(sorted(unknown))}; roles are {', '.join(ROLES)}")
    return Initiator(name, password, tuple(roles))


def require_loopback(bind: str) -> str:
    """The simulator holds no secret worth having, but its control API must not be a neighbour's to use."""
    address = loopback_address(bind)
    if address is None:
        raise ValueError(f"the Daraja simulator binds loopback only, not {bind!r}")
    return address


def _script(outcome: str | Script | Mapping[str, Any]) -> Script:
    if isinstance(outcome, Mapping):
        if unknown := set(outcome) - {"outcome", "after", "knobs"}:
            raise BadKnob(f"a script has no {', '.join(sorted(unknown))}")
        made = Script(str(outcome.get("outcome", "")), outcome.get("after"), outcome.get("knobs", {}))
    else:
        made = outcome if isinstance(outcome, Script) else Script(outcome)
    if made.outcome not in OUTCOMES and made.outcome not in RESULTS and not made.outcome.isdigit():
        raise BadKnob(f"an outcome is one of {', '.join(OUTCOMES)} or a result code, not {made.outcome!r}")
    if made.after is not None:
        number()(made.after)
    Knobs().changed(made.knobs)
    return made
