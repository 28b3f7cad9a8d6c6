"""Identifiers as Daraja makes them (build sheet 2.6), repeatable for a seed."""

from __future__ import annotations

import random
import string

from .clock import Clock


class Identifiers:
    """None is given out twice."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self._clock, self._chance = clock, chance
        self._given: set[str] = set()

    def receipt(self) -> str:
        """Year letter (2006 = A), month letter, day (1-9 then A-V), seven more."""
        while True:
            receipt = self._today() + self.word(string.ascii_uppercase + string.digits, 7)
            if self._is_new(receipt):
                return receipt

    def dummy_receipt(self) -> str:
        """What a failure carries in place of a receipt, such as OAK0000000; given out again and again."""
        return f"{self._today()}0000000"

    def _today(self) -> str:
        today = self._clock.eat()
        year, month = chr(ord("A") + (today.year - 2006) % 26), chr(ord("A") + today.month - 1)
        return year + month + "123456789ABCDEFGHIJKLMNOPQRSTUV"[today.day - 1]

    def conversation(self) -> str:
        """`AG_` + YYYYMMDD + 20 hex."""
        return f"AG_{self._clock.eat():%Y%m%d}_{self.word('0123456789abcdef', 20)}"

    def request(self, form: str = "new") -> str:
        """`f1e2-4b95-a71d-b30d3cdbb7a7942864`, or the older `29115-34620561-1`."""
        if form == "old":
            return f"{self._chance.randint(10_000, 99_999)}-{self._chance.randint(10_000_000, 99_999_999)}-1"
        hexes = [self.word("0123456789abcdef", n) for n in (4, 4, 4, 12)]
        return "-".join(hexes) + self.word(string.digits, self._chance.choice((4, 6)))

    def checkout(self, msisdn: str, form: str = "new") -> str:
        """`ws_CO_` + DDMMYYYYHHmmss (EAT) + milliseconds, not padded + nine digits of the phone; older: no phone."""
        now = self._clock.eat()
        milliseconds = now.microsecond // 1000
        while True:
            old = f"{milliseconds:03d}{self._chance.randrange(10)}"
            tail = f"{milliseconds % 1000}{msisdn[-9:]}" if form == "new" else old
            checkout = f"ws_CO_{now:%d%m%Y%H%M%S}{tail}"
            if self._is_new(checkout):
                return checkout
            milliseconds += 1

    def word(self, alphabet: str, length: int) -> str:
        return "".join(self._chance.choice(alphabet) for _ in range(length))

    def _is_new(self, identifier: str) -> bool:
        new = identifier not in self._given
        self._given.add(identifier)
        return new


def masked(msisdn: str, style: str = "spaced") -> str:
    """A payer's number as Safaricom shows it since March 2026 (build sheet 6.4)."""
    return f"{msisdn[:5]}****{msisdn[-3:]}" if style == "stars" else f"{msisdn[:4]} ***** {msisdn[-3:]}"
