"""Money, phones, instants, identifiers, texts."""

from __future__ import annotations

import sys
import unicodedata
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavu import clock, ids, money, texts
from wavu.phone import Phone, mask
from wavu.tenancy.directory import normalise_host


@given(st.integers(0, 10**14 - 1))
def test_what_is_shown_reads_back(cents: int) -> None:
    assert money.parse(money.show(cents).removeprefix("KES ")) == cents


@pytest.mark.parametrize(("text", "cents"), [("50", 5000), (" 1,500 ", 150000), ("1,500.5", 150050), ("0.07", 7)])
def test_amounts_as_people_type_them(text: str, cents: int) -> None:
    assert money.parse(text) == cents


@pytest.mark.parametrize("text", ["", "-5", "1,50", "1.005", "1e9", "NaN", "٥٠", "50 KES", "1,5000", "0x10", "9" * 13])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="looks like"):
        money.parse(text)


def test_negative_amounts_show_their_sign() -> None:
    assert money.show(-150) == "\N{MINUS SIGN}KES 1.50"


@pytest.mark.parametrize(
    "text",
    ["0712 345 678", "712345678", "254712345678", "+254 712-345-678", "0712.345.678", "(0712) 345678", "٠٧١٢٣٤٥٦٧٨",
     "\u202a+254712345678\u202c"],
)  # fmt: skip
def test_one_kenyan_number_in_many_forms(text: str) -> None:
    phone = Phone.parse(text)
    assert phone.e164 == "+254712345678"
    assert phone.is_kenyan_mobile
    assert phone.masked == "0712 ••• 678"
    assert phone.national == "0712 345678"


def test_new_prefixes_landlines_and_foreigners() -> None:
    assert Phone.parse("0110 123456").is_kenyan_mobile
    assert not Phone.parse("020 2222222").is_kenyan_mobile
    assert Phone.parse("+44 20 7946 0958").e164 == "+442079460958"
    assert not Phone.parse("+256 772 123456").is_kenyan_mobile


@pytest.mark.parametrize(
    "text",
    ["", "07123", "0812345678", "hello", "071234567890", "+254", "712345678 OR 1=1", "0722 FLOWER", "0722ABCDEF",
     "pay to 0712345678", "0712345678 ext 5", "0712345678;isub=1", "254712345678x"],
)  # fmt: skip
def test_what_cannot_ring(text: str) -> None:
    with pytest.raises(ValueError, match="phone number"):
        Phone.parse(text)


def test_masks_hide_short_numbers_altogether() -> None:
    assert mask("12345") == "•••••"


def test_days_are_the_tenants() -> None:
    late = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
    assert clock.local_date(late, "Africa/Nairobi") == date(2026, 2, 1)
    assert clock.local_date(late, "UTC") == date(2026, 1, 31)


def test_the_clock_can_be_stopped_for_one_context() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with clock.fixed(at):
        assert clock.now() == at
        with clock.fixed(at + timedelta(days=1)):
            assert clock.now() == at + timedelta(days=1)
    assert clock.now() > at
    with pytest.raises(ValueError, match="time zone"), clock.fixed(datetime(2026, 1, 1)):  # noqa: DTZ001
        pass


def test_ids_are_ordered_by_time_and_tokens_are_hex() -> None:
    made = [ids.new_id() for _ in range(1000)]
    assert made == sorted(made)
    assert {type(each) for each in made} == {UUID}
    assert {each.version for each in made} == {7}
    assert len(bytes.fromhex(ids.new_token())) == 32


@pytest.mark.parametrize(
    ("name", "host"),
    [("Pendo.Wavu.Test:8000", "pendo.wavu.test"), ("wifi.café.example", "wifi.xn--caf-dma.example"), ("a.b.", "a.b"),
     ("localhost", None), ("a..b", None), ("-a.b", None), ("a b.c", None), ("[::1]", None), ("a.b:x", None),
     ("x" * 64 + ".b", None), ("a/b.c", None), ("é" * 300 + ".b", None)],
)  # fmt: skip
def test_hosts(name: str, host: str | None) -> None:
    assert normalise_host(name) == host


def test_every_character_without_a_look_of_its_own_is_unseen() -> None:
    # Signs that stand around an Arabic, Syriac or Kaithi number, and Egyptian ones that put others in their place: Cf
    # to Unicode, and drawn all the same.
    drawn = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and code not in drawn:
            assert not texts.is_seen(f"Wan{character}jiru"), hex(code)


@pytest.mark.parametrize("text", ["Wanjirũ wa Ng'ang'a", "M-Pesa ya Saa 1 — KES 10", "Zoë Müller", "Bundle 🔥", "ደሳለኝ"])
def test_names_as_people_write_them_are_seen(text: str) -> None:
    assert texts.is_seen(text)
    assert texts.tidy(f"  {text} ") == text


def test_what_looks_the_same_is_kept_the_same() -> None:
    assert texts.tidy("Wanjiru\u0303") == texts.tidy("Wanjir\u0169") == "Wanjir\u0169"
    assert texts.tidy("\u2764\ufe0f") == "\u2764"
    assert texts.is_seen("a\r\n\tb", lines=True)
    assert not texts.is_seen("a\r\n\tb")
    assert texts.one_line(" a\u200b\r\n\u202e b ") == "a b"
