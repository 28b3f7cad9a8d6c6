"""Who may see a page. Every view declares it; the application refuses to start with one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from flask import Flask, current_app

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC, SIGNED_IN = "public", "signed_in"


class Access(NamedTuple):
    """`who` is PUBLIC, SIGNED_IN, or the permission a member needs. `scope` is whose rows the view touches:
    `tenant` (the host's or the chosen one) or `platform`."""

    who: str
    scope: str


def public(*, scope: str = "platform") -> Callable[[View], View]:
    """Anyone may see it."""
    return _declare(Access(PUBLIC, scope))


def signed_in(*, scope: str = "platform") -> Callable[[View], View]:
    """Any person with a complete session may see it."""
    return _declare(Access(SIGNED_IN, scope))


def needs(permission: str, *, scope: str = "tenant") -> Callable[[View], View]:
    """A member of the tenant with this permission may see it."""
    return _declare(Access(permission, scope))


def _declare(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.__access__ = access  # type: ignore[attr-defined]
        return view

    return mark


def gathers(call: Callable[[], Any]) -> Callable[[View], View]:
    """Runs a call to the outside before the request's transaction begins, for people who are signed in; the view
    finds what it returned in g.gathered."""

    def mark(view: View) -> View:
        view.__gathers__ = call  # type: ignore[attr-defined]
        return view

    return mark


def gather(endpoint: str | None) -> Any:
    """What the view of an endpoint wants from outside, fetched now."""
    call = getattr(current_app.view_functions.get(endpoint or ""), "__gathers__", None)
    return call() if call is not None else None


def accepts_bytes(most: int) -> Callable[[View], View]:
    """The view takes requests of up to so many bytes; all others take what the application says."""

    def mark(view: View) -> View:
        view.__most_bytes__ = most  # type: ignore[attr-defined]
        return view

    return mark


def most_bytes_of(endpoint: str | None) -> int | None:
    """What the view of an endpoint takes; None for what the application says."""
    return getattr(current_app.view_functions.get(endpoint or ""), "__most_bytes__", None)


def access_of(endpoint: str | None) -> Access | None:
    """What the view of an endpoint declared; None for no such view."""
    view = current_app.view_functions.get(endpoint or "")
    return getattr(view, "__access__", None)


def check_every_view_declares(app: Flask) -> None:
    """Raises LookupError naming the views without a declaration."""
    silent = sorted(name for name, view in app.view_functions.items() if not hasattr(view, "__access__"))
    if silent:
        raise LookupError(f"views that do not declare who may see them: {', '.join(silent)}")
