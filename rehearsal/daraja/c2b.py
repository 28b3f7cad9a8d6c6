"""C2B: customers who pay a PayBill or a till from their own menu, and what the organisation hears of it.

Build sheet 6; portal pages CustomerToBusinessRegisterURL and CustomerToBusiness.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from rehearsal.simulation import NotPossible

from . import fields
from .book import Transaction
from .callbacks import description, told_to_payer
from .courier import Courier, Letter, letter
from .forgeries import tampered
from .gateway import Call, Refusal, Reply, bad_request
from .identifiers import masked
from .knobs import Knobs
from .parties import C2bUrls, Merchant, Subscriber
from .world import Script, World

_LONGEST_ACCOUNT = 20  # build sheet 6.4
_REJECTIONS = {  # build sheet 6.3
    "C2B00011": "Invalid MSISDN",
    "C2B00012": "Invalid Account Number",
    "C2B00013": "Invalid Amount",
    "C2B00014": "Invalid KYC Details",
    "C2B00015": "Invalid Shortcode",
    "C2B00016": "Other Error",
}
_NOT_REGISTERED = {
    "already_registered": "Urls are already registered.",
    "duplicate_notification": "Duplicate notification info, SP ID is 107031000, correlator is 200",
}


class C2bDesk:
    def __init__(self, world: World, courier: Courier) -> None:
        self.world, self.courier = world, courier

    # -- the APIs

    def register_v1(self, call: Call) -> Reply:
        return self._register(call, "v1")

    def register_v2(self, call: Call) -> Reply:
        return self._register(call, "v2")

    def _register(self, call: Call, version: str) -> Reply:
        merchant = fields.own_merchant(call, self.world, "ShortCode")
        response_type = fields.choice(call.body, "ResponseType", "Completed", "Cancelled")
        addresses = [fields.url(call.body, name) for name in ("ConfirmationURL", "ValidationURL")]
        for name, address in zip(("ConfirmationURL", "ValidationURL"), addresses, strict=True):
            fields.refuse_words(name, address, call.knobs)
        reply = call.knobs.c2b_register_reply
        if merchant.urls is not None and call.knobs.c2b_register_again == "refuse":
            reply = "already_registered"
        if reply in _NOT_REGISTERED:
            raise Refusal(500, "500.003.1001", _NOT_REGISTERED[reply])
        merchant.urls = C2bUrls(version, response_type, *addresses)
        # The key is misspelt on the wire.
        answer = {"OriginatorCoversationID": self.world.ids.request(), "ResponseCode": "0"}
        if reply == "00000000":
            answer["ResponseCode"] = reply
        elif reply == "no_code":
            del answer["ResponseCode"]
        return Reply(answer | {"ResponseDescription": "success" if version == "v1" else "Success"})

    def simulate(self, call: Call) -> Reply:
        """A payment by a customer whom nobody asks for a PIN. The real thing is for the sandbox only (6.5)."""
        merchant = fields.own_merchant(call, self.world, "ShortCode")
        command = fields.choice(call.body, "CommandID", "CustomerPayBillOnline", "CustomerBuyGoodsOnline")
        if command != merchant.transaction_type:
            raise bad_request("CommandID", "PayBill and till are mixed up")
        amount, msisdn = fields.amount(call.body), fields.msisdn(call.body, "Msisdn")
        account = "" if merchant.till else fields.plain(call.body.get("BillRefNumber"))
        if not call.knobs.c2b_simulate_silent:
            payer = self.world.subscriber(msisdn)
            if refusal := self.world.book.refusal(payer, merchant, amount):
                raise Refusal(500, "500.001.1001", description(refusal))
            self.confirm(self.world.book.pay(payer, merchant, amount, account))
        return Reply(
            {
                "OriginatorCoversationID": self.world.ids.request(),
                "ResponseCode": "0",
                "ResponseDescription": "Accept the service request successfully.",
            }
        )

    # -- the customer

    def pay(self, msisdn: str, number: str, amount: int, account: str, pin: str) -> Transaction:
        """Raises NotPossible with what the customer is told. Must be called without the lock: it may wait."""
        with self.world.lock:
            merchant = self._payee(number)
            payer = self.world.subscriber(msisdn)
            account = "" if merchant.till else account.strip()
            self._check(payer, merchant, amount, account)
            if refusal := payer.enter_pin(right=payer.knows(pin)):
                raise _refused(refusal, amount, merchant)
            # Already in the validation request the payment has the receipt that the confirmation will have.
            offer = Transaction(
                self.world.ids.receipt(), "c2b", merchant.shortcode, merchant.till, msisdn, payer.name, amount,
                account, self.world.clock.now(), merchant.balance,
            )  # fmt: skip
        third_party_id = self._validate(merchant, offer)
        with self.world.lock:
            self._check(payer, merchant, amount, account)
            line = self.world.book.pay(payer, merchant, amount, account, receipt=offer.receipt)
            line.third_party_id = third_party_id
            self.confirm(line)
            return line

    def _payee(self, number: str) -> Merchant:
        merchant = self.world.payee(number)
        if merchant is None:
            raise NotPossible(f"there is no PayBill or till {number}")
        return merchant

    def _check(self, payer: Subscriber, merchant: Merchant, amount: int, account: str) -> None:
        if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
            raise NotPossible("an amount is a whole number of shillings, 1 or more")
        if not merchant.till and not 1 <= len(account) <= _LONGEST_ACCOUNT:
            raise NotPossible(f"an account number has 1 to {_LONGEST_ACCOUNT} characters")
        if refusal := self.world.book.refusal(payer, merchant, amount):
            raise _refused(refusal, amount, merchant)

    def _validate(self, merchant: Merchant, offer: Transaction) -> str:
        """Ask the validation URL. Returns its ThirdPartyTransID; raises NotPossible if the payment is not to be."""
        urls = merchant.urls
        if urls is None or not merchant.validation:
            return ""
        with self.world.lock:
            knobs = self._knobs("validation", offer)
            asked = letter("validation", offer.receipt, urls.validation_url, self._body(offer, urls, knobs, ""), knobs)
            asked.timeout, asked.tries_left = knobs.c2b_validation_timeout, 0
            self.courier.letters.append(asked)
            lost = self.world.chance(knobs.c2b_validation_lost)
        if lost:
            asked.error = "lost by c2b.validation_lost"
        else:
            self.courier.deliver([asked])
        verdict = _verdict(asked)
        if verdict is None and urls.response_type == "Completed":
            return ""
        code = "no answer" if verdict is None else str(verdict["ResultCode"])
        if verdict is None or code != "0":
            raise NotPossible(f"{merchant.name} did not accept the payment: {_REJECTIONS.get(code, code)}")
        return str(verdict.get("ThirdPartyTransID") or "")

    # -- what the organisation hears

    def confirm(self, line: Transaction, script: Script | None = None) -> None:
        """Tell the registered URL, if there is one, as the knobs say."""
        urls = self.world.merchant(line.shortcode).urls
        if urls is None:
            return
        knobs = self._knobs("confirmation", line, script)
        letters = [self._forged(line, urls, forgery, knobs) for forgery in knobs.callback_forge]
        letters += self.courier.copies(self._confirmation(line, urls, knobs), knobs)
        self.courier.dispatch(letters, knobs)

    def resend(self, line: Transaction) -> None:
        """The genuine confirmation once more, whatever the knobs dropped."""
        with self.world.lock:
            self.courier.dispatch([self._confirmation(line, self._urls(line), self.world.knobs)], Knobs())

    def forge(self, line: Transaction, forgery: str) -> None:
        """One forged confirmation now."""
        with self.world.lock:
            self.courier.dispatch([self._forged(line, self._urls(line), forgery, self.world.knobs)], Knobs())

    def _urls(self, line: Transaction) -> C2bUrls:
        urls = self.world.merchant(line.shortcode).urls
        if urls is None:
            raise NotPossible(f"{line.shortcode} has no registered URLs")
        return urls

    def _knobs(self, exchange: str, line: Transaction, script: Script | None = None) -> Knobs:
        return self.world.effective(exchange, {"shortcode": line.shortcode, "msisdn": line.msisdn}, script)

    def _confirmation(self, line: Transaction, urls: C2bUrls, knobs: Knobs) -> Letter:
        content = self._body(line, urls, knobs, f"{line.balance}.00")
        return letter("confirmation", line.receipt, urls.confirmation_url, content, knobs)

    def _forged(self, line: Transaction, urls: C2bUrls, forgery: str, knobs: Knobs) -> Letter:
        """A confirmation of money that nobody paid, or of other money than was paid."""
        told = line if forgery == "off_list_ip" else dataclasses.replace(line, receipt=self.world.ids.receipt())
        if forgery == "wrong_amount":
            told = dataclasses.replace(told, amount=line.amount + 1)
        elif forgery == "other_checkout":
            other = next((m for m in self.world.merchants.values() if m.shortcode != line.shortcode), None)
            if other is not None:
                told = dataclasses.replace(told, shortcode=other.shortcode, till=other.till)
        made = self._confirmation(told, urls, knobs)
        made.about = line.receipt
        return tampered(made, forgery, self.world)

    def _body(self, line: Transaction, urls: C2bUrls, knobs: Knobs, balance: str) -> bytes:
        """Build sheet 6.3 and 6.4: one object for both; the validation has no balance yet."""
        till_type = "Buy Goods" if knobs.c2b_transaction_type == "portal" else "Customer Merchant Payment"
        amount = knobs.callback_amount or line.amount
        hashed = hashlib.sha256(line.msisdn.encode()).hexdigest()
        told: dict[str, Any] = {
            "TransactionType": till_type if line.till else "Pay Bill",
            "TransID": line.receipt,
            "TransTime": f"{self.world.clock.eat(line.paid_at):%Y%m%d%H%M%S}",
            "TransAmount": f"{amount}.00" if knobs.c2b_amount_form == "decimal" else f"{amount}",
            "BusinessShortCode": line.shortcode if knobs.c2b_till_shortcode == "store" else line.credit_party,
            "BillRefNumber": line.reference,
            "InvoiceNumber": "",
            "OrgAccountBalance": balance,
            "ThirdPartyTransID": line.third_party_id,
            "MSISDN": hashed if urls.version == "v1" else masked(line.msisdn, knobs.c2b_mask),
        }
        return json.dumps(told | _names(line.name, knobs.c2b_names)).encode()


def _refused(code: str, amount: int, merchant: Merchant) -> NotPossible:
    return NotPossible((told_to_payer(code, amount, merchant.name) or description(code)).rstrip("."))


def _names(name: str, form: str) -> dict[str, str]:
    if form == "absent":
        return {}
    first, *others = name.split() or [""]
    last = others.pop() if others else ""
    shown = (first, " ".join(others), last) if form == "full" else (first, "", "")
    return dict(zip(("FirstName", "MiddleName", "LastName"), shown, strict=True))


def _verdict(asked: Letter) -> dict[str, Any] | None:
    """What the validation URL said. None: nothing that can be read, and then the default action is taken."""
    try:
        told = json.loads(asked.reply) if asked.status == 200 else None
    except ValueError:
        return None
    return told if isinstance(told, dict) and "ResultCode" in told else None
