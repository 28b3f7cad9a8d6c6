"""The router's two doors to RADIUS: `/radius` (it asks) and `/radius/incoming` (it is told), with their counters."""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from .clock import Clock
from .journal import Journal
from .knobs import Knobs
from .radio import Address, Radio, Request
from .wire import (
    Attributes,
    BadPacket,
    Packet,
    access_request,
    accounting_request,
    answer_order,
    check_order,
    check_reply,
    malformed,
)

_REMEMBER_ORDERS = 30.0  # real seconds, RFC 5080 2.2.2
Obey = Callable[[Packet], tuple[int, Attributes]]


class Uplink:
    """Everything but `listen`, `close` and the orders is called with the clock's lock held."""

    def __init__(
        self, name: str, address: str, secret: str, server: tuple[str, int, int], clock: Clock, radio: Radio,
        journal: Journal, knobs: Knobs,
    ) -> None:  # fmt: skip
        self.server, self.knobs = server, knobs
        self.stats: Counter[str] = Counter()  # as /radius/monitor and /radius/incoming/monitor (sheet 1.1)
        self._name, self._address, self._own_secret = name, address, secret.encode()
        self._clock, self._radio, self._journal = clock, radio, journal
        self._ids = itertools.cycle(range(256))
        self._held: list[Callable[[], None]] = []
        self._answered: OrderedDict[tuple[Address, bytes], tuple[float, bytes]] = OrderedDict()
        self._ear: socket.socket | None = None

    @property
    def _secret(self) -> bytes:
        return self._own_secret + b"-not" if self.knobs.radius_wrong_secret else self._own_secret

    # -- asking

    def ask(self, attributes: Attributes, done: Callable[[Packet | None], None]) -> None:
        """An Access-Request. `done` gets a believable reply or None, on another thread."""
        sign = self.knobs.auth_message_authenticator
        datagram = access_request(next(self._ids), attributes, self._secret, sign)
        self._send(datagram, self.server[1], done)

    def record(self, status: str, attributes: Attributes) -> None:
        """An Accounting-Request; nothing waits for the answer, and after the last try it is gone (sheet 1.3)."""
        datagram = accounting_request(next(self._ids), attributes, self._secret)
        if status in self.knobs.acct_lose:
            self._write("lost", f"{self.server[0]}:{self.server[2]}", datagram, "never sent, on purpose")
            return
        self._held.append(lambda: self._send(datagram, self.server[2], lambda _: None))
        if len(self._held) >= self.knobs.acct_reorder:
            self.flush()

    def flush(self) -> None:
        """Send what `acct.reorder` holds, last first."""
        held, self._held = self._held[::-1], []
        for send in held:
            send()

    def set_knobs(self, knobs: Mapping[str, object]) -> None:
        self.knobs = self.knobs.changed(knobs)
        if len(self._held) >= self.knobs.acct_reorder:
            self.flush()

    def _send(self, datagram: bytes, port: int, done: Callable[[Packet | None], None]) -> None:
        knobs, secret = self.knobs, self._secret
        self.stats["requests"] += 1
        request = Request(
            source=knobs.radius_source or self._address, target=(self.server[0], port), datagram=datagram,
            check=lambda raw: check_reply(raw, datagram, secret, knobs.auth_require), report=self._reporter(port),
            timeout=knobs.radius_timeout, tries=knobs.radius_tries, copies=knobs.radius_copies,
            lost_replies=knobs.radius_drop_replies,
            broken=tuple(malformed(form, datagram) for form in knobs.radius_malformed),
        )  # fmt: skip
        self._radio.send(request, done)

    def _reporter(self, port: int) -> Callable[[str, bytes, str], None]:
        def report(direction: str, datagram: bytes, remark: str) -> None:
            if direction in ("gave up", "refused") or remark.startswith("try "):
                self.stats[{"gave up": "timeouts", "refused": "bad-replies"}.get(direction, "resends")] += 1
            self._write(direction, f"{self.server[0]}:{port}", datagram, remark)

        return report

    def _write(self, direction: str, peer: str, datagram: bytes, remark: str = "") -> None:
        self._journal.packet(self._name, direction, peer, datagram, remark)

    # -- being told

    def listen(self, port: int, obey: Obey) -> int:
        """Open the CoA port and return its number. `obey` is called with the lock held."""

        def heard(raw: bytes, peer: Address) -> None:
            if self.knobs.coa_delay:
                self._radio.later(self.knobs.coa_delay, lambda: self._order(raw, peer, obey))
            else:
                self._order(raw, peer, obey)

        self._ear = self._radio.listen(self._address, port, heard)
        return int(self._ear.getsockname()[1])

    def close(self) -> None:
        if self._ear is not None:
            self._radio.forget(self._ear)
            self._ear = None

    def _order(self, raw: bytes, peer: Address, obey: Obey) -> None:
        with self._clock.lock:
            self.stats["orders"] += 1
            answer, remark = self._answer(raw, peer, obey)
            self.stats["bad-orders"] += bool(remark)
        stated = f"{peer[0]}:{peer[1]}"
        self._write("refused" if remark else "received", stated, raw, remark)
        if answer is not None and self._ear is not None:
            self._ear.sendto(answer, peer)
            self._write("sent", stated, answer)

    def _answer(self, raw: bytes, peer: Address, obey: Obey) -> tuple[bytes | None, str]:
        """The answer and an empty remark, or None and why the router stays silent."""
        if self.knobs.coa_ignore:
            return None, "ignored, as with accept=no"
        if self.knobs.coa_from == "radius" and peer[0] != self.server[0]:
            return None, f"{peer[0]} is not the RADIUS server"
        try:
            order = check_order(raw, self._secret, need_signature=self.knobs.coa_need_signature)
        except BadPacket as error:
            return None, str(error)
        while self._answered and next(iter(self._answered.values()))[0] < time.monotonic() - _REMEMBER_ORDERS:
            self._answered.popitem(last=False)
        if (peer, order.raw) not in self._answered:
            answer = answer_order(order, *obey(order), self._secret)
            self._answered[peer, order.raw] = (time.monotonic(), answer)
        return self._answered[peer, order.raw][1], ""
