"""Structured logs on stderr, one line each, with what must not be read taken out; and Sentry under the same rule."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import structlog

from config import Settings
from wavu.db import tenant_context
from wavu.phone import mask

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

HIDDEN = "[hidden]"

# Names under which secrets travel, wherever they stand in a longer name.
_SECRET_NAME = re.compile(
    r"pass|secret|token|authorization|cookie|csrf|passkey|credential|(^|_)(pin|key|code|otp|totp|sealed)($|_)", re.I
)
# A phone number in any of its forms, not inside a longer run of digits; and long hex, which is how our tokens look.
_PHONE = re.compile(r"(?<![\w.-])\+?(?:254|0)[17]\d{8}(?!\w)|(?<![\w.-])\+\d{9,15}(?!\w)")
_CHECKOUT_ID = re.compile(r"ws_CO_\w+")
_TOKEN = re.compile(r"(?<![0-9a-f-])[0-9a-f]{32,}(?![0-9a-f-])")
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):[^@/\s]+@")


def redact(value: Any, name: str = "") -> Any:
    """A copy fit for logs: secrets by name or by look are hidden, phone numbers masked."""
    if name and _SECRET_NAME.search(name) and not isinstance(value, (bool, int, float, type(None))):
        return HIDDEN
    if isinstance(value, str):
        value = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", value)
        value = _CHECKOUT_ID.sub(f"ws_CO_{HIDDEN}", value)
        value = _PHONE.sub(lambda found: mask(found[0]), value)
        return _TOKEN.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in list(event):
        event[key] = redact(event[key], key)
    return event


def _name_tenant(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    tenant_id = tenant_context.get()
    if tenant_id is not None:
        event["tenant"] = str(tenant_id)
    return event


def init_logs(settings: Settings) -> None:
    """Sends our own logs and those of libraries through the same processors."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_tenant,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    render: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("rq", "rq.worker", "werkzeug", "alembic", "mail.log"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("rq.worker").addFilter(_lower_outage)


def _lower_outage(record: logging.LogRecord) -> bool:
    """RQ logs an error each time it looks for a Redis that is away. Here that is a warning, as everywhere: it pages
    nobody, and leaves no trace in Sentry."""
    if "could not connect to Redis" in str(record.msg):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def init_sentry(settings: Settings, release: str) -> None:
    """Reports bugs where a DSN is set: no personal data, no local variables, the rest redacted like the logs."""
    if settings.sentry_dsn is None:
        return
    # Imported where it is used: without a DSN it would cost every process its start-up time and memory.
    import sentry_sdk
    from sentry_sdk.integrations.flask import FlaskIntegration
    from sentry_sdk.integrations.rq import RqIntegration

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.wavu_env,
        release=release,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=scrub,
        integrations=[FlaskIntegration(), RqIntegration()],
    )


def scrub(event: Event, _: Hint) -> Event:
    """What leaves for Sentry: addresses without query, no cookies, no bodies, everything else redacted."""
    request = event.get("request")
    if isinstance(request, dict):
        for part in ("cookies", "data", "query_string", "env"):
            request.pop(part, None)
    tenant_id = tenant_context.get()
    clean: Event = redact(dict(event))
    clean.setdefault("tags", {})["tenant"] = str(tenant_id)
    return clean
