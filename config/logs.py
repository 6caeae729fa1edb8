"""Structured logs: one JSON object a line, control characters escaped, secrets taken out."""

import logging
import re
from typing import Any

import orjson
import structlog

# A token, a secret of a webhook, a link that needs no token, or the value of a header or setting that carries one,
# wherever it turns up in a line.
_SECRET = re.compile(
    r"vch-[A-Za-z0-9]{40}|whsec_[A-Za-z0-9+/=]{8,}|(?<=/signed/)[^/\s]{8,}|(?<=X-Amz-Signature=)[0-9a-f]{8,}"
    r"|(?i:(?:basic|bearer)\s+)[A-Za-z0-9+/=_.-]{8,}|://[^/\s:@]*:[^/\s@]+@"
)


def _redact(logger: Any, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub("[redacted]", value.encode("utf-8", "backslashreplace").decode())
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _json(event: Any, **kwargs: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def formatter() -> logging.Formatter:
    """The formatter named in `settings.LOGGING`; also takes what libraries log by the standard module."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _redact,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
    )
