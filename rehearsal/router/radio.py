"""All UDP of the routers in one thread: requests that are sent again until answered, and the CoA ports.

Sheet 1.3 and 1.8: each new request leaves from a new source port; its retransmissions keep port, Id and bytes.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from .wire import BadPacket, Packet

Address = tuple[str, int]
Report = Callable[[str, bytes, str], None]  # direction, datagram, remark

log = logging.getLogger(__name__)
_ROOM = 2048  # of the largest reply that a RADIUS server sends; longer ones are cut and so refused
_CROWD = 48  # a socket buffer of the server holds about this many accounting records without loss


@dataclass(frozen=True)
class Request:
    """One request and how it travels. `check` raises BadPacket for a reply that the router does not believe."""

    source: str
    target: Address
    datagram: bytes
    check: Callable[[bytes], Packet]
    report: Report
    timeout: float
    tries: int
    copies: int = 1
    lost_replies: int = 0
    broken: tuple[bytes, ...] = ()


@dataclass
class _Flight:
    request: Request
    done: Callable[[Packet | None], None]
    socket: socket.socket
    sent: int = 0
    deadline: float = 0.0
    lost: int = 0


@dataclass
class Radio:
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _flights: set[int] = field(default_factory=set)  # ids of flights whose effects are not complete
    _chores: deque[Callable[[], None]] = field(default_factory=deque)
    _timers: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._idle = threading.Condition()
        self._order = itertools.count()
        self._closed = False
        self._waker, self._wakee = socket.socketpair()
        self._wakee.setblocking(False)
        self._selector.register(self._wakee, selectors.EVENT_READ, self._woken)
        self._thread = threading.Thread(target=self._run, name="router-radio", daemon=True)
        self._thread.start()

    # -- for the routers

    def send(self, request: Request, done: Callable[[Packet | None], None]) -> None:
        """Send now; `done` gets the reply, or None when the router has given up. It runs on the radio's thread."""
        plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plug.setblocking(False)
        plug.bind((request.source, 0))
        flight = _Flight(request, done, plug)
        with self._idle:
            self._flights.add(id(flight))
        for datagram in request.broken:
            self._emit(flight, datagram, "malformed on purpose")
        self._transmit(flight)
        self._do(lambda: self._watch(flight))

    def listen(self, address: str, port: int, heard: Callable[[bytes, Address], None]) -> socket.socket:
        """Hear datagrams. `heard` runs on the radio's thread. Raises OSError when the port is taken."""
        plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plug.setblocking(False)
        try:
            plug.bind((address, port))
        except OSError:
            plug.close()
            raise
        self._do(lambda: self._register(plug, lambda: self._hear(plug, heard)))
        return plug

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` on the radio's thread after real seconds."""
        self._do(lambda: heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), action)))

    def forget(self, plug: socket.socket) -> None:
        """Stop listening."""
        self._do(lambda: self._drop(plug))

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """Until every request is answered or given up, and what follows from the answer is done."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._flights, timeout)

    def wait_room(self, timeout: float = 10.0) -> bool:
        """Until so few requests are under way that more cannot overflow the server's buffer."""
        with self._idle:
            return self._idle.wait_for(lambda: len(self._flights) < _CROWD, timeout)

    def close(self) -> None:
        self._closed = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    # -- the thread

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(self._patience()):
                self._guard(key.data)
            while self._chores:
                self._guard(self._chores.popleft())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guard(heapq.heappop(self._timers)[2])
            for flight in [f for f in self._under_way() if f.deadline <= now]:
                self._guard(partial(self._again, flight))
        while self._chores:
            self._guard(self._chores.popleft())
        for flight in self._under_way():  # someone may be waiting for the outcome
            self._guard(partial(self._finish, flight, None))
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._waker.close()
        self._selector.close()

    def _under_way(self) -> list[_Flight]:
        watched = (key.data for key in list(self._selector.get_map().values()))
        return [data.flight for data in watched if isinstance(data, _Reception)]

    def _patience(self) -> float | None:
        moments = [flight.deadline for flight in self._under_way()] + [timer[0] for timer in self._timers[:1]]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:  # one bad datagram or handler must not silence every router
            log.exception("the radio of the router simulator stumbled")

    def _do(self, chore: Callable[[], None]) -> None:
        self._chores.append(chore)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakee.recv(4096)

    def _register(self, plug: socket.socket, heard: Callable[[], None]) -> None:
        if plug.fileno() >= 0:
            self._selector.register(plug, selectors.EVENT_READ, heard)

    def _drop(self, plug: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(plug)
        plug.close()

    def _hear(self, plug: socket.socket, heard: Callable[[bytes, Address], None]) -> None:
        with contextlib.suppress(BlockingIOError):
            datagram, peer = plug.recvfrom(65535)
            heard(datagram, (peer[0], peer[1]))

    # -- one flight

    def _watch(self, flight: _Flight) -> None:
        self._selector.register(flight.socket, selectors.EVENT_READ, _Reception(self, flight))

    def _transmit(self, flight: _Flight) -> None:
        flight.sent += 1
        remark = f"try {flight.sent} of {flight.request.tries}" if flight.sent > 1 else ""
        for _ in range(flight.request.copies):
            self._emit(flight, flight.request.datagram, remark)
        flight.deadline = time.monotonic() + flight.request.timeout

    @staticmethod
    def _emit(flight: _Flight, datagram: bytes, remark: str) -> None:
        try:
            flight.socket.sendto(datagram, flight.request.target)
        except OSError as error:
            remark = f"not sent: {error.strerror}"
        flight.request.report("sent", datagram, remark)

    def _again(self, flight: _Flight) -> None:
        if flight.sent < flight.request.tries:
            self._transmit(flight)
        else:
            flight.request.report("gave up", flight.request.datagram, f"no answer after {flight.sent} tries")
            self._finish(flight, None)

    def receive(self, flight: _Flight) -> None:
        try:
            datagram, peer = flight.socket.recvfrom(_ROOM)
        except BlockingIOError:
            return
        request = flight.request
        if peer[:2] != request.target:
            request.report("refused", datagram, f"from {peer[0]} port {peer[1]}, not the server")
            return
        if flight.lost < request.lost_replies:
            flight.lost += 1
            request.report("lost", datagram, "dropped on purpose")
            return
        try:
            reply = request.check(datagram)
        except BadPacket as error:
            request.report("refused", datagram, str(error))
            return
        request.report("received", datagram, "")
        self._finish(flight, reply)

    def _finish(self, flight: _Flight, reply: Packet | None) -> None:
        self._drop(flight.socket)
        try:
            flight.done(reply)
        finally:
            with self._idle:
                self._flights.discard(id(flight))
                self._idle.notify_all()


@dataclass(frozen=True, eq=False)
class _Reception:
    radio: Radio
    flight: _Flight

    def __call__(self) -> None:
        self.radio.receive(self.flight)
