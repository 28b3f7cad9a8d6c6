"""The rehearsal's data: two ISPs that differ in everything a customer sees, their people, and platform staff.

Run after the migrations with the environment of the product; safe to run again, since what is there is kept. Prints
one JSON object, the part of var/rehearsal.json that only the database knows (docs/rehearsal.md has the schema).
"""

# ruff: noqa: T201 - its output is its result
from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from config import Settings, load
from tenants import network
from wavu import accounts, clock, ids, tenancy
from wavu.accounts import Membership, Person, second_factor
from wavu.app import create_app
from wavu.db import db, transaction
from wavu.tenancy import PLATFORM_ID, NameKind, Tenant, tenant_scope


class Isp(NamedTuple):
    slug: str
    name: str
    theme: str
    brand_color: str
    help_phone: str
    locale: str
    owner: tuple[str, str]
    manager: tuple[str, str]
    nas_address: str
    nas_identifier: str


ISPS = (
    Isp(
        "pendo", "Pendo WiFi", "mtaa", "#00853e", "+254700000001", "en",
        ("Achieng Otieno", "achieng@pendo.test"), ("Brian Mwangi", "brian@pendo.test"), "127.0.1.10", "pendo-kasarani",
    ),
    Isp(
        "kilimani", "Kilimani Fibre", "nyumba", "#1d4ed8", "+254700000002", "sw",
        ("Halima Abdi", "halima@kilimani.test"), ("Kevin Kamau", "kevin@kilimani.test"), "127.0.1.20", "kilimani-core",
    ),
)  # fmt: skip
STAFF = ("Wanjiru Njeri", "wanjiru@wavu.test")


def _secrets() -> dict[str, str]:
    """Passwords and router secrets of this rehearsal: made once, kept beside the database."""
    path = Path(os.environ.get("VAR_DIR", "var")) / "seed.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def keep(name: str, value: str) -> None:
        kept.setdefault(name, value)

    for isp in ISPS:
        keep(f"nas {isp.slug}", secrets.token_urlsafe(24))
        for _, email in (isp.owner, isp.manager):
            keep(email, _password())
    keep(STAFF[1], _password())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(kept, indent=1))
    return kept


def _password() -> str:
    return "-".join(secrets.token_hex(3) for _ in range(3))


def _person(name: str, email: str, password: str) -> Person:
    """In the platform's scope."""
    person = db.session.scalar(select(Person).where(Person.email == email))
    if person is None:
        person = Person(id=ids.new_id(), name=name, email=email)
        db.session.add(person)
        db.session.flush()
        accounts.set_password(person, password)
    return person


def _join(person: Person, role: str) -> None:
    """In the tenant's scope."""
    if accounts.membership_of(person.id) is None:
        db.session.add(Membership(person_id=person.id, role=role))
        db.session.flush()


def _staff(kept: dict[str, str]) -> str:
    """Platform staff with their second factor set up already, so that the first sign-in is an ordinary one."""
    person = _person(*STAFF, kept[STAFF[1]])
    _join(person, "admin")
    credential = second_factor.credential_of(person.id, lock=True)
    if not credential.has_second_factor:
        second_factor.begin_enrolment(person)
        credential.totp_confirmed_at, person.second_factor_on = clock.now(), True
    return credential.totp or ""


def _isp(isp: Isp, settings: Settings, kept: dict[str, str]) -> Tenant:
    host = f"{isp.slug}.{settings.platform_domain}"
    tenant = db.session.scalar(select(Tenant).where(Tenant.slug == isp.slug))
    if tenant is None:
        tenant = tenancy.create_tenant(
            name=isp.name,
            slug=isp.slug,
            host=host,
            theme=isp.theme,
            brand_color=isp.brand_color,
            help_phone=isp.help_phone,
            locale=isp.locale,
        )
    people = [
        (_person(*isp.owner, kept[isp.owner[1]]), "owner"),
        (_person(*isp.manager, kept[isp.manager[1]]), "manager"),
    ]
    with tenancy.visiting(tenant.id):
        tenancy.claim(NameKind.HOST, host)
        for person, role in people:
            _join(person, role)
        if network.find_nas(isp.nas_address) is None:
            network.add_router(
                name=isp.nas_identifier,
                identifier=isp.nas_identifier,
                address=isp.nas_address,
                secret=kept[f"nas {isp.slug}"],
            )
    return tenant


def _summary(settings: Settings, kept: dict[str, str], totp: str) -> dict[str, Any]:
    domain = settings.platform_domain
    accounts_ = [
        {"role": "platform admin", "email": STAFF[1], "password": kept[STAFF[1]], "totp_secret": totp},
    ]
    for isp in ISPS:
        for role, (_, email) in (("owner", isp.owner), ("manager", isp.manager)):
            accounts_.append({"role": f"{isp.slug} {role}", "email": email, "password": kept[email]})
    return {
        "urls": {
            "platform": settings.origin(f"staff.{domain}"),
            "console": settings.origin(f"console.{domain}"),
            "portals": {isp.slug: settings.origin(f"{isp.slug}.{domain}") for isp in ISPS},
        },
        "radius": {
            "bind": settings.radius_bind,
            "auth_port": settings.radius_auth_port,
            "acct_port": settings.radius_acct_port,
            "coa_port": settings.radius_coa_port,
            "tenants": {
                isp.slug: {
                    "nas": {
                        "address": isp.nas_address,
                        "identifier": isp.nas_identifier,
                        "secret": kept[f"nas {isp.slug}"],
                    }
                }
                for isp in ISPS
            },
        },
        "accounts": accounts_,
    }


def main() -> None:
    settings, kept = load(), _secrets()
    app = create_app(settings)
    with app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        totp = _staff(kept)
        for isp in ISPS:
            _isp(isp, settings, kept)
    print(json.dumps(_summary(settings, kept, totp)))


if __name__ == "__main__":
    main()
