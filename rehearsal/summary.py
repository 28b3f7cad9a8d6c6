"""What a person sees: the addresses, log-ins and ports of a running rehearsal."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def render(facts: Mapping[str, Any], ports: Mapping[str, str], var: Path) -> str:
    """The page that `./run` prints when everything is up. Works with any part of the facts missing."""
    parts = [
        _table("Open in a browser", list(_flat(facts.get("urls", {})))),
        _table("Log in", [_account(account) for account in facts.get("accounts", [])]),
        _table("Account numbers of home lines", [_home_line(line) for line in facts.get("subscribers", [])]),
        _table("Ports on 127.0.0.1", [(name, number) for name, number in ports.items()]),
        f"Second factor: ./run code [email]    Mail: {var / 'mail'}    Logs: {var / 'log'}",
        f"For tools: {var / 'rehearsal.json'}    Stop: Ctrl-C",
    ]
    return "\n" + "\n".join(part for part in parts if part)


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name} ")
        else:
            yield f"{above}{name}", str(value)


def _home_line(line: Mapping[str, Any]) -> tuple[str, str]:
    return str(line.get("account_number", "")), str(line.get("username", ""))


def _account(account: Mapping[str, Any]) -> tuple[str, str]:
    return str(account.get("email", "")), f"{account.get('password', '')}   {account.get('role', '')}"


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    width = max(len(left) for left, _ in rows)
    return "\n".join([title, *(f"  {left.ljust(width)}  {right}" for left, right in rows), ""])
