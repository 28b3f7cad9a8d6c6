"""Web pages and APIs on loopback only."""

from __future__ import annotations

import errno
import ipaddress
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, make_response, render_template, request
from jinja2 import FileSystemLoader
from werkzeug.routing import Map
from werkzeug.serving import WSGIRequestHandler, make_server

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def loopback_address(host: str | None) -> str | None:
    """The loopback address that `host` stands for, without a resolver, or None if a simulator must not use it."""
    name = (host or "").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return str(address) if address.is_loopback else None


def loopback_names_only() -> None:
    """Before each request: a web page elsewhere must not drive a simulator through a name that it points at loopback,
    or by a form."""
    origin = request.headers.get("Origin")
    try:
        ours = loopback_address(urlsplit(f"//{request.host}").hostname) is not None
    except ValueError:
        ours = False
    if not ours or origin not in (None, f"{request.scheme}://{request.host}"):
        abort(403)


class _Application(Flask):
    """Its addresses may be in a map that another of its kind has filled: to compile them takes most of the time that it
    takes to make one."""

    def __init__(self, package: str, addresses: Map) -> None:
        super().__init__(package, static_folder=None)
        self.url_map = addresses
        self._known = {(one.rule, one.endpoint) for one in addresses.iter_rules()}

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *args: Any, **options: Any
    ) -> None:
        if endpoint is not None and (rule, endpoint) in self._known:
            self.view_functions[endpoint] = view_func
        else:
            super().add_url_rule(rule, endpoint, view_func, *args, **options)


def application(package: str, addresses: Map) -> Flask:
    """An application with the templates in `pages/` of its package, which may extend our `simulator.html`. All that
    answer at the same addresses share a map of them, which the first one fills."""
    web = _Application(package, addresses)
    web.jinja_loader = FileSystemLoader([Path(web.root_path, "pages"), Path(__file__).with_name("pages")])
    return web


def page(template: str, status: int = 200, **context: object) -> Response:
    """A page without scripts that asks no other host for anything."""
    made = make_response(render_template(template, **context), status)
    made.headers["Content-Security-Policy"] = _POLICY
    made.headers["Cache-Control"] = "no-store"
    made.headers["X-Content-Type-Options"] = "nosniff"
    return made


class Server:
    """Serves at once, on threads of its own; port 0 takes a free one. Raises OSError if the port is taken."""

    def __init__(self, web: Flask, address: str, port: int) -> None:
        try:
            self._server = make_server(address, port, web, threaded=True, request_handler=_Quiet)
        except SystemExit as taken:
            raise OSError(errno.EADDRINUSE, f"{address}:{port} is in use") from taken
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name=f"http {host}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Returns when the port is free again."""
        self._server.shutdown()
        # The thread closes the socket at its end: a second close() here would not wait until it has.
        self._thread.join()


class _Quiet(WSGIRequestHandler):
    """No line per request on the terminal: the journal has them."""

    def log(self, type: str, message: str, *args: object) -> None:
        return
