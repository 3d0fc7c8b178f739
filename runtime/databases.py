"""Logging that the database of the settings is unavailable, and the error if it can't be used at all."""

import time

import structlog

from runtime.errors import StartError
from runtime.settings import PREFIX, redacted

REMIND_SECONDS = 10.0
"""The interval of repeated log lines."""

log = structlog.stdlib.get_logger()


class DatabaseUnusable(StartError):
    """The database can't be used, and waiting won't help."""


def unusable(database_url: str, reason: str) -> DatabaseUnusable:
    """Return the error that ends a start: the setting, its value without passwords, and the remedy."""
    return DatabaseUnusable(_sentence(database_url, reason))


class Reminder:
    """Logs that the database is unavailable: at once, then every `REMIND_SECONDS`."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._next_at = 0.0

    def warn(self, reason: str) -> None:
        """Log the reason, at most once per `REMIND_SECONDS`."""
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + REMIND_SECONDS
            log.warning("database_unreachable", detail=_sentence(self._database_url, reason))

    def reset(self) -> None:
        """Note that the database is available."""
        if self._next_at:
            self._next_at = 0.0
            log.info("database_reached")


def _sentence(database_url: str, reason: str) -> str:
    return f"{PREFIX}DATABASE_URL names {redacted(database_url)}, which can't be used: {reason}"
