"""E-mail: the one door to the mail server."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from flask import current_app

from config import Settings
from wavu.db import assert_no_transaction
from wavu.errors import Outage

_TIMEOUT_SECONDS = 20


class Message(NamedTuple):
    to: str
    subject: str
    text: str


def send(*messages: Message) -> None:
    """Hands messages to the mail server, over TLS where it offers that. Raises Outage; never inside a transaction."""
    assert_no_transaction("mail")
    settings: Settings = current_app.extensions["settings"]
    try:
        with _connect(settings.smtp_url.get_secret_value()) as server:
            for message in messages:
                server.send_message(_compose(message, settings.mail_from))
    except (OSError, smtplib.SMTPException) as error:
        raise Outage("the mail server") from error


def _connect(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    host, tls = parts.hostname or "", ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_TIMEOUT_SECONDS, context=tls)
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=_TIMEOUT_SECONDS)
        if server.ehlo()[0] == 250 and server.has_extn("starttls"):
            server.starttls(context=tls)
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or ""))
    return server


def _compose(message: Message, sender: str) -> EmailMessage:
    email = EmailMessage()
    email["From"], email["To"], email["Subject"] = f"Wavu <{sender}>", message.to, message.subject
    email["Date"], email["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    email["Auto-Submitted"] = "auto-generated"
    # Not folded: a long link must survive being read as it lies in the file.
    email.set_content(message.text, cte="8bit")
    return email
