"""What the code may not do, read from its own syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import ROOT
from wavu.web.trail import ACTIONS

PRODUCT = ("platform/wavu", "tenants", "workers", "config")


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def _where(pattern: str, *allowed: str) -> list[str]:
    return [
        f"{name}: {call}"
        for name, tree in _modules()
        if name not in allowed
        for call in _calls(tree)
        if re.search(pattern, call)
    ]


def test_only_the_edge_commits() -> None:
    assert _where(r"\.commit$", "platform/wavu/db.py") == []


def test_nobody_opens_a_connection_of_their_own() -> None:
    assert _where(r"(engine|psycopg)\.(connect|begin)$", "workers/relay.py") == []


def test_only_the_clock_reads_the_time() -> None:
    assert _where(r"(datetime|date)\.(now|utcnow|today)$|^time\.time(_ns)?$", "platform/wavu/clock.py") == []


def test_nobody_believes_the_host_header() -> None:
    """Links are made from the directory's names; web/hosts.py reads the header, once."""
    names = [
        f"{name}: {ast.unparse(node)}"
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"request.host", "request.host_url", "request.url"}
    ]
    assert names == []


def test_nothing_is_pickled() -> None:
    for name, tree in _modules():
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not imported & {"pickle", "marshal", "shelve", "dill"}, name


def test_requirements_name_no_host_and_pin_by_hash() -> None:
    for path in ROOT.glob("requirements*.txt"):
        text = path.read_text()
        assert not re.search(r"https?:|file:|index-url|find-links", text), path.name
        pins = re.findall(r"^[a-z0-9][^\s;]*==\S+", text, re.M | re.I)
        assert len(pins) > 0
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.M | re.I)), path.name
        assert text.count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize("folder", [*PRODUCT, "rehearsal", "tests", "migrations"])
def test_files_and_functions_stay_small(folder: str) -> None:
    big = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text()
        if text.count("\n") > 500 and "versions" not in path.parts:
            big.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and "versions" not in path.parts:
                size = (node.end_lineno or 0) - node.lineno + 1
                if size > 75:
                    big.append(f"{path.relative_to(ROOT)}: {node.name} has {size} lines")
    assert big == []


def test_every_room_of_the_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in folders if not (Path(folder) / "__init__.py").exists()] == []


def test_every_audited_act_has_words() -> None:
    recorded = {
        node.args[0].value
        for _, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "audit.record"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert recorded
    assert recorded <= set(ACTIONS)
