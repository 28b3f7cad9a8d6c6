"""M-PESA Ratiba: a standing order, the PIN that sets it up, its callback, and the payments that it makes.

Build sheet 14; portal page MpesaRatiba. What the portal does not say is left out: an order is made, and lives until its
last day or until its customer ends it at M-PESA.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from rehearsal.simulation import NotPossible, Unknown

from . import fields
from .c2b import C2bDesk
from .callbacks import description
from .clock import EAT
from .courier import Courier, letter
from .gateway import Call, Reply, bad_request
from .identifiers import masked
from .knobs import Knobs
from .parties import Merchant, Message
from .world import World

# 5 is left out: the sources contradict each other about it (build sheet 14).
_MONTHS = {"4": 1, "6": 3, "7": 6, "8": 12}
_DAYS = {"2": 1, "3": 7}
_NAME_TAKEN = "1050"
_NO_RECEIPT = "0000000000"
_HOUR_OF_PAYMENT = 8
_LONGEST_REFERENCE = 12


@dataclass
class StandingOrder:
    """One accepted request. `result_code` is None while its customer is asked for the PIN."""

    reference: str
    name: str
    merchant: Merchant
    msisdn: str
    amount: int
    account: str
    frequency: str
    starts_on: date
    ends_on: date
    callback_url: str
    accepted_at: float
    result_code: str | None = None
    stands: bool = False
    payments: int = 0

    @property
    def prompting(self) -> bool:
        return self.result_code is None

    def as_json(self) -> dict[str, object]:
        own = {key: value for key, value in vars(self).items() if key not in ("merchant", "starts_on", "ends_on")}
        days = {"starts_on": self.starts_on.isoformat(), "ends_on": self.ends_on.isoformat()}
        return own | days | {"shortcode": self.merchant.shortcode}


class RatibaDesk:
    def __init__(self, world: World, courier: Courier, c2b: C2bDesk) -> None:
        self.world, self.courier, self.c2b = world, courier, c2b
        self.orders: dict[str, StandingOrder] = {}

    # -- the API

    def create(self, call: Call) -> Reply:
        merchant = fields.own_merchant(call, self.world, "BusinessShortCode")
        till = merchant.till is not None
        fields.choice(call.body, "TransactionType", f"Standing Order Customer Pay {'Marchant' if till else 'Bill'}")
        fields.choice(call.body, "ReceiverPartyIdentifierType", "2" if till else "4")
        name, account = (fields.plain(call.body.get(key)) for key in ("StandingOrderName", "AccountReference"))
        if not name:
            raise bad_request("StandingOrderName")
        if not 1 <= len(account) <= _LONGEST_REFERENCE:
            raise bad_request("AccountReference")
        starts_on, ends_on = (_day(call, key) for key in ("StartDate", "EndDate"))
        if starts_on < self.world.clock.eat().date() or ends_on <= starts_on:
            raise bad_request("StartDate" if ends_on > starts_on else "EndDate")
        frequency = fields.choice(call.body, "Frequency", "1", *_DAYS, *_MONTHS)
        amount, msisdn = fields.amount(call.body), fields.msisdn(call.body, "PartyA")
        address = fields.url(call.body, "CallBackURL")
        fields.refuse_words("CallBackURL", address, call.knobs)
        order = StandingOrder(
            self.world.ids.request(), name, merchant, msisdn, amount, account, frequency, starts_on, ends_on, address,
            self.world.clock.now(),
        )  # fmt: skip
        taken = any(o.name == name and o.msisdn == msisdn and (o.stands or o.prompting) for o in self.orders.values())
        self.orders[order.reference] = order
        if taken:
            self.world.clock.after(1.0, lambda: self._finish(order, _NAME_TAKEN))
        elif not self.world.subscriber(msisdn).reachable:
            self.world.clock.after(1.0, lambda: self._finish(order, "1037"))
        else:
            self.world.clock.after(call.knobs.ratiba_prompt_seconds, lambda: self._finish(order, "1037"))
        accepted = "Request accepted for processing"
        return Reply(
            {
                "ResponseHeader": {
                    "responseRefID": order.reference,
                    "responseCode": "200",
                    "responseDescription": accepted,
                    "ResultDesc": "The service request is processed successfully.",
                },
                "ResponseBody": {"responseDescription": accepted, "responseCode": "200"},
            }
        )

    # -- the person at the phone

    def answer(self, order: StandingOrder, action: str, pin: str = "") -> None:
        """`pin`, `cancel` or `ignore`. Raises NotPossible if the request is gone."""
        with self.world.lock:
            if not order.prompting:
                raise NotPossible("this request is no longer open")
            if action == "cancel":
                self._finish(order, "1032")
            elif action == "pin":
                who = self.world.subscriber(order.msisdn)
                self._finish(order, who.enter_pin(right=who.knows(pin)) or "0")
            elif action != "ignore":
                raise NotPossible("the answer is pin, cancel or ignore")

    def end(self, order: StandingOrder) -> None:
        """The customer ends it, at M-PESA. Nobody is told."""
        with self.world.lock:
            order.stands = False

    def find(self, reference: str) -> StandingOrder:
        if reference not in self.orders:
            raise Unknown(f"there is no standing order {reference!r}")
        return self.orders[reference]

    def prompts(self, msisdn: str | None = None) -> list[StandingOrder]:
        return [order for order in self.orders.values() if order.prompting and msisdn in (None, order.msisdn)]

    # -- what follows

    def _finish(self, order: StandingOrder, code: str) -> None:
        if not order.prompting:
            return
        order.result_code, order.stands = code, code == "0"
        if order.stands:
            told = f"Standing order {order.name} of Ksh{order.amount:,}.00 to {order.merchant.name} is set up."
            self.world.subscriber(order.msisdn).messages.append(Message(self.world.clock.now(), told))
            self._pay_on(order, order.starts_on)
        self._notify(order, code)

    def _pay_on(self, order: StandingOrder, day: date) -> None:
        due = datetime(day.year, day.month, day.day, _HOUR_OF_PAYMENT, tzinfo=EAT).timestamp()
        self.world.clock.after(max(0.0, due - self.world.clock.now()), lambda: self._pay(order, day))

    def _pay(self, order: StandingOrder, day: date) -> None:
        """One payment, told like any other that a customer makes; one that is refused is left out."""
        if not order.stands:
            return
        payer = self.world.subscriber(order.msisdn)
        if self.world.book.refusal(payer, order.merchant, order.amount) is None:
            account = "" if order.merchant.till else order.account
            self.c2b.confirm(self.world.book.pay(payer, order.merchant, order.amount, account))
            order.payments += 1
        following = _after(order, day)
        if following is None or following > order.ends_on:
            order.stands = False
        else:
            self._pay_on(order, following)

    def _notify(self, order: StandingOrder, code: str) -> None:
        knobs = self.world.effective("ratiba_callback", {"shortcode": order.merchant.shortcode, "msisdn": order.msisdn})
        body = self._told(order, code, knobs)
        made = letter("ratiba_callback", order.reference, order.callback_url, body, knobs)
        self.courier.dispatch(self.courier.copies(made, knobs), knobs)

    def _told(self, order: StandingOrder, code: str, knobs: Knobs) -> bytes:
        """Success and failure are printed in different cases."""
        good = code == "0"
        capitals = not good or knobs.ratiba_keys == "capitals"
        name: Callable[[str], str] = (lambda key: key[0].upper() + key[1:]) if capitals else (lambda key: key)
        receipt = self.world.ids.receipt() if good else _NO_RECEIPT
        data = (("TransactionID", receipt), ("responseCode", code), ("Status", "OKAY" if good else "ERROR"),
                ("Msisdn", masked(order.msisdn, "stars")))  # fmt: skip
        return json.dumps(
            {
                name("responseHeader"): {
                    name("responseRefID"): order.reference,
                    name("requestRefID"): order.reference,
                    name("responseCode"): code,
                    name("responseDescription"): description(code),
                },
                name("responseBody"): {name("responseData"): [{name("name"): k, name("value"): v} for k, v in data]},
            }
        ).encode()


def _day(call: Call, name: str) -> date:
    text = fields.digits(call.body, name, 8, 8)
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=EAT).date()
    except ValueError:
        raise bad_request(name) from None


def _after(order: StandingOrder, day: date) -> date | None:
    """The day of the next payment; on the first day's date, or a shorter month's last."""
    if order.frequency in _DAYS:
        return day + timedelta(days=_DAYS[order.frequency])
    if order.frequency not in _MONTHS:
        return None
    month = day.month - 1 + _MONTHS[order.frequency]
    year, month = day.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month, min(order.starts_on.day, last))
