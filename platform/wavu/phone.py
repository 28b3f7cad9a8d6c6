"""Phone numbers: E.164 inside, as people write them outside, masked wherever a stranger may look."""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers

# Daraja takes 254 and nine digits starting with 7 or 1 (build sheet 2.7); which of them are Safaricom's is for
# Safaricom to say, since numbers are ported.
_KENYAN_MOBILE = re.compile(r"\+254[17]\d{8}")
# Digits, what people put between them, and the marks of direction that are copied along with a contact.
_WRITTEN = re.compile(r"[\s\u200e\u200f\u202a-\u202e\u2066-\u2069+\uff0b\d()./\u2010-\u2015-]+")
# To whom the Communications Authority gave a range (docs/airtel.md 7). A number may have been ported since: it is a
# guess, good for what to offer first.
_AIRTEL = re.compile(r"\+254(?:73\d|75[0-6]|762|78\d|10\d)\d{6}")
_SAFARICOM = re.compile(r"\+254(?:7[0129]\d|74[0-35689]|75[7-9]|76[89]|11\d)\d{6}")


@dataclass(frozen=True)
class Phone:
    """A possible number in E.164 form, such as +254712345678."""

    e164: str

    @classmethod
    def parse(cls, text: str, region: str = "KE") -> Phone:
        """Reads `0712 345 678`, `712345678`, `254712345678` or `+44 20 …`, in any script's digits. Raises ValueError
        for what cannot ring, and for what has letters: whoever writes more than a number may mean another one."""
        if not _WRITTEN.fullmatch(text):
            raise ValueError("not a phone number")
        digits = re.sub(r"[\s()./-]", "", text)
        kenyan = re.fullmatch(r"(?:\+?254|0)?([17]\d{8})", digits, re.ASCII) if region == "KE" else None
        if kenyan:
            return cls(f"+254{kenyan[1]}")
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            raise ValueError("not a phone number") from None
        if not phonenumbers.is_valid_number(number):
            raise ValueError("not a phone number")
        return cls(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))

    @property
    def is_kenyan_mobile(self) -> bool:
        """Whether an M-Pesa prompt can be tried: +254 and a mobile range."""
        return bool(_KENYAN_MOBILE.fullmatch(self.e164))

    @property
    def operator(self) -> str | None:
        """Whose range the number is in, `safaricom` or `airtel`; None for any other."""
        if _AIRTEL.fullmatch(self.e164):
            return "airtel"
        return "safaricom" if _SAFARICOM.fullmatch(self.e164) else None

    @property
    def national(self) -> str:
        """As people at home write it: 0712 345678."""
        number = phonenumbers.parse(self.e164)
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)

    @property
    def masked(self) -> str:
        """Enough for its owner to know it, too little for anyone else: 0712 ••• 678."""
        return f"0{self.e164[4:7]} ••• {self.e164[-3:]}" if self.is_kenyan_mobile else mask(self.e164)


def mask(number: str) -> str:
    """Masks any run of digits, keeping four in front and three behind."""
    digits = number.lstrip("+")
    return f"{digits[:4]}{'•' * 4}{digits[-3:]}" if len(digits) > 7 else "•" * len(digits)
