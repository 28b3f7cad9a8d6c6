"""Management commands: `flask --app wsgi COMMAND`, or `./run manage COMMAND` in the rehearsal."""

from __future__ import annotations

from collections.abc import Callable

import click
from flask import Flask, current_app
from sqlalchemy import select

from tenants import payments, reconciliation
from wavu import accounts, audit, clock, outbox, texts, vault
from wavu.db import db, transaction
from wavu.errors import Refused
from wavu.outbox import OutboxRow
from wavu.tenancy import PLATFORM_ID, Tenant, catalog, tenant_scope
from wavu.web import i18n


def add_commands(app: Flask) -> None:
    """Hangs every command on the application."""
    for command in (
        add_admin, clear_second_factor, vault_group, outbox_group, payments_group, books_group, check_isolation,
        check_audit,
        translations,
    ):  # fmt: skip
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


@click.command("clear-second-factor")
@click.argument("email")
def clear_second_factor(email: str) -> None:
    """Let a person who lost it sign in without, and sign them out everywhere. Make sure first that it is them."""
    with tenant_scope(PLATFORM_ID), transaction():
        person = accounts.person_by_email(email.strip().lower())
        if person is None:
            raise click.ClickException(f"Nobody has the address {email}.")
        accounts.turn_off(person)
        accounts.end_other_sessions(person.id, keep=None)
        audit.record("account.second_factor_cleared", subject=person.id, email=person.email)
    click.echo(f"{person.name} signs in with the password alone now; staff are asked for a new second factor at once.")


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


@click.group("outbox")
def outbox_group() -> None:
    """Jobs: what waits, and what was given up."""


@outbox_group.command("waiting")
def show_waiting() -> None:
    """List what waits, by tenant, queue and job."""
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            for kind in outbox.waiting():
                click.echo(
                    f"{tenant.slug}  {kind.queue}  {kind.job}: {kind.rows} rows, {kind.handed_out} handed out, "
                    f"at most {kind.attempts} attempts, "
                    f"due {'since' if kind.due_at <= clock.now() else 'at'} {kind.due_at:%Y-%m-%d %H:%M:%S %Z}"
                )


@outbox_group.command("dead")
def show_dead() -> None:
    """List the jobs that were given up: they wait for a person."""
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            for row in outbox.dead():
                click.echo(
                    f"{row.id}  {tenant.slug}  {row.job}: {row.attempts} attempts since "
                    f"{row.created_at:%Y-%m-%d %H:%M:%S %Z}, {row.last_error}"
                )


@outbox_group.command("revive")
@click.argument("which")
def revive(which: str) -> None:
    """Try dead jobs again, after what stopped them was mended. WHICH is the name of a job, or one row's id."""
    click.echo(f"{_each_dead(which, 'outbox.revived', outbox.revive)} jobs are tried again.")


@outbox_group.command("close")
@click.argument("which")
def close(which: str) -> None:
    """Give dead jobs up for good. WHICH is the name of a job, or one row's id."""
    click.echo(f"{_each_dead(which, 'outbox.closed', outbox.close)} jobs are given up.")


def _each_dead(which: str, action: str, act: Callable[[OutboxRow], None]) -> int:
    """Does something to the dead jobs of a name or id, and writes each into its tenant's trail. Returns how many."""
    count = 0
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            for row in outbox.dead():
                if which in (row.job, str(row.id)):
                    act(row)
                    audit.record(action, subject=row.id, job=row.job)
                    count += 1
    if not count:
        raise click.ClickException(f"No dead job has the name or id {which}: see outbox dead.")
    return count


@click.group("payments")
def payments_group() -> None:
    """Money that arrives."""


@payments_group.command("pull")
def pull() -> None:
    """Ask M-Pesa for the last 47 hours of every shortcode that is registered for Pull, now. After a restore: what was
    paid since the backup is credited, and what is known already changes nothing."""
    tick, asked = f"by hand {clock.now().isoformat()}", 0
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            shortcodes = payments.ask_for(payments.LONGEST, tick)
            asked += shortcodes
            if shortcodes:
                click.echo(f"{tenant.slug}: {shortcodes} shortcodes are asked about.")
    if not asked:
        raise click.ClickException("No shortcode is registered for Pull: credit from M-Pesa's statement.")


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


@click.group("books")
def books_group() -> None:
    """Closed days."""


@books_group.command("verify")
def verify_books() -> None:
    """Recompute the seal of every closed day, from its postings and the close before it."""
    broken = []
    for tenant in _each_tenant():
        with tenant_scope(tenant.id), transaction():
            found = reconciliation.first_broken_seal()
        if found is not None:
            broken.append(f"{tenant.slug}: the seal of {found} does not hold")
    if broken:
        raise click.ClickException("\n".join(broken))
    click.echo("Every closed day is as it was.")


@click.command("translations")
def translations() -> None:
    """Bring the translators' files up to date with the source, and list what they lack."""
    for locale, missing in i18n.update_catalogues().items():
        click.echo(f"{locale}: {len(missing)} missing")
        for message in missing:
            click.echo(f"  {message}")
