"""Connections to a MySQL server: sessions that only read, are set alike, and have limits on both ends."""

import math
import time
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from domain.mysql_url import parse_mysql_url
from domain.table_names import TableName
from sources.errors import translated_errors
from sources.mysql import errors
from sources.mysql.session import Row, Session
from sources.tables.connection import DEFAULT_LIMITS, SessionLimits, TableConnection

IDLE_SECONDS = 60.0
_VARIABLES = {
    "sql_mode": "''",  # independent of the server's: text and dates as they are stored
    "time_zone": "'+00:00'",
    "sql_auto_is_null": "0",
    "sql_select_limit": "18446744073709551615",
    "max_sort_length": "8388608",  # with less, keys that begin alike would come in no order
}
_TRANSACTIONS = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(slots=True)
class Lent:
    """A reading session, and the time limit of its statements."""

    session: Session
    seconds: float

    async def fetch(self, statement: str) -> Sequence[Row]:
        """Return the rows of a statement."""
        return await self.session.fetch(
            statement, seconds=self.seconds + 1
        )  # the server's limit is the first to be met

    async def set(self) -> None:
        """Set the variables that reads rely on; the function of a view may have changed them."""
        milliseconds = max(1, round(self.seconds * 1000))
        variables = {**_VARIABLES, "lock_wait_timeout": f"{math.ceil(self.seconds)}"}
        if self.session.is_mariadb:
            variables["max_statement_time"] = f"{milliseconds / 1000}"
        else:
            variables["max_execution_time"] = f"{milliseconds}"
        await self.fetch("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in variables.items()))
        await self.fetch(_TRANSACTIONS)


class MysqlConnection(TableConnection[Lent]):
    """A configured connection to a MySQL or MariaDB server."""

    def __init__(
        self, url: str, *, name: str, tables: Container[TableName], limits: SessionLimits = DEFAULT_LIMITS
    ) -> None:
        super().__init__(url, name=name, tables=tables, limits=limits)
        self._place = parse_mysql_url(url)
        self._idle: list[tuple[float, Lent]] = []
        self._busy: set[Session] = set()

    @property
    def database(self) -> str | None:
        """The database that its URL names."""
        return self._place.database

    @asynccontextmanager
    async def reading(self, *, runs_code: bool = False) -> AsyncIterator[Lent]:
        """Lend a session whose statements each see one moment and write nothing. Raises SourceError.

        `runs_code` says whether they may call user-defined functions, as a view does: those could change settings,
        which are then made anew.
        """
        async with self._permits:
            with translated_errors(self.name, errors.explained):
                lent = self._take_idle() or await self._open(self._limits.read_seconds)
                try:
                    if runs_code:
                        await lent.set()
                    yield lent
                except BaseException:
                    self._let_go(lent)
                    raise
                self._busy.discard(lent.session)
                self._idle.append((time.monotonic(), lent))

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Lent]:
        """Lend another session in a transaction that sees one moment, as long as a survey takes. Raises SourceError."""
        with translated_errors(self.name, errors.explained):
            lent = await self._open(self._limits.survey_seconds)
            try:
                await lent.fetch("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                yield lent
            finally:
                self._let_go(lent)

    async def aclose(self) -> None:
        """End every session, those in use too."""
        for session in self._busy:
            session.end()
        for _, lent in self._idle:
            lent.session.close()
        self._idle.clear()

    async def _open(self, seconds: float) -> Lent:
        session = Session(self._place, connect_seconds=self._limits.connect_seconds)
        self._busy.add(session)
        lent = Lent(session, seconds)
        try:
            with errors.connecting():
                await session.open()
            await lent.set()
        except BaseException:
            self._let_go(lent)
            raise
        return lent

    def _take_idle(self) -> Lent | None:
        """Return a session that waits for work, if it hasn't waited for too long."""
        while self._idle:
            since, lent = self._idle.pop()
            if lent.session.is_open and time.monotonic() - since < IDLE_SECONDS:
                self._busy.add(lent.session)
                return lent
            lent.session.close()
        return None

    def _let_go(self, lent: Lent) -> None:
        self._busy.discard(lent.session)
        lent.session.close()
