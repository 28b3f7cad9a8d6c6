"""E-mail: the one door to the mail server."""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import structlog
from flask import current_app

from config import Settings
from wavu.db import assert_no_transaction
from wavu.errors import N_, Kind, Outage, Refused
from wavu.texts import one_line

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 20


class Message(NamedTuple):
    to: str
    subject: str
    text: str


class Undeliverable(Refused):
    """The mail server refused this message for good: sending it again changes nothing."""

    kind = Kind.INVALID
    message = N_("The mail server does not accept mail for this address.")


def send(message: Message) -> None:
    """Hands a message to the mail server, over TLS where it offers that. Never inside a transaction.

    Raises Undeliverable where the server says no for good, and Outage where trying again may help.
    """
    assert_no_transaction("mail")
    settings: Settings = current_app.extensions["settings"]
    email = _compose(message, settings.mail_from)
    try:
        with closing(_connect(settings.smtp_url.get_secret_value())) as server:
            _hand_over(server, email)
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
    except (OSError, smtplib.SMTPException) as error:
        raise Outage("the mail server") from error


def _hand_over(server: smtplib.SMTP, email: EmailMessage) -> None:
    try:
        server.send_message(email)
    except smtplib.SMTPNotSupportedError as error:
        # An address beyond ASCII, and a server without SMTPUTF8.
        raise Undeliverable from error
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
        status = _status(error)
        if status < 500:
            raise
        log.warning("mail refused", status=status)
        raise Undeliverable from error


def _status(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) -> int:
    if isinstance(error, smtplib.SMTPDataError):
        return int(error.smtp_code)
    return min(code for code, _ in error.recipients.values())


def _connect(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    host, tls = parts.hostname or "", ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_TIMEOUT_SECONDS, context=tls)
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=_TIMEOUT_SECONDS)
    try:
        private = parts.scheme == "smtps" or _is_loopback(host)
        if parts.scheme != "smtps" and server.ehlo()[0] == 250 and server.has_extn("starttls"):
            server.starttls(context=tls)
            private = True
        if parts.username:
            if not private:
                log.error("mail not sent: the server offers no TLS, and SMTP_URL has a password", host=host)
                raise Outage("the mail server")
            server.login(unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _compose(message: Message, sender: str) -> EmailMessage:
    email = EmailMessage()
    email["From"], email["To"] = f"Wavu <{sender}>", one_line(message.to)
    email["Subject"] = one_line(message.subject)
    email["Date"], email["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    email["Auto-Submitted"] = "auto-generated"
    # Not folded: a long link must survive being read as it lies in the file.
    email.set_content(message.text, cte="8bit")
    return email
