"""Characters that nobody sees, in texts that people type."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, and those that turn the direction of what follows.
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
UNSEEN = re.compile(f"[{_UNSEEN}]")
# The same in a text of several lines.
UNSEEN_IN_LINES = re.compile(rf"(?![\t\r\n])[{_UNSEEN}]")
_FOLDED = re.compile(rf"[\s{_UNSEEN}]+")


def one_line(text: str) -> str:
    """The text with every run of white space and unseen characters made one space."""
    return _FOLDED.sub(" ", text).strip()
