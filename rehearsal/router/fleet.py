"""The routers of a rehearsal on one clock and one radio, with the page and the control API in front of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from werkzeug.routing import Map

from rehearsal.simulation import Server, Unknown, application, loopback_names_only

from . import board, control
from .clock import Clock
from .journal import Journal
from .packets import colons
from .people import require_loopback
from .radio import Radio
from .router import VirtualRouter
from .session import Session

_ADDRESSES = Map()
_FIELDS = (
    "tenant", "name", "address", "identifier", "secret", "portal_url", "pools", "knobs", "mac_format",
    "login_by",
)  # fmt: skip


class Fleet:
    """Routers that share `radius` (host, auth port, acct port) and the ports that each opens on its own address.

    `traffic` is what new devices use, (up, down) in bit/s; `start` and `frozen` fix the clock for tests.
    """

    def __init__(
        self, radius: tuple[str, int, int], *, coa_port: int = 0, hotspot_port: int | None = 0,
        traffic: tuple[int, int] = (0, 0), start: datetime | None = None, frozen: bool = False,
        journal: Path | None = None, boot: int = 1,
    ) -> None:  # fmt: skip
        require_loopback(radius[0])
        self.radius, self.coa_port, self.hotspot_port, self.traffic = radius, coa_port, hotspot_port, traffic
        self.boot = boot
        self.clock = Clock(start, frozen=frozen)
        self.radio = Radio()
        self.journal = Journal(self.clock.iso, journal)
        self.routers: dict[str, VirtualRouter] = {}
        self.base_url = ""
        self.web = application(__package__, _ADDRESSES)
        self.web.before_request(loopback_names_only)
        self.web.register_blueprint(control.blueprint(self))
        self.web.register_blueprint(board.blueprint(self))
        self._server: Server | None = None

    # -- life

    def serve(self, port: int = 0, bind: str = "127.0.0.1") -> Fleet:
        """Open the page and the control API on loopback; port 0 takes a free one."""
        self._server = Server(self.web, require_loopback(bind), port)
        self.base_url = self._server.url
        self.clock.start()
        return self

    def close(self) -> None:
        for router in self.routers.values():
            router.close()
        if self._server is not None:
            self._server.close()
        self.clock.close()
        self.radio.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # -- routers

    def add(self, *, furnished: bool = False, **facts: Any) -> VirtualRouter:
        """Boot a router: tenant, name, address, identifier, secret, portal_url (see VirtualRouter).

        `furnished` puts a phone and a home router beside it, with MACs that stay the same from run to run.
        """
        if unknown := set(facts) - set(_FIELDS):
            raise ValueError(f"a router has no {', '.join(sorted(unknown))}")
        name = facts.get("name") or facts.get("identifier") or facts.get("tenant") or ""
        if not name or name in self.routers:
            raise ValueError(f"every router needs a name of its own, not {name!r}")
        router = VirtualRouter(
            **(facts | {"name": name}), radius=self.radius, coa_port=self.coa_port, hotspot_port=self.hotspot_port,
            clock=self.clock, radio=self.radio, journal=self.journal, boot=self.boot, traffic=self.traffic,
        ).serve()  # fmt: skip
        self.routers[name] = router
        if furnished:
            router.add_device(_steady_mac(name, "phone"), "Phone 1")
            router.add_device(_steady_mac(name, "home"), "Home router 1", "home", redial=5.0)
        return router

    def router(self, name: str) -> VirtualRouter:
        if name not in self.routers:
            raise Unknown(f"there is no router {name!r}")
        return self.routers[name]

    def sessions(self) -> list[tuple[VirtualRouter, Session]]:
        return [(router, session) for router in self.routers.values() for session in router.sessions()]

    # -- time

    def advance(self, seconds: float) -> None:
        """Let virtual time pass for all routers; returns when the packets that it caused are off the wire."""
        self.clock.advance(seconds)
        self.radio.wait_idle()

    def wait_idle(self, timeout: float = 10.0) -> bool:
        return self.radio.wait_idle(timeout)


def furnish(fleet: Fleet, routers: Iterable[Mapping[str, Any]]) -> None:
    """Boot what a ROUTERS file lists. Unknown keys are left alone, so that the file may say more than we need."""
    for entry in routers:
        fleet.add(furnished=True, **{key: value for key, value in entry.items() if key in _FIELDS})


def _steady_mac(router: str, device: str) -> str:
    return colons("02" + hashlib.sha256(f"{router} {device}".encode()).hexdigest()[:10])
