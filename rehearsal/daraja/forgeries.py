"""Letters that Safaricom did not send: what is wrong with how they come (build sheet 23, `callback.forge`).

What they claim is up to who writes the body.
"""

from __future__ import annotations

from .courier import Letter
from .world import World

_OFF_LIST = "203.0.113.66"
_OVERSIZED = 70_000


def tampered(letter: Letter, forgery: str, world: World) -> Letter:
    letter.kind = f"forged:{forgery}"
    if forgery == "wrong_token":
        head, _, token = letter.url.rpartition("/")
        letter.url = f"{head}/{world.random.getrandbits(256):064x}" if token else letter.url + "0"
    elif forgery == "off_list_ip":
        letter.source_ip = _OFF_LIST
    elif forgery == "malformed":
        letter.body = letter.body[: len(letter.body) // 2]
    elif forgery == "oversized":
        letter.body = letter.body[:-1] + b', "Padding": "' + b"x" * _OVERSIZED + b'"}'
    return letter
