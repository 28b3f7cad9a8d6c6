"""M-PESA Express: STK push for PayBill and till, the prompt's life, its callback, and STK query.

Build sheet 4, 4.1-4.3 and 23; portal pages MpesaExpressSimulate and MpesaExpressQuery.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rehearsal.simulation import NotPossible

from . import fields
from .book import MAX_AMOUNT
from .c2b import C2bDesk
from .callbacks import RESULTS, description, forged, genuine, told_to_payer
from .clock import EAT
from .courier import Courier, Letter
from .gateway import Call, Refusal, Reply, bad_request
from .knobs import Knobs
from .parties import Merchant, Message, Subscriber
from .world import Attempt, Script, World

OUTCOMES = ("pay", "wrong_pin", "cancel", "ignore", "unreachable")
_LONGEST_PROMPT = 182  # build sheet 4.3, code 1025
_LONGEST_REFERENCE = 12


@dataclass(frozen=True)
class Order:
    """The checked fields of a push."""

    shortcode: str
    password: str
    timestamp: str
    transaction_type: str
    amount: int
    party_b: str
    msisdn: str
    callback_url: str
    reference: str
    description: str


class ExpressDesk:
    def __init__(self, world: World, courier: Courier, c2b: C2bDesk) -> None:
        self.world, self.courier, self.c2b = world, courier, c2b
        self._inline: list[Letter] | None = None

    # -- the two APIs

    def push(self, call: Call) -> Reply:
        order = read_order(call.body, call.knobs)
        fields.refuse_words("CallBackURL", order.callback_url, call.knobs)
        merchant = self._merchant(call, order.shortcode, order.password, order.timestamp)
        busy = any(a.open for a in self.world.attempts_of(order.msisdn))
        if busy and call.knobs.stk_lock == "sync":
            raise Refusal(500, "500.001.1001", RESULTS["1001"].rstrip("."), "a prompt is open on that phone")
        refused = self._core_refusal(order, merchant, call.knobs, busy=busy)
        attempt = self._accept(call, order, merchant)
        letters = self._start(attempt, refused)
        answer = {
            "MerchantRequestID": attempt.merchant_request_id,
            "CheckoutRequestID": attempt.checkout_request_id,
            "ResponseCode": "0",
            "ResponseDescription": "Success. Request accepted for processing",
            "CustomerMessage": "Success. Request accepted for processing",
        }
        return Reply(answer, (lambda: self.courier.deliver(letters)) if letters else None)

    def query(self, call: Call) -> Reply:
        shortcode = fields.digits(call.body, "BusinessShortCode", 5, 7)
        password, timestamp = _credentials(call.body)
        checkout = call.body.get("CheckoutRequestID")
        if not isinstance(checkout, str) or not checkout.strip():
            raise bad_request("CheckoutRequestID")
        merchant = self._merchant(call, shortcode, password, timestamp)
        attempt = self.world.attempts.get(checkout)
        if attempt is None or attempt.merchant is not merchant:
            raise bad_request("CheckoutRequestID", "no such push for this shortcode")
        knobs = call.knobs.changed(attempt.script.knobs if attempt.script else {})
        code = _told_by_query(attempt, knobs)
        if code is None and self._pending_as_500(knobs):
            raise Refusal(500, "500.001.1001", "The transaction is being processed")
        spelling = "successsfully" if knobs.query_spelling == "live" else "successfully"
        return Reply(
            {
                "ResponseCode": "0",
                "ResponseDescription": f"The service request has been accepted {spelling}",
                "MerchantRequestID": attempt.merchant_request_id,
                "CheckoutRequestID": attempt.checkout_request_id,
                "ResultCode": code or "4999",
                "ResultDesc": description(code) if code else "The transaction is still under processing",
            }
        )

    def _pending_as_500(self, knobs: Knobs) -> bool:
        return knobs.query_pending == "http500" or (knobs.query_pending == "both" and self.world.chance(0.5))

    def _merchant(self, call: Call, shortcode: str, password: str, timestamp: str) -> Merchant:
        """The merchant if its shortcode, app and Password agree."""
        merchant = self.world.merchants.get(shortcode)
        by_till = self.world.merchant_of_till(shortcode)
        if merchant is None and call.knobs.stk_till_as_shortcode == "async":
            merchant = by_till
        own = self.world.merchants.get(call.app.shortcode)
        if merchant is None or (merchant is not own and call.knobs.stk_foreign_shortcode == "refuse"):
            why = "a till number; the store number goes here" if by_till else "shortcode unknown or not of this app"
            raise Refusal(500, "500.001.1001", "Merchant does not exist", why)
        if password != base64.b64encode(f"{shortcode}{merchant.passkey}{timestamp}".encode()).decode():
            live = "[MerchantValidate] - " if call.knobs.stk_wrong_credentials == "live" else ""
            raise Refusal(500, "500.001.1001", f"{live}Wrong credentials", "passkey, shortcode or timestamp differ")
        return merchant

    # -- what the core does after the acknowledgement

    def _core_refusal(self, order: Order, merchant: Merchant, knobs: Knobs, *, busy: bool) -> str | None:
        """A result that comes without a prompt (build sheet 23, "Asynchronously")."""
        right = (merchant.shortcode, merchant.transaction_type, merchant.credit_party)
        if (order.shortcode, order.transaction_type, order.party_b) != right:
            return knobs.stk_mismatch_code
        if busy and knobs.stk_lock == "async_1001":
            return "1001"
        if len(order.reference) > _LONGEST_REFERENCE and knobs.stk_long_reference == "code_1025":
            return "1025"
        if len(prompt_text(order, merchant)) > _LONGEST_PROMPT:
            return "1025"
        if order.amount > MAX_AMOUNT:
            return "3"
        return "17" if self._repeats(order, knobs) else None

    def _repeats(self, order: Order, knobs: Knobs) -> bool:
        """Code 17: same customer and amount within two minutes. An attempt that met 17 or a lock does not count."""
        since = self.world.clock.now() - knobs.stk_repeat_window
        return any(
            a.amount == order.amount and a.accepted_at > since and a.result_code not in ("17", "1001")
            for a in self.world.attempts_of(order.msisdn)
        )

    def _accept(self, call: Call, order: Order, merchant: Merchant) -> Attempt:
        waiting = self.world.scripts.get(order.msisdn)
        script = waiting.popleft() if waiting else self._automatic(call.knobs)
        truncate = call.knobs.stk_long_reference == "truncate"
        reference = order.reference[:_LONGEST_REFERENCE] if truncate else order.reference
        attempt = Attempt(
            self.world.ids.request(call.knobs.stk_id_form),
            self.world.ids.checkout(order.msisdn, call.knobs.stk_id_form),
            call.app.consumer_key, merchant, order.msisdn, order.amount, reference, order.description,
            order.callback_url, self.world.clock.now(), prompt_text(order, merchant),
            call.knobs.changed(script.knobs if script else {}), script,
        )  # fmt: skip
        self.world.add_attempt(attempt)
        return attempt

    def _automatic(self, knobs: Knobs) -> Script | None:
        if not knobs.stk_auto:
            return None
        outcomes, shares = zip(*knobs.stk_auto.items(), strict=True)
        return Script(self.world.random.choices(outcomes, shares)[0], self.world.draw(knobs.stk_auto_after))

    def _start(self, attempt: Attempt, refused: str | None) -> list[Letter]:
        """Open the prompt or let the core refuse. Returns callbacks to deliver before the push is answered."""
        clock, knobs, script = self.world.clock, attempt.knobs, attempt.script
        if refused:
            clock.after(knobs.stk_core_delay, lambda: self.finish(attempt, refused))
            return []
        outcome = script.outcome if script else ""
        attempt.prompting = self.world.subscriber(attempt.msisdn).reachable and outcome != "unreachable"
        clock.after(knobs.stk_prompt_seconds, lambda: self.finish(attempt, knobs.stk_timeout_code))
        if script is None:
            return []
        if self._callback_knobs(attempt, spend=False).callback_before_response:
            letters: list[Letter] = []
            self._inline = letters
            self._play(attempt, outcome)
            self._inline = None
            return letters
        clock.after(1.0 if script.after is None else script.after, lambda: self._play(attempt, outcome))
        return []

    def _play(self, attempt: Attempt, outcome: str) -> None:
        """Do what a script says: a person's act, or a result code."""
        if not attempt.open or outcome in ("ignore", "unreachable"):
            attempt.ignored = outcome == "ignore"
        elif outcome == "pay":
            self._debit(attempt)
        elif outcome == "wrong_pin":
            self._enter_pin(attempt, right=False)
        else:
            self.finish(attempt, "1032" if outcome == "cancel" else outcome)

    # -- the person at the phone

    def answer(self, attempt: Attempt, action: str, pin: str = "") -> None:
        """`pin`, `cancel` or `ignore`. Raises NotPossible if the prompt is gone."""
        with self.world.lock:
            if not attempt.open or not attempt.prompting:
                raise NotPossible("this prompt is no longer open")
            if action == "pin":
                if not re.fullmatch(r"[0-9]{4}", pin):
                    raise NotPossible("a PIN has four digits")
                self._enter_pin(attempt, right=self.world.subscriber(attempt.msisdn).knows(pin))
            elif action == "cancel":
                self.finish(attempt, "1032")
            elif action == "ignore":
                attempt.ignored = True
            else:
                raise NotPossible("the answer is pin, cancel or ignore")

    def _enter_pin(self, attempt: Attempt, *, right: bool) -> None:
        refusal = self.world.subscriber(attempt.msisdn).enter_pin(right=right)
        if refusal:
            self.finish(attempt, refusal)
        else:
            self._debit(attempt)

    def _debit(self, attempt: Attempt) -> None:
        payer = self.world.subscriber(attempt.msisdn)
        refusal = self.world.book.refusal(payer, attempt.merchant, attempt.amount)
        if refusal is None:
            self._transfer(payer, attempt)
        self.finish(attempt, refusal or "0")

    def finish(self, attempt: Attempt, code: str) -> None:
        """The result is known; tell the merchant. A second result is only possible as late success."""
        if not attempt.open:
            return
        self._conclude(attempt, code)
        if code != "0" and attempt.knobs.stk_late_success:
            self.world.clock.after(attempt.knobs.stk_late_success, lambda: self._pay_after_all(attempt))

    def _pay_after_all(self, attempt: Attempt) -> None:
        """Build sheet 22.1: success comes after a failure was reported."""
        payer = self.world.subscriber(attempt.msisdn)
        if attempt.receipt or self.world.book.refusal(payer, attempt.merchant, attempt.amount):
            return
        self._transfer(payer, attempt)
        self._conclude(attempt, "0")

    def _transfer(self, payer: Subscriber, attempt: Attempt) -> None:
        # The portal: C2B notifications also cover STK push, so this payment is told twice (build sheet 6.4).
        reference = "" if attempt.merchant.till else attempt.reference
        line = self.world.book.pay(
            payer, attempt.merchant, attempt.amount, reference, checkout=attempt.checkout_request_id
        )
        attempt.receipt = line.receipt
        if attempt.knobs.stk_also_c2b:
            self.c2b.confirm(line, attempt.script)

    def _conclude(self, attempt: Attempt, code: str) -> None:
        attempt.prompting = False
        attempt.result_code, attempt.finished_at = code, self.world.clock.now()
        if told := told_to_payer(code, attempt.amount, attempt.merchant.name):
            self.world.subscriber(attempt.msisdn).messages.append(Message(attempt.finished_at, told))
        self._notify(attempt)

    # -- callbacks

    def _callback_knobs(self, attempt: Attempt, *, spend: bool = True) -> Knobs:
        about = {
            "shortcode": attempt.merchant.shortcode, "msisdn": attempt.msisdn, "consumer_key": attempt.consumer_key,
        }  # fmt: skip
        return self.world.effective("callback", about, attempt.script, spend=spend)

    def _notify(self, attempt: Attempt) -> None:
        knobs = self._callback_knobs(attempt)
        letters = [forged(self.world, attempt, forgery, knobs) for forgery in knobs.callback_forge]
        letters += self.courier.copies(genuine(self.world, attempt, knobs), knobs)
        if self._inline is not None:
            self._inline.extend(letters)
            self.courier.letters.extend(letters)
        else:
            self.courier.dispatch(letters, knobs)

    def resend(self, attempt: Attempt) -> None:
        """The genuine callback once more, as it stands now, whatever the knobs dropped."""
        with self.world.lock:
            if attempt.open:
                raise NotPossible("there is no result to tell yet")
            self.courier.dispatch([genuine(self.world, attempt, self.world.knobs)], Knobs())

    def forge(self, attempt: Attempt, forgery: str) -> None:
        """One forged callback now."""
        with self.world.lock:
            self.courier.dispatch([forged(self.world, attempt, forgery, self.world.knobs)], Knobs())


def _told_by_query(attempt: Attempt, knobs: Knobs) -> str | None:
    """The code the query admits to; None is pending."""
    if knobs.query_stuck:
        return None
    if attempt.open:
        return "1037" if knobs.query_early_1037 and attempt.prompting else None
    paid = attempt.result_code == "0"
    return knobs.query_contradict if paid and knobs.query_contradict else attempt.result_code


def prompt_text(order: Order, merchant: Merchant) -> str:
    account = "" if merchant.till else f" Account no. {order.reference}"
    return f"Do you want to pay Ksh{order.amount:,}.00 to {merchant.name}{account}?"


# -- field checks, in the order of the portal's table


def read_order(body: Mapping[str, Any], knobs: Knobs) -> Order:
    shortcode = fields.digits(body, "BusinessShortCode", 5, 6)
    password, timestamp = _credentials(body)
    kind = body.get("TransactionType")
    if kind not in ("CustomerPayBillOnline", "CustomerBuyGoodsOnline"):
        raise bad_request("TransactionType")
    if kind == "CustomerBuyGoodsOnline" and knobs.stk_refuse_buy_goods:
        raise bad_request("TransactionType", "the sandbox knows no tills")
    amount = fields.amount(body)
    fields.msisdn(body, "PartyA")
    party_b = fields.digits(body, "PartyB", 5, 7)
    msisdn = fields.msisdn(body, "PhoneNumber")
    return Order(
        shortcode, password, timestamp, str(kind), amount, party_b, msisdn,
        fields.url(body, "CallBackURL"), _reference(body, knobs), _description(body),
    )  # fmt: skip


def _credentials(body: Mapping[str, Any]) -> tuple[str, str]:
    password, timestamp = body.get("Password"), fields.plain(body.get("Timestamp"))
    if not isinstance(password, str) or not password:
        raise bad_request("Password")
    try:
        datetime.strptime(timestamp, "%Y%m%d%H%M%S").replace(tzinfo=EAT)
    except ValueError:
        raise bad_request("Timestamp") from None
    if not re.fullmatch(r"[0-9]{14}", timestamp):
        raise bad_request("Timestamp")
    return password, timestamp


def _reference(body: Mapping[str, Any], knobs: Knobs) -> str:
    value = fields.plain(body.get("AccountReference"))
    too_long = len(value) > _LONGEST_REFERENCE and knobs.stk_long_reference == "refuse"
    if not value.strip() or too_long or re.search(r"[@#&]", value):
        raise bad_request("AccountReference", "1 to 12 letters and digits")
    return value


def _description(body: Mapping[str, Any]) -> str:
    value = body.get("TransactionDesc", "")
    if not isinstance(value, str) or len(value) > 13:
        raise bad_request("TransactionDesc", "13 characters at most")
    return value
