"""JSON lines on stdout: constant snake_case events with fields. Log records of libraries use the same renderer."""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from domain.redaction import redacted

_QUIET_LIBRARIES = ("uvicorn.access", "asyncio", "alembic.runtime.plugins", "httpcore2", "httpx2")
"""Libraries whose info lines (one per request) add nothing to the metrics; only debug shows them."""


def configure_logs(level: str, *, process: str, **fields: Any) -> None:
    """Send every event of this process at `level` or above to stdout, marked with its process and fields.

    Safe to call again: the last call counts.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _mark({"process": process, **fields}),
        structlog.processors.format_exc_info,
    ]
    # Last, so that it sees tracebacks and the words of libraries, too.
    shown: list[Processor] = [*shared, _redact]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shown, _render_bytes],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Bytes straight to the file: one write per line, so lines of several processes don't mix.
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_library_event, *shown],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render_text],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG if number <= logging.DEBUG else max(number, logging.WARNING))


def _mark(fields: dict[str, Any]) -> Processor:
    def add_fields(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    return add_fields


def _name_library_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Keep event names constant: a library's message becomes a field."""
    record: logging.LogRecord = event["_record"]
    return {**event, "event": "library_message", "logger": record.name, "message": event["event"]}


def _redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return redacted(dict(event))  # type: ignore[no-any-return]


def _render_bytes(_logger: Any, _method: str, event: EventDict) -> bytes:
    # The event comes first: people look for it in a line.
    return orjson.dumps({"event": event.pop("event"), **event}, default=str, option=orjson.OPT_NON_STR_KEYS)


def _render_text(logger: Any, method: str, event: EventDict) -> str:
    return _render_bytes(logger, method, event).decode()
