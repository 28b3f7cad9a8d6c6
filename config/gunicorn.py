"""gunicorn: threads for waiting, processes for cores, the application loaded once before the fork."""

import os
import socket
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Answers in our words what gunicorn refuses before the application hears of it. Its own page repeats what was
    sent, and speaks English alone; nobody knows yet which language this reader has."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, words = _UNREADABLE.get(type(exc), _NOT_UNDERSTOOD)
        # Not the error's text: it may repeat an address, and whatever secret stands in it.
        self.log.warning("unreadable request: %s", type(exc).__name__)
        body = words.encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
            "Cache-Control: no-store\r\n\r\n"
        )
        try:
            client.settimeout(2)
            client.sendall(head.encode() + body)
        except OSError:
            return
        # What was not read yet would reset the connection, and take the answer along.
        close_graceful(client)


_NOT_UNDERSTOOD = (
    HTTPStatus.BAD_REQUEST,
    "That request was not understood. Go back, reload the page and try again.\n"
    "Ombi hilo halikueleweka. Rudi nyuma, pakia ukurasa upya ujaribu tena.\n",
)
_UNREADABLE = {
    LimitRequestLine: (
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "This address is too long. Go back and follow the link again.\n"
        "Anwani hii ni ndefu mno. Rudi nyuma, kisha ufuate kiungo tena.\n",
    ),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "Your browser sends more than we accept. Delete the cookies of this site and try again.\n"
        "Kivinjari chako kinatuma zaidi ya tunavyokubali. Futa vidakuzi vya tovuti hii, kisha ujaribu tena.\n",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, _NOT_UNDERSTOOD[1]),
    UnsupportedTransferCoding: (HTTPStatus.NOT_IMPLEMENTED, _NOT_UNDERSTOOD[1]),
}


def _number(variable: str, default: int) -> int:
    """A number that is none stands as the default until wsgi.py, loaded next, names it with every other fault."""
    text = os.environ.get(variable) or ""
    return int(text) if text.isdecimal() and int(text) else default


bind = f"{os.environ.get('BIND', '127.0.0.1')}:{_number('PORT', 8000)}"
workers = _number("WEB_WORKERS", 2)
threads = _number("WEB_THREADS", 4)
worker_class = Worker
preload_app = True
timeout = 30
graceful_timeout = 30
keepalive = 5
# Slow requests must not be able to hold a worker's memory. The line is gunicorn's maximum: a router repeats in it the
# address that the phone asked for, which may be thousands of characters.
limit_request_line = 8190
limit_request_fields = 60
max_requests = 20_000
max_requests_jitter = 2_000
# The proxy in front is on this machine; nobody else's forwarded headers are read.
forwarded_allow_ips = "127.0.0.1,::1"
# Not even from there: SCRIPT_NAME and PATH_INFO in headers would move the application.
forwarder_headers = ""
# Nor by the environment, where gunicorn looks at each request: every host is served from its root, and a SCRIPT_NAME
# that some supervisor left there would answer every page with 500.
os.environ.pop("SCRIPT_NAME", None)
accesslog = None
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - gunicorn's own heartbeat files

# No control socket: signals are enough.
control_socket_disable = True
