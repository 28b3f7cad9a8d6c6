"""Which of our faces a host name shows, and whose. Everything else about a request follows from this."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from uuid import UUID

from cachetools import TTLCache
from werkzeug.exceptions import HTTPException

from config import Settings
from wavu.db import db
from wavu.tenancy import NameKind, resolve
from wavu.tenancy.directory import normalise_host

# Faces at fixed sub-domains of the platform's domain. A portal is at any host that the directory knows.
PLATFORM_HOSTS = {"front": "", "console": "console.", "backoffice": "staff.", "hooks": "hooks."}
OPS_PATHS = frozenset({"/healthz", "/readyz", "/livez"})


class MisdirectedRequest(HTTPException):
    """RFC 9110 15.5.20. One static answer for every host that is not ours, whoever asks."""

    code = 421
    description = "No service of ours answers at this address."


@dataclass(frozen=True)
class Site:
    """A face at a host: surface `front`, `console`, `backoffice`, `hooks`, `portal` (then with its tenant) or `ops`."""

    surface: str
    host: str
    tenant_id: UUID | None = None


class Hosts:
    """Finds sites. A portal's host is remembered for some seconds, unknown ones too."""

    def __init__(self, settings: Settings, remember_seconds: float = 5) -> None:
        domain = settings.platform_domain
        self._fixed = {prefix + domain: Site(name, prefix + domain) for name, prefix in PLATFORM_HOSTS.items()}
        self._portals: TTLCache[str, UUID | None] = TTLCache(10_000, ttl=remember_seconds)
        self._lock = threading.Lock()

    def find(self, host: str, path: str) -> Site:
        """Raises MisdirectedRequest for a host that is nobody's."""
        if path in OPS_PATHS:
            return Site("ops", host)
        name = normalise_host(host)
        if name is None:
            raise MisdirectedRequest
        if site := self._fixed.get(name):
            return site
        tenant_id = self._portal(name)
        if tenant_id is None:
            raise MisdirectedRequest
        return Site("portal", name, tenant_id)

    def _portal(self, name: str) -> UUID | None:
        with self._lock:
            if name in self._portals:
                return self._portals[name]
        try:
            tenant_id = resolve(NameKind.HOST, name)
        finally:
            db.session.remove()
        with self._lock:
            self._portals[name] = tenant_id
        return tenant_id
