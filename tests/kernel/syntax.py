"""What one module's syntax tree may not hold. A rule takes the tree and gives what breaks it, each in the source's own
words; imported names count under the name that they have at home, whatever they are called here."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Rule = Callable[[ast.Module], list[str]]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every name that is imported, in full: `pickle.loads` for `from pickle import loads`. A relative import has no
    name in full; the product has none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(given.value) for given in node.args[:1] if isinstance(given, ast.Constant))


def comes_from(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


class _Names:
    """What the names of a module stand for."""

    def __init__(self, tree: ast.AST) -> None:
        self._origins: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._origins |= {alias.asname: alias.name for alias in node.names if alias.asname}
            if isinstance(node, ast.ImportFrom):
                self._origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def full(self, expression: ast.expr) -> str:
        root, dot, rest = ast.unparse(expression).partition(".")
        return self._origins.get(root, root) + dot + rest


def _breaking(pattern: str, *kinds: type[ast.expr]) -> Rule:
    """Refuses expressions of these kinds whose full name fits; of a call, the name of what is called."""

    def rule(tree: ast.Module) -> list[str]:
        names = _Names(tree)
        return [
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, kinds)
            and re.search(pattern, names.full(node.func if isinstance(node, ast.Call) else node))
        ]

    return rule


_ENDS = re.compile(r"\s*(COMMIT|END|ROLLBACK|ABORT|BEGIN|START TRANSACTION|PREPARE TRANSACTION)\b(?! TO)", re.I)
# A room's own `begin`, such as a purchase's, is none.
_begins_or_commits = _breaking(r"^(?!tenants\.\w+\.begin$).*\.(commit|begin)$", ast.Call)


def ends_a_transaction(tree: ast.Module) -> list[str]:
    """A transaction begun or committed by a call, or begun or ended in SQL."""
    statements = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and re.search(r"(text|execute)$", ast.unparse(node.func))
        and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        and _ENDS.match(node.args[0].value)
    ]  # fmt: skip
    return _begins_or_commits(tree) + statements


opens_a_connection = _breaking(
    r"^psycopg\.(connect|Connection\.connect|AsyncConnection\.connect)$"
    r"|^sqlalchemy\.((engine|ext\.asyncio)\.)?create_(async_)?engine$|^psycopg_pool\.|engine\.(raw_connection|connect|begin)$",
    ast.Call,
)
# `datetime.fromtimestamp` only reads what it is given.
reads_the_time = _breaking(
    r"^datetime\.(datetime\.(now|utcnow|today)|date\.today)$|^time\.(time|time_ns|gmtime|localtime|ctime)$",
    ast.Attribute,
    ast.Name,
)
_ADDRESS = r"request\.(host|host_url|url|url_root|base_url|root_url|server)$"
_mentions_the_host = _breaking(rf"^flask\.(globals\.)?{_ADDRESS}", ast.Attribute)


def believes_the_host(tree: ast.Module) -> list[str]:
    """The Host header read, in one of its spellings, or an absolute address made out of it."""
    header = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call | ast.Subscript)
        and re.match(
            r"[\w.]*headers(\[|\.get\w*\()'(x-forwarded-)?host'|[\w.]*environ(\[|\.get\()'(HTTP_(X_FORWARDED_)?HOST|SERVER_NAME)'",
            ast.unparse(node),
            re.I,
        )
    ]
    absolute = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(
            keyword.arg in ("_external", "_scheme") and ast.unparse(keyword.value) != "False"
            for keyword in node.keywords
        )
    ]
    return _mentions_the_host(tree) + header + absolute


def pickles(tree: ast.Module) -> list[str]:
    return [name for name in imports(tree) if comes_from(name, "pickle", "marshal", "shelve", "dill", "cloudpickle")]


_FOR_PAGES = ("flask", "werkzeug", "flask_login", "flask_wtf", "flask_limiter", "wtforms")


def sees_the_request(tree: ast.Module) -> list[str]:
    """More of Flask than the application itself, or what else is made for pages."""
    pages = [name for name in imports(tree) if comes_from(name, *_FOR_PAGES)]
    return [name for name in pages if name not in ("flask.Flask", "flask.current_app")]
