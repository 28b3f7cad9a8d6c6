"""What people type, as it is kept: composed alike, and without characters that nobody sees."""

from __future__ import annotations

import re
import unicodedata

# Control characters; line and paragraph separators; what turns the direction of the text around it; what joins, fills
# or marks without being seen (Unicode's Default_Ignorable_Code_Point, Braille's blank); halves of surrogate pairs.
# Joiners too: no name in English or Swahili needs one.
_UNSEEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
_SEEN = re.compile(f"[^{_UNSEEN}]*")
# The same in a text of several lines.
_SEEN_IN_LINES = re.compile(rf"(?:[^{_UNSEEN}]|[\t\r\n])*")
_FOLDED = re.compile(rf"[\s{_UNSEEN}]+")
# Phones add these to emoji by themselves; without them the sign is the same.
_LOOKS = re.compile(r"[\ufe0e\ufe0f]")


def tidy(text: str) -> str:
    """The text as it is kept: without space around it, and with each letter composed in one way (Unicode's NFC), so
    that what looks the same is the same."""
    return unicodedata.normalize("NFC", _LOOKS.sub("", text)).strip()


def is_seen(text: str, *, lines: bool = False) -> bool:
    """Whether every character of it shows. `lines` allows line breaks and tabs."""
    return (_SEEN_IN_LINES if lines else _SEEN).fullmatch(text) is not None


def one_line(text: str) -> str:
    """The text with every run of white space and unseen characters made one space."""
    return _FOLDED.sub(" ", text).strip()
