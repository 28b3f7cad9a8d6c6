"""What the code may not do, read from its own syntax trees."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.kernel import syntax
from tests.kernel.syntax import Rule, comes_from
from tests.stack import ROOT
from wavu.web.trail import ACTIONS

PRODUCT = ("platform/wavu", "tenants", "workers", "config")


@cache
def _modules() -> list[tuple[str, ast.Module]]:
    paths = (path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py")))
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in paths]


# (the rule, the modules that it does not bind)
RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "only the edge commits": (syntax.ends_a_transaction, ("platform/wavu/db.py",)),
    "nobody opens a connection of their own": (syntax.opens_a_connection, ("workers/relay.py",)),
    "only the clock reads the time": (syntax.reads_the_time, ("platform/wavu/clock.py",)),
    # Links are made from the directory's names; the header is read once, to look it up there.
    "nobody believes the Host header": (syntax.believes_the_host, ("platform/wavu/web/flask_app.py",)),
    "nothing is pickled": (syntax.pickles, ()),
}


@pytest.mark.parametrize("name", RULES)
def test_the_product_keeps(name: str) -> None:
    rule, free = RULES[name]
    assert {module: broken for module, tree in _modules() if module not in free and (broken := rule(tree))} == {}


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (syntax.ends_a_transaction, "from wavu.db import db\ndb.session.commit()"),
        (syntax.ends_a_transaction, "from wavu.db import db\nwith db.session.begin(): pass"),
        (syntax.ends_a_transaction, "from wavu.db import db\ndb.session.execute(text('COMMIT'))"),
        (syntax.ends_a_transaction, "wire.execute(' start transaction')"),
        (syntax.ends_a_transaction, "connection.begin()"),
        (syntax.opens_a_connection, "import psycopg\npsycopg.connect(url)"),
        (syntax.opens_a_connection, "from psycopg import connect\nconnect(url)"),
        (syntax.opens_a_connection, "from psycopg import Connection as C\nC.connect(url)"),
        (syntax.opens_a_connection, "from sqlalchemy import create_engine\ncreate_engine('x')"),
        (syntax.opens_a_connection, "import sqlalchemy as sa\nsa.create_engine('x')"),
        (syntax.opens_a_connection, "with db.engine.begin() as connection: pass"),
        (syntax.reads_the_time, "import time\ntime.time()"),
        (syntax.reads_the_time, "from time import time\ntime()"),
        (syntax.reads_the_time, "from time import time_ns as now\ncolumn(default=now)"),
        (syntax.reads_the_time, "import datetime\ndatetime.datetime.now()"),
        (syntax.reads_the_time, "from datetime import datetime as dt\ndt.now()"),
        (syntax.reads_the_time, "from datetime import date\ndate.today()"),
        (syntax.believes_the_host, "from flask import request\nrequest.host"),
        (syntax.believes_the_host, "from flask import request as asked\nasked.url_root"),
        (syntax.believes_the_host, "from flask import request\nrequest.base_url"),
        (syntax.believes_the_host, "from flask import request\nrequest.headers['Host']"),
        (syntax.believes_the_host, "from flask import request\nrequest.headers.get('host', '')"),
        (syntax.believes_the_host, "from flask import request\nrequest.environ['HTTP_HOST']"),
        (syntax.believes_the_host, "import flask\nflask.request.host"),
        (syntax.believes_the_host, "from flask import url_for\nurl_for('home', _external=True)"),
        (syntax.pickles, "import pickle"),
        (syntax.pickles, "from pickle import loads"),
        (syntax.pickles, "import importlib\nimportlib.import_module('marshal')"),
        (syntax.sees_the_request, "from flask import current_app, request"),
        (syntax.sees_the_request, "import flask"),
        (syntax.sees_the_request, "from flask.globals import g"),
        (syntax.sees_the_request, "from wtforms import Form"),
    ],
)
def test_a_planted_fault_is_noticed(rule: Rule, source: str) -> None:
    assert rule(ast.parse(source))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (syntax.ends_a_transaction, "from wavu.db import savepoint\nwith savepoint(): pass"),
        (syntax.ends_a_transaction, "from tenants import mpesa\nmpesa.begin(account)"),
        (syntax.ends_a_transaction, "db.session.execute(text('SELECT 1'))"),
        (syntax.opens_a_connection, "import psycopg\nexcept_ = psycopg.OperationalError"),
        (syntax.opens_a_connection, "from sqlalchemy import text\ntext('connect')"),
        (syntax.reads_the_time, "from wavu import clock\nclock.now()"),
        (syntax.reads_the_time, "import time\ntime.monotonic()"),
        (syntax.reads_the_time, "def f(time): return time"),
        (syntax.believes_the_host, "from flask import g\ng.site.host"),
        (syntax.believes_the_host, "from flask import request\nrequest.headers['Accept']"),
        (syntax.believes_the_host, "from flask import url_for\nurl_for('home')"),
        (syntax.pickles, "import json"),
        (syntax.sees_the_request, "from flask import Flask, current_app"),
    ],
)
def test_what_is_right_is_left_alone(rule: Rule, source: str) -> None:
    assert rule(ast.parse(source)) == []


# The rooms with pages, and what puts the web together; all others are rules or work that follows them.
WEB = ("platform/wavu/web/", "platform/wavu/signin/", "platform/wavu/backoffice/", "platform/wavu/surfaces.py",
       "tenants/console/", "tenants/portal/", "tenants/hooks/daraja.py")  # fmt: skip


def test_rules_know_nothing_of_requests() -> None:
    rules = {module: syntax.sees_the_request(tree) for module, tree in _modules() if not module.startswith(WEB)}
    assert {module: broken for module, broken in rules.items() if broken} == {}


# Who talks to what is outside; nobody else imports these.
DOORS: dict[tuple[str, ...], set[str]] = {
    ("requests", "urllib3"): {"tenants/airtel/api.py", "tenants/mpesa/daraja.py"},
    ("urllib.request", "http.client", "ftplib", "telnetlib", "asyncio", "subprocess"): set(),
    ("smtplib",): {"platform/wavu/mail.py"},
    ("pyrad",): {f"tenants/access/{name}.py" for name in ("orders", "replies", "requests")},
    ("socket", "socketserver", "ssl"): {
        "config/gunicorn.py", "platform/wavu/mail.py", "platform/wavu/radius_probe.py", "workers/provisioning.py",
        "workers/radius.py",
    },
    ("redis",): {"platform/wavu/web/health.py", "tenants/mpesa/egress.py", "workers/relay.py", "workers/runtime.py"},
    ("psycopg",): {"platform/wavu/db.py", "workers/relay.py"},
}  # fmt: skip


@pytest.mark.parametrize("outside", DOORS, ids=lambda outside: outside[0])
def test_each_outside_system_has_its_door(outside: tuple[str, ...]) -> None:
    through = {module for module, tree in _modules() if any(comes_from(n, *outside) for n in syntax.imports(tree))}
    assert through == DOORS[outside]


def test_every_module_stands_in_the_layers() -> None:
    """import-linter says nothing of a room that no contract names."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = [room.strip() for layer in layers for room in layer.split("|")]
    there = {
        f"{folder.name}.{path.stem}"
        for folder in (ROOT / "platform" / "wavu", ROOT / "tenants", ROOT / "workers")
        for path in folder.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or list(path.rglob("*.py"))
    }
    assert sorted(named) == sorted(there | {"config"})


@pytest.mark.parametrize("folder", ["platform/wavu", "tenants", "workers"])
def test_a_folder_of_rooms_imports_none_of_them(folder: str) -> None:
    """It would lead past the layers: everything in it imports it."""
    assert list(syntax.imports(ast.parse((ROOT / folder / "__init__.py").read_text()))) == []


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
