"""The web as it runs in life: the product's own gunicorn on loopback, on a database with the test world committed."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from flask import Flask
from sqlalchemy import select

from config import load
from tests.stack import ROOT
from tests.world import Isp, Someone, World, build_world, join, make_person
from wavu import clock, tenancy
from wavu.accounts import Person, second_factor
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.outbox import OutboxRow
from wavu.tenancy import PLATFORM_ID, NameKind, Tenant, tenant_scope
from workers.reactions import JOBS

DOMAIN = "wavu.localhost"  # browsers send every name under .localhost to this machine
STAFF, CONSOLE, PORTAL_A, PORTAL_B = "staff", "console", "isp-a", "isp-b"


class Site(NamedTuple):
    """The running web, and an application on the same database to prepare what a walk starts from."""

    app: Flask
    world: World
    port: int
    log: Path

    def url(self, host: str, path: str = "/") -> str:
        """The address of a page; `host` is the first label, such as STAFF."""
        return f"http://{host}.{DOMAIN}:{self.port}{path}"

    def fetch(self, host: str, path: str) -> tuple[dict[str, str], str]:
        """The headers and the text of a page as it leaves the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers={"Host": f"{host}.{DOMAIN}:{self.port}"})
        response = connection.getresponse()
        headers, text = dict(response.getheaders()), response.read().decode()
        connection.close()
        return headers, text

    def admin(self, name: str) -> tuple[Someone, str]:
        """An administrator of the platform who has not signed in yet, and the secret of their second factor."""
        with self.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            person = make_person(name, _address(name))
            secret, _ = second_factor.begin_enrolment(person)
            credential = second_factor.credential_of(person.id)
            credential.totp_confirmed_at, person.second_factor_on = clock.now(), True
            return join(person, "admin"), secret

    def member(self, name: str, *places: tuple[Isp, str]) -> Someone:
        """A person who may sign in to the console, with a role in each of some ISPs."""
        with self.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            person = make_person(name, _address(name))
            return [_join(isp, person, role) for isp, role in places][-1]

    def isp(self, name: str, slug: str, *, locale: str = "en") -> Isp:
        """Another ISP, with an owner and nothing else."""
        with self.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            host = f"{slug}.{DOMAIN}"
            tenant = tenancy.create_tenant(name=name, slug=slug, host=host, locale=locale)
            owner = make_person(f"Owner of {slug}", f"owner@{slug}.test")
            with tenancy.visiting(tenant.id):
                member = join(owner, "owner")
            return Isp(tenant.id, name, host, member, member, tenant.id, tenant.id, "", "")

    def suspend(self, isp: Isp, reason: str) -> None:
        with self.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            tenancy.suspend(isp.id, reason)

    def tenant_id(self, slug: str) -> UUID:
        with self.app.app_context(), tenant_scope(PLATFORM_ID), transaction():
            return db.session.scalars(select(Tenant.id).where(Tenant.slug == slug)).one()

    def deliver(self, tenant_id: UUID = PLATFORM_ID) -> None:
        """Performs what a tenant's outbox holds, and sends its mails with whatever wavu.mail.send is at this moment."""
        calls = []
        with self.app.app_context(), tenant_scope(tenant_id), transaction():
            while rows := db.session.scalars(select(OutboxRow)).all():
                for row in rows:
                    calls += list(JOBS[row.job](row.payload) or ())
                    db.session.delete(row)
                db.session.flush()
        for call in calls:
            call()


def _address(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@{DOMAIN.replace('localhost', 'test')}"


def _join(isp: Isp, person: Person, role: str) -> Someone:
    with tenancy.visiting(isp.id):
        return join(person, role)


@contextmanager
def serve(environ: Mapping[str, str], port: int, log: Path) -> Iterator[Site]:
    """Builds the world, starts gunicorn with config/gunicorn.py, and stops it afterwards."""
    environ = {
        **environ,
        "PLATFORM_DOMAIN": DOMAIN,
        "PUBLIC_SCHEME": "http",  # cookies then have no __Host- prefix
        "PUBLIC_PORT": str(port),
        "PORT": str(port),
        "BIND": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}",
    }
    app = create_app(load(environ))
    world = build_world(app)
    _dress(app, world)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "wsgi:app"]
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stdout=output, stderr=output)
        try:
            _await(server, port, log)
            yield Site(app, world, port, log)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            with app.app_context():
                db.engine.dispose()


def _dress(app: Flask, world: World) -> None:
    """Hosts that a browser finds, and two looks: the ISPs of the test world are otherwise alike."""
    looks = (
        (world.a, PORTAL_A, "mtaa", "#00853e", "+254712345678", "en"),
        (world.b, PORTAL_B, "nyumba", "#1d4ed8", None, "sw"),
    )
    with app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        for isp, host, theme, color, phone, locale in looks:
            tenant = db.session.get_one(Tenant, isp.id)
            tenant.theme, tenant.brand_color, tenant.help_phone, tenant.locale = theme, color, phone, locale
            with tenancy.visiting(isp.id):
                tenancy.release(NameKind.HOST, isp.host)
                tenancy.claim(NameKind.HOST, f"{host}.{DOMAIN}")


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise RuntimeError(f"the web does not start:\n{log.read_text()[-3000:]}")
