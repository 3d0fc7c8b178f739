"""Connections to a PostgreSQL source: read-only, bounded in time, never idle in a transaction for long."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from db.connecting import Dialer
from db.connection_info import read_connection_info
from domain.policy import MAX_CALL_SECONDS
from domain.postgres_url import WrongConnectionString
from sources.errors import (
    KeyUnusable,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    Unreadable,
)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"

APPLICATION_NAME = "breakwater import"
IDLE_IN_TRANSACTION_SECONDS = 60
"""A worker that is paused while it surveys keeps the source's snapshot for so long at most."""
SURVEYS_AT_ONCE = 4
"""Tables of one connection that a worker counts at the same time, over all imports."""
CLOSE_SECONDS = 5.0
_WORK_MEM = "64MB"
# How values are written as text: keys must come back as the same values, moments as ISO 8601.
_SPELLING = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}


class SqlConnection:
    """A configured connection to a PostgreSQL database: at most `size` sessions that read, opened when needed.

    Waiting for one of them has no limit: what they are busy with is no failure of whoever waits. Surveys have sessions
    of their own, so that no COUNT keeps a batch waiting, as many as hold `survey_turn`. `read_seconds` bounds reading
    one range, `survey_seconds` a statement of a survey, on both ends of the connection; whoever asked for the survey
    is the one to bound it.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int = 4,
        connect_seconds: float = 10,
        read_seconds: float = 60,
        survey_seconds: float = MAX_CALL_SECONDS,
    ) -> None:
        self.survey_turn = asyncio.Semaphore(SURVEYS_AT_ONCE)
        self._url = url
        self._dialer: Dialer | None = None
        self._size = size
        self._places = asyncio.Semaphore(size)
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._survey_seconds = survey_seconds
        self._opened: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._surveying: set[asyncpg.Connection[asyncpg.Record]] = set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Lend a session for single statements, each its own transaction. Raises SourceError for what goes wrong."""
        async with self._places:
            with _Telling():
                pool = await self._pool()
                with _reaching():
                    connection = await pool.acquire()  # `_open` has limits of its own, one for each address
                try:
                    yield connection
                finally:
                    await pool.release(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend a session in a transaction that sees one moment and writes nothing; both end with the block."""
        with _Telling():
            with _reaching():
                connection: asyncpg.Connection[asyncpg.Record] = await self._open()
            self._surveying.add(connection)
            try:
                async with self._transaction(connection):
                    yield connection
            finally:
                self._surveying.discard(connection)
                await self._close(connection)

    async def _close(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """End a session, which waits for a statement that is being cancelled, though not for a server that is gone."""
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_SECONDS)

    @asynccontextmanager
    async def _transaction(self, connection: Connection) -> AsyncIterator[None]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(
                f"""
                SELECT
                    set_config('statement_timeout', '{_milliseconds(self._survey_seconds)}', true),
                    set_config('work_mem', '{_WORK_MEM}', true);
                -- A count whose worker died ends by itself, where the server can look (14 and newer).
                SELECT set_config(name, '5000', true)
                FROM pg_catalog.pg_settings
                WHERE name = 'client_connection_check_interval'
                """
            )
            yield

    @property
    def survey_seconds(self) -> float:
        """What a statement within `snapshot` may take, to be given to it as its timeout."""
        return self._survey_seconds + 1  # the server's own limit is the one to be met first

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
                    max_size=self._size,
                    max_inactive_connection_lifetime=60,
                    connect=self._open,
                    reset=_keep_as_it_is,
                )
            return self._opened

    async def _open(self, *_: Any, **__: Any) -> "asyncpg.Connection[asyncpg.Record]":
        if self._dialer is None:
            self._dialer = Dialer(read_connection_info(self._url), connect_seconds=self._connect_seconds)
        return await self._dialer.open(settings=self._server_settings(), command_seconds=self._read_seconds + 1)

    def _server_settings(self) -> dict[str, str]:
        return {
            "application_name": APPLICATION_NAME,
            "default_transaction_read_only": "on",
            "statement_timeout": _milliseconds(self._read_seconds),
            "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_SECONDS),
            "jit": "off",
            **_SPELLING,
        }


async def _keep_as_it_is(_: object) -> None:
    """A session carries nothing from one use to the next: settings end with their transaction."""


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


@contextmanager
def _reaching() -> Iterator[None]:
    """Around connecting alone: a host that doesn't answer there is away, it isn't slow."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
            detail = "The source can't be reached: no answer to connecting within the limit."
            raise SourceUnavailable(detail) from error
        raise


class _Telling:
    """Turns what the driver raises into errors of ours. The server's words may show values: only its code is told."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SourceError) and (told := _told(error)):
            raise told from error


def _told(error: Exception) -> SourceError | None:
    for kinds, told, detail in _TOLD:
        if isinstance(error, kinds):
            return told(f"{detail} ({_code(error)}).")
    return None


def _code(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or type(error).__name__)


# The first that fits.
_TOLD: Sequence[tuple[tuple[type[Exception], ...], type[SourceError], str]] = (
    ((asyncpg.QueryCanceledError, TimeoutError), SourceTimeout, "The source gave no answer within the limit"),
    ((asyncpg.UndefinedFunctionError,), KeyUnusable, "The key has a column whose type has no order"),
    ((WrongConnectionString,), SourceRefused, "The connection's URL can't be used"),
    (
        (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InsufficientPrivilegeError,
            asyncpg.InvalidCatalogNameError,
        ),
        SourceRefused,
        "The source refused the connection's account or database",
    ),
    (
        (
            asyncpg.UndefinedTableError,
            asyncpg.UndefinedColumnError,
            asyncpg.UndefinedObjectError,
            asyncpg.InvalidTextRepresentationError,
            asyncpg.InvalidCachedStatementError,
        ),
        SourceChanged,
        "The table is no longer what was surveyed",
    ),
    (
        (
            asyncpg.PostgresConnectionError,
            asyncpg.InternalClientError,
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.TransactionRollbackError,
            asyncpg.IdleInTransactionSessionTimeoutError,
            asyncpg.ObjectInUseError,
            asyncpg.LockNotAvailableError,
            asyncpg.InterfaceError,
            OSError,
        ),
        SourceUnavailable,
        "The source is away or in trouble",
    ),
    ((asyncpg.PostgresError, UnicodeDecodeError), Unreadable, "The source can't give these rows"),
)
