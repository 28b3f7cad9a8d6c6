"""Every setting of the deployment, checked together so that an operator mends all faults in one go."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from email.utils import getaddresses
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PRIVILEGED_ROLES = frozenset({"wavu_owner", "wavu_admin", "wavu_backup", "postgres"})
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")


class ConfigurationError(Exception):
    """The environment does not make a runnable configuration. `faults` has one line per fault, naming the fix."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"The configuration has {len(faults)} fault(s):\n{lines}")


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("configuration", "{text}", {"text": message})


def _url(*schemes: str) -> BeforeValidator:
    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            there = parts.path if parts.scheme == "unix" else parts.hostname
            valid = parts.scheme in schemes and bool(there) and (parts.port or True)
        except ValueError:
            valid = False
        if not valid:
            form = "host" if "http" in schemes else "user:password@host:port/name"
            raise _fault(f"is not a URL of the form {schemes[0]}://{form}")
        if parts.scheme == "postgresql" and not parts.path.strip("/"):
            raise _fault("names no database")
        asked = parse_qs(parts.query).get("db", []) + [parts.path[1:]] * (parts.scheme in ("redis", "rediss"))
        if "redis" in schemes and not all(re.fullmatch("[0-9]{0,5}", number) for number in asked):
            raise _fault("names a database that is no number")
        return value

    return BeforeValidator(check)


def _check_host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise _fault("is not a lower-case host name with at least one dot, such as wavu.example")
    return value


def _check_vault_keys(value: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for part in value.split(","):
        number, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not number.isdigit() or not 1 <= int(number) <= 65535 or len(key) != 32 or int(number) in keys:
            raise _fault(
                "must be NUMBER:BASE64 pairs of distinct 32-byte keys, separated by commas, newest highest; "
                "make one with: echo 1:$(head -c 32 /dev/urandom | base64)"
            )
        keys[int(number)] = key
    return keys


def _check_mailbox(value: str) -> str:
    addresses = [address for _name, address in getaddresses([value])]
    if not value.isprintable() or len(addresses) != 1 or not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", addresses[0]):
        raise _fault("is not one mail address, on one line")
    return value


def _check_ip(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        raise _fault("is not an IP address, such as 127.0.0.1") from None
    return value


def _check_ips(value: str | frozenset[str]) -> frozenset[str]:
    parts = value.split(",") if isinstance(value, str) else value
    try:
        return frozenset(str(ip_address(part.strip())) for part in parts if part.strip())
    except ValueError:
        raise _fault(
            "has a part that is no IP address; write single addresses with commas between, such as "
            "196.201.214.200,196.201.214.206"
        ) from None


HttpUrl = Annotated[str, _url("https", "http")]
PostgresUrl = Annotated[SecretStr, _url("postgresql")]
Port = Annotated[int, Field(ge=1, le=65535)]
PerSecond = Annotated[float, Field(gt=0, le=10_000)]


class Settings(BaseSettings):
    """All settings. Field names are the environment variables in lower case; docs/deploy.md explains each."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    wavu_env: Literal["production", "rehearsal", "test"] = "production"
    database_url: PostgresUrl
    relay_database_url: PostgresUrl
    redis_url: Annotated[SecretStr, _url("redis", "rediss", "unix")]
    secret_key: SecretStr
    vault_keys: Annotated[dict[int, bytes], BeforeValidator(_check_vault_keys)] = Field(repr=False)

    platform_domain: Annotated[str, BeforeValidator(_check_host)]
    public_scheme: Literal["http", "https"] = "https"
    public_port: Port | None = None
    proxy_hops: Annotated[int, Field(ge=0, le=3)] = 0

    smtp_url: Annotated[SecretStr, _url("smtp", "smtps")]
    mail_from: Annotated[str, BeforeValidator(_check_mailbox)]
    sentry_dsn: Annotated[SecretStr, _url("https", "http")] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    daraja_sandbox_url: HttpUrl = "https://sandbox.safaricom.co.ke"
    daraja_production_url: HttpUrl = "https://api.safaricom.co.ke"
    # The simulator of the rehearsal and of tests; refused in production.
    daraja_rehearsal_url: HttpUrl | None = None
    airtel_staging_url: HttpUrl = "https://openapiuat.airtel.africa"
    airtel_production_url: HttpUrl = "https://openapi.airtel.africa"
    # As daraja_rehearsal_url, of Airtel Money; refused in production.
    airtel_rehearsal_url: HttpUrl | None = None
    # How fast calls may leave for Daraja: STK pushes and queries of one app, and all calls of all tenants together,
    # since they share one address. Safaricom publishes no limits; the sandbox's are what people have met.
    daraja_stk_per_second: PerSecond = 5
    daraja_queries_per_second: PerSecond = 1
    daraja_calls_per_second: PerSecond = 20
    daraja_sandbox_stk_per_second: PerSecond = 1
    daraja_sandbox_queries_per_minute: PerSecond = 5
    # From where Daraja calls back. Not a promise of Safaricom's: a call from elsewhere is not refused but checked.
    daraja_callback_addresses: Annotated[frozenset[str], BeforeValidator(_check_ips)] = frozenset(
        f"196.201.{tail}"
        for tail in (
            "214.200", "214.206", "214.207", "214.208", "213.114", "213.44", "212.127", "212.138", "212.129",
            "212.136", "212.74", "212.69",
        )
    )  # fmt: skip

    # Tests arm failpoints there (wavu.failpoint); refused in production.
    failpoint_dir: Path | None = None
    # Where callbacks wait while PostgreSQL is away. On a disk of this machine.
    spool_dir: Path | None = None

    # config/gunicorn.py reads these itself; a fault in them is named here, together with all others.
    port: Port = 8000
    web_workers: Annotated[int, Field(ge=1, le=999)] = 2
    web_threads: Annotated[int, Field(ge=1, le=999)] = 4

    radius_bind: Annotated[str, BeforeValidator(_check_ip)] = "127.0.0.1"
    radius_auth_port: Port = 1812
    radius_acct_port: Port = 1813
    radius_coa_port: Port = 3799
    radius_health_secret: SecretStr

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what load() passes: tests and processes see exactly the environment they name."""
        return (init_settings,)

    @property
    def secure(self) -> bool:
        """Whether people reach us over TLS; cookies then carry the __Host- prefix."""
        return self.public_scheme == "https"

    def origin(self, host: str) -> str:
        """The absolute address of a host of ours, such as https://console.wavu.example."""
        default = {"http": 80, "https": 443}[self.public_scheme]
        port = "" if self.public_port in (None, default) else f":{self.public_port}"
        return f"{self.public_scheme}://{host}{port}"


def _together(said: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with values that are right each for itself. `said` lacks those that are not."""
    app, relay = (urlsplit(said.get(name, "")) for name in ("database_url", "relay_database_url"))
    for name, url, role in (("DATABASE_URL", app, "wavu_app"), ("RELAY_DATABASE_URL", relay, "wavu_relay")):
        user = unquote(url.username or "")
        if url.scheme and url.username is None:
            yield f"{name}: names no user. Use the role {role} (python -m migrations.roles makes it)."
        elif user in PRIVILEGED_ROLES:
            yield (
                f"{name}: connects as {user}, which escapes row-level security. Use the role {role} "
                "(python -m migrations.roles makes it)."
            )
        elif name == "DATABASE_URL" and user in {"wavu_relay", "wavu_report"}:
            yield f"{name}: connects as {user}. Use the role {role}."
    if app.username and relay.username == app.username:
        yield "RELAY_DATABASE_URL: connects as the application's role. Use the role wavu_relay."
    if app.scheme and relay.scheme and _database(app) != _database(relay):
        yield "RELAY_DATABASE_URL: names another database than DATABASE_URL. Both must be the same one."
    ports = [said.get(f"radius_{use}_port", default) for use, default in (("auth", "1812"), ("acct", "1813"))]
    if ports[0] == ports[1]:
        yield "RADIUS_ACCT_PORT: is RADIUS_AUTH_PORT too. Give each a port of its own."
    if said.get("wavu_env", "production") == "production":
        yield from _in_production(said)


def _database(url: SplitResult) -> tuple[str | None, int, str]:
    return url.hostname, url.port or 5432, url.path


def _in_production(said: Mapping[str, str]) -> Iterator[str]:
    if said.get("public_scheme", "https") != "https":
        yield "PUBLIC_SCHEME: must be https in production: sessions and payments travel over it."
    secret = said.get("secret_key", "to be found missing, not too short").strip()
    if len(secret) < 32:
        yield "SECRET_KEY: needs at least 32 characters; make one with: openssl rand -hex 32"
    elif len(set(secret)) == 1:
        yield "SECRET_KEY: is one character again and again; make one with: openssl rand -hex 32"
    if "vault_keys" in said and any(len(set(key)) == 1 for key in _check_vault_keys(said["vault_keys"]).values()):
        yield "VAULT_KEYS: has a key of 32 equal bytes; make one with: echo 1:$(head -c 32 /dev/urandom | base64)"
    if not Path(said.get("spool_dir", "")).is_absolute():
        yield (
            "SPOOL_DIR: needs the absolute path of a folder of the web process's own, such as /var/lib/wavu/spool: "
            "payments that are reported while PostgreSQL is away wait there."
        )
    if "daraja_rehearsal_url" in said:
        yield "DARAJA_REHEARSAL_URL: is for the rehearsal; unset it. Money is real in production."
    if "airtel_rehearsal_url" in said:
        yield "AIRTEL_REHEARSAL_URL: is for the rehearsal; unset it. Money is real in production."
    for name in ("daraja_production_url", "airtel_production_url"):
        url = urlsplit(said.get(name, "https://left.alone"))
        if url.scheme != "https" or _is_this_machine(url.hostname or ""):
            yield f"{name.upper()}: must be https and not this machine. Unset it: the default is the gateway's address."
    if "failpoint_dir" in said:
        yield "FAILPOINT_DIR: is for tests; unset it. It makes processes kill themselves."
    if len(said.get("radius_health_secret", "h" * 16)) < 16:
        yield "RADIUS_HEALTH_SECRET: needs at least 16 characters; make one with: openssl rand -hex 16"
    if said.get("platform_domain", "").endswith((".localhost", ".test", ".example", ".invalid")):
        yield "PLATFORM_DOMAIN: is a name kept for tests; use the domain your ISPs will visit."
    elif _address(said.get("platform_domain", "")):
        yield "PLATFORM_DOMAIN: is an IP address, under which ISPs can have no names; use the domain they will visit."


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    if address:
        return address.is_loopback or address.is_unspecified
    return host.rstrip(".").rpartition(".")[2] == "localhost"


_HINTS = {
    "database_url": "Point it at PostgreSQL 15+ as the role wavu_app: postgresql://wavu_app:PASSWORD@HOST/wavu",
    "relay_database_url": "The same database as the role wavu_relay: postgresql://wavu_relay:PASSWORD@HOST/wavu",
    "redis_url": "Point it at Redis 6.2+ or Valkey 7.2+: redis://HOST:6379/0",
    "secret_key": "Make one with: openssl rand -hex 32",
    "vault_keys": "Make one with: echo 1:$(head -c 32 /dev/urandom | base64)",
    "platform_domain": "The domain under which ISPs get their addresses, such as wavu.example",
    "smtp_url": "The mail server: smtp://user:password@host:587 or smtps://…:465",
    "mail_from": "The address that mail comes from, such as hello@wavu.example",
    "web_workers": "Choose a number from 1 to 999, such as WEB_WORKERS=2",
    "web_threads": "Choose a number from 1 to 999, such as WEB_THREADS=4",
    "radius_health_secret": "Any 16+ characters; the health check signs its RADIUS packets with it",
}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the environment. Raises ConfigurationError with all faults at once; values are never echoed."""
    environ = os.environ if environ is None else environ
    known = {name: environ[name.upper()] for name in Settings.model_fields if environ.get(name.upper())}
    settings, faults, wrong = None, list[str](), set[str]()
    try:
        settings = Settings(**known)  # type: ignore[arg-type]
    except ValidationError as error:
        faults, wrong = _explain(error)
    faults += _together({name: value for name, value in known.items() if name not in wrong})
    if settings is None or faults:
        raise ConfigurationError(faults)
    return settings


def _explain(error: ValidationError) -> tuple[list[str], set[str]]:
    """A line for each setting that is wrong by itself, and their names."""
    faults, wrong = list[str](), set[str]()
    for item in error.errors(include_url=False, include_input=False):
        name = str(item["loc"][0])
        wrong.add(name)
        said = "is not set" if item["type"] == "missing" else item["msg"].rstrip(".")
        hint = _HINTS.get(name) if item["type"] == "missing" or name != "vault_keys" else None
        faults.append(f"{name.upper()}: {said}." + (f" {hint}" if hint else ""))
    return faults, wrong
