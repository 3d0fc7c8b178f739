"""The pool of connections, for SQLModel's reads and for statements on the driver's connection."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import asyncpg
import orjson
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from db.connecting import Dialer, Session
from db.connection_failures import Failure, describe_failure
from db.connection_info import read_connection_info
from db.poolers import Isolation, transaction
from db.sessions import Sessions
from db.shares import in_share
from domain.postgres_url import WrongConnectionString

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Engine: TypeAlias = AsyncEngine
Result = TypeVar("Result")

# A plan cached while a table was empty costs 2.8-3.3x once it is full, so connections for hot statements always plan by
# index (measured on the prototype; docs/decisions), and once for all: to plan a claim took longer than to run it.
PINNED_PLANS = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off")
PINNED_PLANS["plan_cache_mode"] = "force_generic_plan"
STATEMENTS = Path(__file__).parent / "statements"
RETRIES = 8
COMMAND_SECONDS = 60.0
"""Only a load into a slow database takes nearly as long; beyond this the server hangs or can't be reached."""
QUICK_SECONDS = 4.0
"""The limit of small units for which a client or a lease waits; after it follows 503, or another try."""
POOL_SECONDS = 4.0
"""How long to wait for a free connection."""
IDLE_SECONDS = 10
"""The server ends sessions that are idle in a transaction for so long: a stopped process would keep rows locked."""


def create_engine(
    database_url: str,
    *,
    size: int = 5,
    pinned_plans: bool = False,
    waits_for_disk: bool = True,
    command_seconds: float = COMMAND_SECONDS,
    idle_seconds: int = IDLE_SECONDS,
    name: str = "breakwater",
    on_events: Callable[[], None] | None = None,
) -> Engine:
    """Return an engine with at most `size` connections. Nothing connects before the first use.

    Without `waits_for_disk` the last commits may be lost when the server is killed: for claims only.
    The server ends a session that is idle in a transaction for `idle_seconds`. `on_events` is called after
    each commit of a unit that wrote events. Raises WrongConnectionString.
    """
    settings = {
        "jit": "off",
        "idle_in_transaction_session_timeout": f"{idle_seconds}s",
        **(PINNED_PLANS if pinned_plans else {}),
        **({} if waits_for_disk else {"synchronous_commit": "off"}),
    }
    sessions = Sessions(
        Dialer(read_connection_info(database_url)),
        name=name,
        settings=settings,
        command_seconds=command_seconds,
        on_events=on_events,
    )
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=sessions.open,
        pool_size=size,
        max_overflow=0,
        json_deserializer=orjson.loads,
        isolation_level="AUTOCOMMIT",  # transactions are begun on the driver's connection
        pool_timeout=POOL_SECONDS,
        pool_use_lifo=True,
    )


@asynccontextmanager
async def connect(engine: Engine, *, seconds: float | None = None) -> AsyncIterator[Connection]:
    """Lend the driver's connection, with a limit of `seconds` for each statement, for single statements that read.

    Of an engine `for_tenant` it is in a transaction, as the tenant can be set for that alone; else outside any.
    A connection in an unknown state is dropped afterwards; a connection that is sound despite an error returns to the
    pool. Raises one of UNAVAILABLE if there is no connection.
    """
    async with lend(engine, seconds=seconds) as session:
        if (tenant_no := tenant_of(engine)) is None:
            yield session
        else:
            async with transaction(session, readonly=True, tenant_no=tenant_no):
                yield session


@asynccontextmanager
async def lend(engine: Engine, *, seconds: float | None = None) -> AsyncIterator[Session]:
    """Lend the driver's connection, outside any transaction. Raises as `connect`."""
    async with _borrowed(engine) as borrowed, lend_session(borrowed, seconds=seconds) as session:
        yield session


def for_tenant(engine: Engine, tenant_no: int, share: asyncio.Semaphore | None = None) -> Engine:
    """Return an engine on the same pool whose transactions are a tenant's, and see no other's rows.

    It holds no more connections at once than the tenant's `share`, if one is given (`db.shares`).
    """
    return engine.execution_options(tenant_no=tenant_no, share=share)


def for_all_tenants(engine: Engine) -> Engine:
    """Return an engine on the same pool that sees the rows of all tenants."""
    return engine.execution_options(tenant_no=None)


def tenant_of(engine: Engine) -> int | None:
    """Return the tenant of an engine; None for one that sees the rows of all."""
    tenant_no: int | None = engine.sync_engine.get_execution_options().get("tenant_no")
    return tenant_no


@asynccontextmanager
async def lend_session(borrowed: AsyncConnection, *, seconds: float | None = None) -> AsyncIterator[Session]:
    """Lend the driver's connection of a borrowed one, replaced if it is dead; drop it if it isn't sound afterwards."""
    session = await _session_of(borrowed)
    while not await session.sessions.is_sound(session):
        await _drop(borrowed, session)
        session = await _session_of(borrowed)
    session.sessions.lend(session, seconds)
    try:
        yield session
    except BaseException as error:
        if isinstance(error, TimeoutError):
            session.sessions.suspect()
        if _is_unsound_after(error, session):
            await _drop(borrowed, session)
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            # An encoding error isn't a broken connection, though the driver derives both from one class.
            raise Unstorable(str(error)) from error
        if isinstance(error, AttributeError) and session.is_closed():  # the driver's error while a copy is in progress
            raise ConnectionError("The connection was closed in the midst of a statement.") from error
        raise
    finally:
        session.sessions.take_back(session)


def _is_unsound_after(error: BaseException, session: Session) -> bool:
    """Say whether a connection's state is unknown after an error that left its block.

    An error of the server, or of our own code, leaves it sound and outside any transaction. A cancellation may have
    interrupted a statement; so may an exception group, which cancels sibling tasks.
    """
    if session.is_closed() or session.is_in_transaction():
        return True
    if isinstance(error, asyncpg.LockNotAvailableError):
        return False
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return False
    return isinstance(error, (*UNAVAILABLE, BaseExceptionGroup)) or not isinstance(error, Exception)


async def _drop(borrowed: AsyncConnection, session: Session) -> None:
    """Drop a connection without closing it in order, for which a silent peer would let us wait."""
    session.terminate()
    await borrowed.invalidate()


@asynccontextmanager
async def _borrowed(engine: Engine) -> AsyncIterator[AsyncConnection]:
    """Borrow from the pool; an error of connecting is raised as the driver's own."""
    try:
        async with in_share(engine), engine.connect() as borrowed:
            yield borrowed
    except (DBAPIError, PoolTimeoutError) as error:
        raise ConnectionError(str(error.__cause__ or error)) from error


async def _session_of(borrowed: AsyncConnection) -> Session:
    raw = await borrowed.get_raw_connection()
    session: Session = raw.driver_connection  # type: ignore[assignment]
    return session


async def probe(database_url: str) -> Failure | None:
    """Return why a database can't be used at this moment, or None. Raises no error of the database."""
    try:
        engine = create_engine(database_url, size=1, name="breakwater-probe")
    except WrongConnectionString as error:
        return describe_failure(error)
    try:
        async with connect(engine):
            return None
    except (*UNAVAILABLE, *REJECTED) as error:
        return describe_failure(error)
    finally:
        await engine.dispose()


@cache
def statement(name: str) -> str:
    """Return the text of `db/statements/<name>.sql`."""
    return (STATEMENTS / f"{name}.sql").read_text()


class Unstorable(ValueError):
    """A statement got a value that the database's types can't hold; a bug of the validation."""


STALE_STATEMENTS = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""Errors of a statement that was prepared before a table changed. The driver has dropped the connection's other
statements then."""
CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, *STALE_STATEMENTS)
repeats: Counter[str] = Counter()
"""Repeated units of this process by the name of their conflict; the heartbeat reports them."""
UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server's shutdown message arrived between two statements
    asyncpg.OperatorInterventionError,  # it shuts down or starts up, or a statement was cancelled
    asyncpg.InsufficientResourcesError,  # its disk is full, or it lacks memory or connections
    asyncpg.ReadOnlySQLTransactionError,  # it became a standby
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.PostgresSystemError,  # an error of its disk
    asyncpg.LockNotAvailableError,  # a lock_timeout, the server's or ours; the connection is sound
    *CONFLICTS,  # a conflict in every one of many tries
    OSError,
)
"""Errors while the server is unavailable or slow: try again later."""
REJECTED = (asyncpg.PostgresError, Unstorable)
"""Errors of a statement that the server always rejects."""
TIMED_OUT = (TimeoutError, asyncpg.QueryCanceledError)
"""The errors among UNAVAILABLE and REJECTED for a statement that exceeded our limit, or the server's."""
INVALID_DATA = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    Unstorable,
)
"""The errors among REJECTED that are about values; others may depend on the moment or on the server's settings."""


async def in_transaction(
    engine: Engine,
    unit: Callable[[Connection], Awaitable[Result]],
    *,
    seconds: float | None = None,
    isolation: Isolation = "read_committed",
    readonly: bool = False,
) -> Result:
    """Run `unit` in a transaction and commit; repeat the whole unit after a conflict or a stale statement.

    A conflict is 40P01 or 40001; a stale statement was prepared before its table changed.
    `unit` may run several times, so it must have no effects outside the transaction. `seconds` limits each statement.
    """
    begin = partial(transact, unit=unit, isolation=isolation, readonly=readonly, tenant_no=tenant_of(engine))
    for _ in range(RETRIES):
        try:
            async with lend(engine, seconds=seconds) as connection:
                return await begin(connection)
        except CONFLICTS as conflict:
            repeats[type(conflict).__name__] += 1
    async with lend(engine, seconds=seconds) as connection:
        return await begin(connection)


async def transact(
    connection: Connection,
    unit: Callable[[Connection], Awaitable[Result]],
    *,
    isolation: Isolation = "read_committed",
    readonly: bool = False,
    tenant_no: int | None = None,
) -> Result:
    """Run `unit` in a transaction of a connection and commit; repeat it once after a stale statement.

    `tenant_no` is as with `db.poolers.transaction`.
    """
    try:
        async with transaction(connection, isolation=isolation, readonly=readonly, tenant_no=tenant_no):
            result = await unit(connection)
    except STALE_STATEMENTS as stale:
        repeats[type(stale).__name__] += 1
        # On this connection, which has dropped its statements; the pool's other connections still have stale ones.
        async with transaction(connection, isolation=isolation, readonly=readonly, tenant_no=tenant_no):
            result = await unit(connection)
    _report_events(connection)
    return result


def _report_events(connection: Connection) -> None:
    """Call the pool's `on_events` if the transaction wrote events."""
    # Not every connection is a session of a pool, and isinstance() can't distinguish them.
    if type(connection) is Session and connection.sessions is not None and connection.has_written_events:
        connection.has_written_events = False
        if connection.sessions.on_events is not None:
            connection.sessions.on_events()
