"""Connections to a PostgreSQL source: read-only, bounded in time, never idle in a transaction for long.

Behind a pooler a session of the server is ours for the length of a transaction. So all is read in a transaction there,
which makes its own settings, and no statement is kept from one to the next. A direct session is set once, and
reads a range of a table by a single statement: one round trip instead of four.
"""

import asyncio
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from db.connecting import Dialer, Session
from db.connection_info import read_connection_info
from db.poolers import apply_settings
from domain.table_names import TableName
from sources.errors import translated_errors
from sources.sql import errors as sql_errors
from sources.tables.connection import DEFAULT_LIMITS, SessionLimits, TableConnection

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"

APPLICATION_NAME = "breakwater import"
IDLE_IN_TRANSACTION_SECONDS = 60
"""A worker that is paused while it surveys keeps the source's snapshot for so long at most."""
CLOSE_SECONDS = 5.0
_SETTINGS = {
    "jit": "off",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    # An error instead of rows that are left out without a word.
    "row_security": "off",
    # How values are written as text: keys must come back as the same values, moments as ISO 8601.
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
_SURVEYING = {"work_mem": "64MB"}
# A count whose worker died ends by itself, where the server can look (14 and newer).
_LOOK_FOR_CLIENT = """
SELECT pg_catalog.set_config(name, '5000', true)
FROM pg_catalog.pg_settings
WHERE name = 'client_connection_check_interval'
"""


class SqlConnection(TableConnection[Connection]):
    """A configured connection to a PostgreSQL database."""

    def __init__(
        self, url: str, *, name: str, tables: Container[TableName], limits: SessionLimits = DEFAULT_LIMITS
    ) -> None:
        super().__init__(url, name=name, tables=tables, limits=limits)
        self._dialer: Dialer | None = None
        self._opened: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._surveying: set[asyncpg.Connection[asyncpg.Record]] = set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Lend a session in a transaction that sees one moment and writes nothing. Raises SourceError."""
        async with self._lent() as session, _transaction(session, self._limits.read_seconds):
            yield session

    async def fetch(self, statement: str, *arguments: Any, runs_code: bool) -> list[asyncpg.Record]:
        """Return the rows of a single statement, which writes nothing. Raises SourceError.

        `runs_code` says whether it may call user-defined functions, as a view does: they could change settings of a
        session, which only the end of a transaction undoes.
        """
        async with self._lent() as session:
            is_direct = session.keeps_statements  # type: ignore[attr-defined]  # the pool passes on its attributes
            alone = _ended_if_unanswered(session) if is_direct and not runs_code else None
            async with alone or _transaction(session, self._limits.read_seconds):
                return await session.fetch(statement, *arguments)

    @asynccontextmanager
    async def _lent(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        async with self._permits:
            with translated_errors(self.name, sql_errors.explained):
                pool = await self._pool()
                with sql_errors.connecting():
                    session = await pool.acquire()  # opening has limits of its own, one for each address
                try:
                    yield session
                finally:
                    await pool.release(session)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend another session in such a transaction, for as long as a survey takes; it ends with the block."""
        with translated_errors(self.name, sql_errors.explained):
            with sql_errors.connecting():
                connection: asyncpg.Connection[asyncpg.Record] = await self._open()
            self._surveying.add(connection)
            try:
                async with _transaction(connection, self._limits.survey_seconds, _SURVEYING):
                    await connection.execute(_LOOK_FOR_CLIENT)
                    yield connection
            finally:
                self._surveying.discard(connection)
                await self._close(connection)

    async def _close(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """End a session, which waits for a statement that is being cancelled, though not for a server that is gone."""
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_SECONDS)

    @property
    def survey_seconds(self) -> float:
        """The time limit of a statement within `snapshot`, to be passed as its timeout."""
        return self._limits.survey_seconds + 1  # the server's own limit is the one to be met first

    async def aclose(self) -> None:
        """End every session, those in use too."""
        for connection in self._surveying:
            connection.terminate()
        if self._opened is not None:
            self._opened.terminate()
            self._opened = None

    async def _pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._opened is None:
                self._opened = await asyncpg.create_pool(
                    min_size=0,  # so nothing connects yet
                    max_size=self._limits.size,
                    max_inactive_connection_lifetime=60,
                    connect=self._open_to_read,
                    reset=_keep_as_it_is,
                )
            return self._opened

    async def _open_to_read(self, *_: Any, **__: Any) -> Session:
        """Open a session that is set for its life, and keeps statements, if it is direct."""
        session = await self._open()
        settings = {
            **_SETTINGS,
            "default_transaction_read_only": "on",
            "statement_timeout": _milliseconds(self._limits.read_seconds),
        }
        try:
            # In a transaction, since behind a pooler even one statement is two messages that must stay together.
            async with asyncio.timeout(self._limits.connect_seconds), session.transaction(readonly=True):
                is_direct = await apply_settings(session, settings)
        except BaseException:
            session.terminate()
            raise
        if is_direct:
            session.keep_statements()
        return session

    async def _open(self) -> Session:
        if self._dialer is None:
            info = read_connection_info(self._url)
            self._dialer = Dialer(info, connect_seconds=self._limits.connect_seconds, kept_statements=0)
        return await self._dialer.open(
            settings={"application_name": APPLICATION_NAME},
            command_seconds=self._limits.read_seconds + 1,
        )


@asynccontextmanager
async def _transaction(
    connection: Connection, seconds: float, more: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[None]:
    """Run a block in a read-only transaction of one snapshot, in which statements are read as `_SETTINGS` say.

    It is rolled back, which undoes settings that a function in a view made. A statement without an answer ends
    the session: ROLLBACK would wait for it.
    """
    settings = {**_SETTINGS, **more, "statement_timeout": _milliseconds(seconds)}
    begin = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        *(f"SET LOCAL {name} = '{value}'" for name, value in settings.items()),
    ]
    try:
        await connection.execute("; ".join(begin))
        yield
    except TimeoutError:
        _terminate(connection)
        raise
    except BaseException:
        await _roll_back(connection)
        raise
    else:
        await connection.execute("ROLLBACK")


@asynccontextmanager
async def _ended_if_unanswered(connection: Connection) -> AsyncIterator[None]:
    """Run a single statement; end the session if it was left before its answer."""
    try:
        yield
    except (TimeoutError, asyncio.CancelledError):
        _terminate(connection)
        raise


async def _roll_back(connection: Connection) -> None:
    """End a transaction, which waits for a statement that is being cancelled, though not for a server that is gone."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.execute("ROLLBACK")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # the error before it is the one that is raised
        _terminate(connection)


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has let go of a session that has ended
        connection.terminate()


async def _keep_as_it_is(_: object) -> None:
    """A session carries nothing from one use to the next: settings end with their transaction."""


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
