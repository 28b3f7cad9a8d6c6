"""Errors as people and machines see them: a page or JSON, with what happened, what to do, and a reference."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

import structlog
from flask import Flask, Response, current_app, g, jsonify, make_response, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from wavu.db import is_outage
from wavu.errors import N_, Kind, Outage, Refused
from wavu.web.hosts import MisdirectedRequest, Site

log = structlog.get_logger(__name__)

STATUS = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_MANY: 429,
}

_TITLES = {
    400: N_("That request was not understood"),
    403: N_("Not allowed"),
    404: N_("Nothing here"),
    405: N_("That cannot be done here"),
    413: N_("Too much at once"),
    429: N_("Too many requests"),
    500: N_("Something went wrong on our side"),
    503: N_("Back in a moment"),
}
_ADVICE = {
    400: N_("Go back, reload the page and try again."),
    404: N_("The address may be mistyped, or what was here is gone."),
    405: N_("Go back and use the buttons on the page."),
    413: N_("The request is larger than we accept."),
    429: N_("Wait a minute, then try again."),
    500: N_("We have been told. Nothing you entered was saved; try again in a minute."),
    503: N_("We cannot reach our database. Nothing was lost; try again in a few seconds."),
}


class Problem(NamedTuple):
    """What an error page shows. `reference` is what the person can tell us and we can find in the logs."""

    status: int
    code: str
    title: str
    message: str
    reference: str | None
    retry_after: int | None


Renderer = Callable[[Problem], "str | Response"]


def words_of(refusal: Refused) -> str:
    """A business no in the reader's language."""
    return str(_(refusal.message) % refusal.facts)


def init_errors(app: Flask) -> None:
    """Installs the handlers. A surface with a look of its own puts its Renderer into app.extensions['error_pages']."""
    app.extensions["error_pages"] = {}
    app.register_error_handler(MisdirectedRequest, _misdirected)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, bug_or_outage)


def _misdirected(error: MisdirectedRequest) -> Response:
    return Response(f"{error.description}\n", status=421, mimetype="text/plain")


def refused_on(page: str, refusal: Refused) -> Response:
    """The answer to a form that a business no stands on already; to a machine, the same no as JSON."""
    return _answer(_problem_of(refusal), page)


def _refused(error: Refused) -> Response:
    return _answer(_problem_of(error))


def _problem_of(refusal: Refused) -> Problem:
    status = STATUS[refusal.kind]
    title = _(_TITLES.get(status, N_("This cannot be done")))
    return Problem(status, refusal.code, title, words_of(refusal), None, refusal.retry_after_seconds)


def _csrf(error: CSRFError) -> Response:
    message = _("This page was open for too long or cookies are off. Go back, reload it and try again.")
    return _answer(Problem(400, "stale_form", _("Please try again"), message, None, None))


def _http(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    status, retry_after = error.code or 500, getattr(error, "retry_after", None)
    if status == 503:
        return _unavailable(retry_after or 5)
    if 300 <= status < 400:
        return make_response(error.get_response())
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    title, advice = _(_TITLES.get(status, N_("That did not work"))), _(_ADVICE.get(status, _ADVICE[400]))
    response = _answer(Problem(status, code, title, advice, None, retry_after))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(error.valid_methods)
    return response


def bug_or_outage(error: Exception) -> Response:
    """The answer to an exception that nobody expected: 503 where something does not answer us, else 500."""
    if is_outage(error):
        retry_after = error.retry_after_seconds if isinstance(error, Outage) else 5
        log.warning("outage", error=type(error).__name__)
        return _unavailable(retry_after)
    log.exception("bug", error=type(error).__name__)
    return _answer(Problem(500, "bug", _(_TITLES[500]), _(_ADVICE[500]), g.get("request_id"), None))


def _unavailable(retry_after: int) -> Response:
    return _answer(Problem(503, "unavailable", _(_TITLES[503]), _(_ADVICE[503]), None, retry_after))


def _answer(problem: Problem, page: str | None = None) -> Response:
    site: Site | None = request.environ.get("wavu.site")
    if site is None:
        response = Response(f"{problem.title}. {problem.message}\n", mimetype="text/plain")
    elif request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        response = jsonify(error=problem._asdict())
    else:
        response = make_response(page if page is not None else _page(site, problem))
    response.status_code = problem.status
    if problem.retry_after:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _page(site: Site, problem: Problem) -> str | Response:
    """The surface's own page, or the plain one where that fails too: an error page must not need the database."""
    renderer: Renderer | None = current_app.extensions["error_pages"].get(site.surface)
    try:
        if renderer is not None and g.get("tenant") is not None:
            return renderer(problem)
        return render_template("errors/error.html", **problem._asdict())
    except Exception as error:  # noqa: BLE001 - whatever breaks it, the plain page still stands
        log.warning("error page fell back", surface=site.surface, error=type(error).__name__)
    return render_template("errors/error.html", **problem._asdict(), person=None)
