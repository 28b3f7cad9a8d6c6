"""Management commands: `flask --app wsgi COMMAND`, or `./run manage COMMAND` in the rehearsal."""

from __future__ import annotations

import click
from flask import Flask, current_app
from sqlalchemy import select

from wavu import accounts, audit, texts, vault
from wavu.db import db, transaction
from wavu.errors import Refused
from wavu.tenancy import PLATFORM_ID, Tenant, catalog, tenant_scope
from wavu.web import i18n


def add_commands(app: Flask) -> None:
    """Hangs every command on the application."""
    for command in (add_admin, vault_group, check_isolation, check_audit, translations):
        app.cli.add_command(command)


def _each_tenant() -> list[Tenant]:
    with tenant_scope(None), transaction():
        return list(db.session.scalars(select(Tenant).order_by(Tenant.created_at)))


@click.command("add-admin")
@click.argument("email")
@click.argument("name")
@click.password_option(help="Asked for where it is not given.")
def add_admin(email: str, name: str, password: str) -> None:
    """Make a platform administrator: the first one, or one more. They set up their second factor when they sign in."""
    if not texts.is_seen(email + name):
        raise click.ClickException("EMAIL or NAME has a character that cannot be shown. Type it instead of pasting it.")
    try:
        with tenant_scope(PLATFORM_ID), transaction():
            accounts.add_admin(email=email, name=texts.tidy(name), password=password)
    except Refused as refusal:
        raise click.ClickException(str(refusal)) from None
    settings = current_app.extensions["settings"]
    click.echo(f"Sign in at {settings.origin(f'staff.{settings.platform_domain}')}")


@click.group("vault")
def vault_group() -> None:
    """Keys of the vault."""


@vault_group.command("rewrap")
def rewrap() -> None:
    """Wrap every tenant's data keys with the newest key of VAULT_KEYS. Afterwards the older ones can be dropped."""
    changed = 0
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            changed += vault.rewrap()
    click.echo(f"{changed} data keys wrapped anew; none is left under an older key.")


@vault_group.command("rotate")
def rotate() -> None:
    """Give every tenant a new data key and seal every secret again with it."""
    count = 0
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            count += vault.rotate()
            audit.record("vault.rotated")
    click.echo(f"{count} secrets sealed with new data keys.")


@click.command("check-isolation")
def check_isolation() -> None:
    """Look in the database's catalog for anything that lets one tenant reach another."""
    faults = catalog.faults()
    if faults:
        raise click.ClickException("\n".join(faults))
    click.echo("Every table keeps tenants apart.")


@click.command("check-audit")
def check_audit() -> None:
    """Verify the hash chain of every tenant's audit trail."""
    broken = []
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            link = audit.first_broken_link()
        if link is not None:
            broken.append(f"{tenant.slug}: broken at line {link}")
    if broken:
        raise click.ClickException("\n".join(broken))
    click.echo("Every audit trail is whole.")


@click.command("translations")
def translations() -> None:
    """Bring the translators' files up to date with the source, and list what they lack."""
    for locale, missing in i18n.update_catalogues().items():
        click.echo(f"{locale}: {len(missing)} missing")
        for message in missing:
            click.echo(f"  {message}")
