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
from rehearsal.daraja import certificate
from rehearsal.environment import NAS_ADDRESSES
from rehearsal.servers import write_private
from tenants import airtel, mpesa, network, subscribers
from tenants.catalog import Package
from tenants.mpesa import MpesaAccount
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
    mpesa: tuple[str, str, str]
    # The merchant at Airtel Money; None for an ISP that takes M-Pesa alone.
    airtel: str | None
    packages: tuple[dict[str, Any], ...]


def _package(
    name: str, name_sw: str, shillings: int, validity: str, count: int, mbps: int, **more: Any
) -> dict[str, Any]:
    return {
        "name": name, "name_sw": name_sw, "price_cents": shillings * 100, "validity": validity,
        "validity_count": count, "speed_down_bps": mbps * 1_000_000, "speed_up_bps": mbps * 500_000, **more,
    }  # fmt: skip


_HOTSPOT = (
    _package("1 hour", "Saa 1", 10, "hours", 1, 5),
    _package("Until midnight", "Hadi usiku wa manane", 30, "until_midnight", 1, 5),
    _package("1 day", "Siku 1", 50, "days", 1, 5, popular=True),
    _package("Bundle 2 GB", "Kifurushi GB 2", 100, "days", 7, 8, data_cap_bytes=2_000_000_000),
    _package("1 week", "Wiki 1", 250, "days", 7, 8, devices=2),
    _package("1 month", "Mwezi 1", 900, "months", 1, 10, devices=2),
    _package("Fibre 10", "Fibre 10", 1800, "months", 1, 10, sold_on_hotspot=False, sold_on_pppoe=True, popular=True),
    _package("Fibre week", "Fibre wiki 1", 500, "days", 7, 10, sold_on_hotspot=False, sold_on_pppoe=True),
)
_HOME = (
    _package("Day pass", "Pasi ya siku", 80, "days", 1, 10),
    _package("Week pass", "Pasi ya wiki", 400, "days", 7, 10, devices=2, popular=True),
    _package("Home 10", "Nyumbani 10", 1500, "months", 1, 10, devices=5, sold_on_pppoe=True),
    _package("Home 20", "Nyumbani 20", 2500, "months", 1, 20, devices=8, sold_on_pppoe=True),
)


ISPS = (
    Isp(
        "pendo", "Pendo WiFi", "mtaa", "#00853e", "+254700000001", "en",
        ("Achieng Otieno", "achieng@pendo.test"), ("Brian Mwangi", "brian@pendo.test"), NAS_ADDRESSES[0],
        "pendo-kasarani",
        ("paybill", "600100", "600100"), "700100", _HOTSPOT,
    ),
    Isp(
        "kilimani", "Kilimani Fibre", "nyumba", "#1d4ed8", "+254700000002", "sw",
        ("Halima Abdi", "halima@kilimani.test"), ("Kevin Kamau", "kevin@kilimani.test"), NAS_ADDRESSES[1],
        "kilimani-core",
        ("till", "600200", "5123456"), None, _HOME,
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
        keep(f"line {isp.slug}", _password())
        for part in ("consumer_key", "consumer_secret", "passkey"):
            keep(f"{part} {isp.slug}", secrets.token_hex(16))
        keep(f"initiator {isp.slug}", secrets.token_hex(8))
        for part in ("client_id", "client_secret"):
            keep(f"{part} {isp.slug}", secrets.token_hex(16))
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
                login_url=_login_url(isp),
            )
        _shop(isp, kept)
    return tenant


def _login_url(isp: Isp) -> str:
    return f"http://{isp.nas_address}:{os.environ.get('ROUTER_HOTSPOT_PORT', '8180')}/login"


def _daraja(isp: Isp, kept: dict[str, str]) -> dict[str, str]:
    return {part: kept[f"{part} {isp.slug}"] for part in ("consumer_key", "consumer_secret", "passkey")}


def _airtel(isp: Isp, kept: dict[str, str]) -> dict[str, str]:
    return {part: kept[f"{part} {isp.slug}"] for part in ("client_id", "client_secret")}


def _shop(isp: Isp, kept: dict[str, str]) -> None:
    """Packages, accounts at the simulators, and one fibre line, not paid yet. In the tenant's scope."""
    if db.session.scalar(select(Package.id).limit(1)) is None:
        for position, package in enumerate(isp.packages):
            db.session.add(Package(id=ids.new_id(), position=position, **package))
        db.session.flush()
    if db.session.scalar(select(MpesaAccount.id).limit(1)) is None:
        kind, business, party = isp.mpesa
        account = mpesa.add_account(
            environment="rehearsal", kind=kind, business_short_code=business, party_b=party, **_daraja(isp, kept)
        )
        # A Till's payments name no order.
        mpesa.switch_standing_orders(account, on=kind == "paybill")
    for account in mpesa.list_accounts():
        if mpesa.initiator_of(account.id) is None:
            _initiator(isp, kept, account)
    if isp.airtel is not None and not airtel.list_accounts():
        airtel.add_account(environment="rehearsal", merchant_number=isp.airtel, **_airtel(isp, kept))
    if subscribers.by_username(_line(isp)) is None:
        subscribers.add_line(username=_line(isp), password=kept[f"line {isp.slug}"], name="Line 1")


def _initiator(isp: Isp, kept: dict[str, str], account: MpesaAccount) -> None:
    """In whose name refunds go out, with the simulator's certificate. In the tenant's scope."""
    mpesa.set_initiator(
        account.id,
        name=f"{isp.slug}api",
        password=kept[f"initiator {isp.slug}"],
        certificate=certificate.pem(),
        password_set_on=clock.local_date(clock.now(), "Africa/Nairobi"),
    )


def _line(isp: Isp) -> str:
    return f"{isp.slug}-line1"


def _write_peers(settings: Settings, kept: dict[str, str], callbacks: dict[str, str]) -> None:
    """What the simulators need to know; they wait for these files. `callbacks`: where Airtel calls an ISP back."""
    apps = [
        {
            **_daraja(isp, kept),
            "shortcode": isp.mpesa[1],
            "till": isp.mpesa[2] if isp.mpesa[0] == "till" else None,
            "name": isp.name.upper(),
            "initiators": [{"name": f"{isp.slug}api", "password": kept[f"initiator {isp.slug}"]}],
        }
        for isp in ISPS
    ]
    routers = [
        {
            "tenant": isp.slug,
            "name": isp.nas_identifier,
            "address": isp.nas_address,
            "identifier": isp.nas_identifier,
            "secret": kept[f"nas {isp.slug}"],
            "portal_url": settings.origin(f"{isp.slug}.{settings.platform_domain}") + "/",
        }
        for isp in ISPS
    ]
    merchants = [
        {
            **_airtel(isp, kept),
            "merchant_number": isp.airtel,
            "name": isp.name.upper(),
            "callback_url": callbacks[isp.slug],
        }
        for isp in ISPS
        if isp.slug in callbacks
    ]
    for variable, content in (
        ("DARAJA_APPS", {"apps": apps}),
        ("AIRTEL_APPS", {"apps": merchants}),
        ("ROUTERS", routers),
    ):
        if path := os.environ.get(variable):
            write_private(Path(path), json.dumps(content, indent=1))


def _account_number(isp: Isp, settings: Settings) -> str:
    """What a customer of the line types. In the platform's scope."""
    tenant_id = tenancy.resolve(NameKind.HOST, f"{isp.slug}.{settings.platform_domain}")
    assert tenant_id is not None
    with tenancy.visiting(tenant_id):
        line = subscribers.by_username(_line(isp))
        assert line is not None
        return subscribers.number_for(line.id)


def _callbacks(settings: Settings) -> dict[str, str]:
    """Where Airtel Money calls each ISP back, as its owner would enter it in the developer portal. In the platform's
    scope."""
    found = {}
    for isp in ISPS:
        tenant_id = tenancy.resolve(NameKind.HOST, f"{isp.slug}.{settings.platform_domain}")
        assert tenant_id is not None
        with tenancy.visiting(tenant_id):
            account = next((each for each in airtel.list_accounts() if each.environment == "rehearsal"), None)
            if account is not None:
                found[isp.slug] = airtel.callback_url(account)
    return found


def _summary(settings: Settings, kept: dict[str, str], totp: str, numbers: dict[str, str]) -> dict[str, Any]:
    domain = settings.platform_domain
    staff = {"role": "platform admin", "email": STAFF[1], "password": kept[STAFF[1]], "totp_secret": totp}
    return {
        "urls": {
            "platform": settings.origin(f"staff.{domain}"),
            "console": settings.origin(f"console.{domain}"),
            "phones": f"{settings.daraja_rehearsal_url}/phone/",
            "airtel_phones": f"{settings.airtel_rehearsal_url}/phone/",
            "routers": f"http://127.0.0.1:{os.environ.get('ROUTER_CONTROL_PORT', '8190')}/",
            "portals": {isp.slug: settings.origin(f"{isp.slug}.{domain}") for isp in ISPS},
        },
        "radius": {
            "bind": settings.radius_bind,
            "auth_port": settings.radius_auth_port,
            "acct_port": settings.radius_acct_port,
            "coa_port": settings.radius_coa_port,
            "tenants": {isp.slug: {"nas": _nas(isp, kept)} for isp in ISPS},
        },
        "daraja": {
            **_simulator(settings.daraja_rehearsal_url),
            "tenants": {isp.slug: _shortcode(isp) | _daraja(isp, kept) for isp in ISPS},
        },
        "airtel": {
            **_simulator(settings.airtel_rehearsal_url),
            "portal_url": f"{settings.airtel_rehearsal_url}/portal/",
            "tenants": {
                isp.slug: {"environment": "rehearsal", "merchant_number": isp.airtel, **_airtel(isp, kept)}
                for isp in ISPS
                if isp.airtel is not None
            },
        },
        "subscribers": [
            {
                "tenant": isp.slug,
                "username": _line(isp),
                "password": kept[f"line {isp.slug}"],
                "account_number": numbers[isp.slug],
                "package": None,
            }
            for isp in ISPS
        ],
        "accounts": [
            staff,
            *(
                {"role": f"{isp.slug} {role}", "email": email, "password": kept[email]}
                for isp in ISPS
                for role, (_, email) in (("owner", isp.owner), ("manager", isp.manager))
            ),
        ],
    }


def _simulator(url: str | None) -> dict[str, Any]:
    return {"base_url": url, "control_url": f"{url}/control", "phones_url": f"{url}/phone/"}


def _nas(isp: Isp, kept: dict[str, str]) -> dict[str, str]:
    return {"address": isp.nas_address, "identifier": isp.nas_identifier, "secret": kept[f"nas {isp.slug}"]}


def _shortcode(isp: Isp) -> dict[str, str | None]:
    kind, shortcode, number = isp.mpesa
    return {"environment": "rehearsal", "shortcode": shortcode, "till": number if kind == "till" else None}


def main() -> None:
    settings, kept = load(), _secrets()
    app = create_app(settings)
    with app.app_context(), tenant_scope(PLATFORM_ID), transaction():
        totp = _staff(kept)
        for isp in ISPS:
            _isp(isp, settings, kept)
        numbers = {isp.slug: _account_number(isp, settings) for isp in ISPS}
        callbacks = _callbacks(settings)
    _write_peers(settings, kept, callbacks)
    print(json.dumps(_summary(settings, kept, totp, numbers)))


if __name__ == "__main__":
    main()
