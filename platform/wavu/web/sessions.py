"""Cookies and sign-in on the web. The cookie is signed for one surface and host and carries a token and little else;
the session itself is a row (wavu.accounts), bound to the same surface and host, which any of its owner's other
sessions can end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask, g, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, login_user, logout_user
from itsdangerous import URLSafeTimedSerializer

from wavu import accounts
from wavu.web.hosts import Site


class User(UserMixin):  # type: ignore[misc]
    """What Flask-Login knows of a signed-in person: the session's token stands for them in the cookie."""

    def __init__(self, token: str, signed_in: accounts.Session) -> None:
        self._token, self.session, self.person = token, signed_in, signed_in.person

    def get_id(self) -> str:
        return self._token


class HostBoundSessions(SecureCookieSessionInterface):
    """Flask's signed cookie, with a key of its own for each surface and host."""

    salt = "wavu-session"

    def get_cookie_name(self, app: Flask) -> str:
        site: Site | None = request.environ.get("wavu.site")
        name = f"wavu-{site.surface if site else 'none'}"
        # Browsers take the __Host- prefix over TLS only; it binds the cookie to this very host.
        return f"__Host-{name}" if app.config["SESSION_COOKIE_SECURE"] else name

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        site: Site | None = request.environ.get("wavu.site")
        if site is None or site.surface == "ops":
            return None
        return URLSafeTimedSerializer(
            [app.config["SECRET_KEY"]],
            salt=f"{self.salt}|{site.surface}|{site.host}",
            serializer=self.serializer,
            signer_kwargs={"key_derivation": self.key_derivation, "digest_method": self.digest_method},
        )

    def should_set_cookie(self, app: Flask, session: Any) -> bool:
        return bool(session.modified)


def init_sessions(app: Flask, *, secure: bool) -> None:
    app.session_interface = HostBoundSessions()
    app.config.update(
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=timedelta(days=30),
    )
    manager = LoginManager(app)
    manager.session_protection = None

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(token: str) -> User | None:
        signed_in: accounts.Session | None = g.get("signed_in")
        return User(token, signed_in) if signed_in is not None and signed_in.is_complete else None


def remember_pending(token: str) -> None:
    """Keeps a session that still waits for its second factor."""
    session.clear()
    session["pending"] = token


def remember(token: str, signed_in: accounts.Session) -> None:
    """Signs a person in, with a cookie and a CSRF token that nobody knew before."""
    locale = session.get("locale")
    session.clear()
    session.permanent = True
    if locale:
        session["locale"] = locale
    g.signed_in = signed_in
    login_user(User(token, signed_in))


def forget() -> None:
    """Signs the browser out."""
    logout_user()
    session.clear()
