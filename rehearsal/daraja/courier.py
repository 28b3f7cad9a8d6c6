"""Delivers what Safaricom calls back with: one plain POST, 8 s, no redirects, no retry unless a knob says so.

Build sheet 18 and 23. Only loopback hosts are ever called; names under .localhost are 127.0.0.1 without a resolver.
"""

from __future__ import annotations

import dataclasses
import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from rehearsal.simulation import loopback_address

from .journal import Journal
from .knobs import Knobs
from .world import World

_AT_ONCE = 32


@dataclass
class Letter:
    """One POST, and what became of it: `status` of the receiver, or `error`; both None while it is on its way."""

    exchange: str  # as in knobs.GROUPS
    kind: str  # "genuine", or "forged:<forgery>"
    about: str  # CheckoutRequestID, receipt or ConversationID
    url: str
    body: bytes
    source_ip: str
    timeout: float
    tries_left: int = 0
    retry_seconds: float = 10.0
    status: int | None = None
    reply: bytes = b""
    error: str | None = None
    at: float | None = None

    def as_json(self) -> dict[str, object]:
        return vars(self) | {part: vars(self)[part][:4096].decode("utf-8", "replace") for part in ("body", "reply")}


def letter(exchange: str, about: str, url: str, body: bytes, knobs: Knobs) -> Letter:
    """A genuine one, delivered as the `callback` knobs say."""
    return Letter(
        exchange, "genuine", about, url, body, knobs.callback_source_ip, knobs.callback_timeout,
        knobs.callback_retries, knobs.callback_retry_seconds,
    )  # fmt: skip


class Courier:
    def __init__(self, world: World, journal: Journal) -> None:
        self.world, self.journal = world, journal
        self.letters: list[Letter] = []
        self.held: list[Letter] = []
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="daraja-callback")
        self._in_flight = 0

    def copies(self, letter: Letter, knobs: Knobs) -> list[Letter]:
        """What goes out of one letter: nothing if it is lost, more than one if it is repeated."""
        if self.world.chance(knobs.callback_drop):
            letter.error = "dropped by callback.drop"
            self.letters.append(letter)
            return []
        repeated = self.world.chance(knobs.callback_duplicate_chance)
        return [dataclasses.replace(letter) for _ in range(knobs.callback_duplicate if repeated else 1)]

    def dispatch(self, letters: Sequence[Letter], knobs: Knobs) -> None:
        """Send these now, later or with others, as the knobs say. Holds the lock; returns at once."""
        self.letters.extend(letters)
        delay = self.world.draw(knobs.callback_delay)
        if knobs.callback_reorder:
            self.held.extend(letters)
            if len(self.held) >= knobs.callback_reorder:
                self.flush()
        elif delay:
            self.world.clock.after(delay, lambda: self._submit_each(letters))
        else:
            self._submit_each(letters)

    def flush(self) -> None:
        """Send what `callback.reorder` held back: the last first, one after the other."""
        with self.world.lock:
            held, self.held = self.held[::-1], []
            if held:
                self._submit(held)

    def deliver(self, letters: Sequence[Letter]) -> None:
        """Send these one after the other in the calling thread, which must not hold the lock."""
        for letter in letters:
            _post(letter)
            with self.world.lock:
                letter.at = self.world.clock.now()
                self._try_again_later(letter)
            self.journal.write(
                exchange=letter.exchange, kind=letter.kind, url=letter.url, status=letter.status, error=letter.error,
                body=letter.body.decode("utf-8", "replace")[:2000],
            )  # fmt: skip

    def wait_idle(self, timeout: float) -> bool:
        """True once no callback is on the wire. Held and delayed ones do not count."""
        with self.world.lock:
            return self.world.lock.wait_for(lambda: self._in_flight == 0, timeout)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit_each(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._submit([letter])

    def _submit(self, letters: Sequence[Letter]) -> None:
        with self.world.lock:
            self._in_flight += 1

        def run() -> None:
            try:
                self.deliver(letters)
            finally:
                with self.world.lock:
                    self._in_flight -= 1
                    self.world.lock.notify_all()

        self._pool.submit(run)

    def _try_again_later(self, letter: Letter) -> None:
        delivered = letter.status is not None and 200 <= letter.status < 300
        if delivered or letter.tries_left == 0:
            return
        letter.tries_left -= 1
        self.world.clock.after(letter.retry_seconds, lambda: self._submit([letter]))


def _post(letter: Letter) -> None:
    """Fills in the status and the reply, or the error."""
    parts = urlsplit(letter.url)
    address = loopback_address(parts.hostname)
    if address is None or parts.scheme != "http":
        letter.error = "refused: the simulator calls plain http on loopback only"
        return
    headers = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json"}
    if letter.source_ip:
        headers["X-Forwarded-For"] = letter.source_ip
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(address, parts.port or 80, timeout=letter.timeout)
    try:
        connection.request("POST", path, letter.body, headers)
        answer = connection.getresponse()
        letter.reply = answer.read(65_536)
        letter.status = answer.status
    except (OSError, http.client.HTTPException) as error:
        letter.error = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
