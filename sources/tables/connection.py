"""Connections to databases: which tables they may read, with how many sessions, and how long these may take."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Container
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.policy import MAX_CALL_SECONDS
from domain.table_names import TableName

SURVEYS_AT_ONCE = 4
"""Tables of one connection that a worker counts at the same time, over all imports."""
SessionT = TypeVar("SessionT")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The number of concurrent reading sessions, and their time limits, on both ends of the connection.

    `read_seconds` bounds reading one range, `survey_seconds` a statement of a survey; the caller bounds the whole
    survey.
    """

    size: int = 4
    connect_seconds: float = 10
    read_seconds: float = 60
    survey_seconds: float = MAX_CALL_SECONDS


DEFAULT_LIMITS = SessionLimits()


class TableConnection(ABC, Generic[SessionT]):
    """A configured connection to a database. Its sessions only read, and are opened when needed.

    Waiting for a session has no limit: other callers' work is no failure of the waiting caller. Surveys have sessions
    of their own, one for each of the `survey_permits`, so that no COUNT keeps a batch waiting. Only `tables`, which are
    named with their schemas, may be read; errors name the connection by `name`.
    """

    def __init__(
        self, url: str, *, name: str, tables: Container[TableName], limits: SessionLimits = DEFAULT_LIMITS
    ) -> None:
        self._url = url
        self.name = name
        self.tables = tables
        self.survey_permits = asyncio.Semaphore(SURVEYS_AT_ONCE)
        self._limits = limits
        self._permits = asyncio.Semaphore(limits.size)

    @abstractmethod
    def reading(self) -> AbstractAsyncContextManager[SessionT]:
        """Lend a session whose statements write nothing. Raises SourceError."""

    @abstractmethod
    def snapshot(self) -> AbstractAsyncContextManager[SessionT]:
        """Lend another session in a transaction that sees one moment, as long as a survey takes. Raises SourceError."""

    @abstractmethod
    async def aclose(self) -> None:
        """End every session, those in use too."""
