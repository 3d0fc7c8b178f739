"""The one pool of connections: SQLModel reads through it, hot statements take its driver connection."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import asyncpg
import orjson
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Engine: TypeAlias = AsyncEngine
Result = TypeVar("Result")

# A plan that was cached while a table was empty costs 2.8-3.3x once it is full, so connections that run only the hot
# statements plan by index, always (measured on the prototype; docs/decisions).
PINNED_PLANS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
STATEMENTS = Path(__file__).parent / "statements"
RETRIES = 8
COMMAND_SECONDS = 60.0
"""No statement but a load into a slow database takes nearly as long; past that the server hangs or can't be heard."""
IDLE_SECONDS = 10
"""A process that stands still in the midst of a transaction keeps rows locked; the server ends its session then."""


def driver_url(database_url: str) -> str:
    """Return a plain `postgresql://` URL as SQLAlchemy wants it for asyncpg."""
    scheme, _, rest = database_url.partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError("The database URL must start with postgresql://")
    return f"postgresql+asyncpg://{rest}"


def create_engine(
    database_url: str,
    *,
    size: int = 5,
    pinned_plans: bool = False,
    waits_for_disk: bool = True,
    command_seconds: float = COMMAND_SECONDS,
    idle_seconds: int = IDLE_SECONDS,
    name: str = "breakwater",
) -> Engine:
    """Return the engine of a process; `size` connections at most. Nothing connects before the first use.

    One that doesn't wait for the disk may forget its last commits when the server is killed: for claims only.
    The server ends a session that says nothing for `idle_seconds` within a transaction.
    """
    settings = {
        "application_name": name,
        "jit": "off",
        "idle_in_transaction_session_timeout": f"{idle_seconds}s",
        **(PINNED_PLANS if pinned_plans else {}),
    }
    if not waits_for_disk:
        settings["synchronous_commit"] = "off"
    return create_async_engine(
        driver_url(database_url),
        pool_size=size,
        max_overflow=0,
        json_deserializer=orjson.loads,
        pool_timeout=5,
        pool_use_lifo=True,
        connect_args={"server_settings": settings, "timeout": 5, "command_timeout": command_seconds},
    )


@asynccontextmanager
async def connect(engine: Engine) -> AsyncIterator[Connection]:
    """Lend the driver's connection, outside any transaction. One that broke is not given back to the pool.

    Raises one of GONE when there is none to be had.
    """
    async with _borrowed(engine) as borrowed:
        driver = await _driver_of(borrowed)
        while driver.is_closed():  # the server ended it while it lay in the pool
            await borrowed.invalidate()
            driver = await _driver_of(borrowed)
        try:
            yield driver
        except BaseException as error:
            if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
                # What can't be encoded isn't a connection that broke, though the driver derives both from one error.
                raise Unstorable(str(error)) from error
            # After a refusal by the server the connection is sound; after anything else what was under way is unknown.
            is_sound = isinstance(error, asyncpg.LockNotAvailableError)
            if not is_sound and (not isinstance(error, asyncpg.PostgresError) or isinstance(error, GONE)):
                await borrowed.invalidate()
            raise


@asynccontextmanager
async def _borrowed(engine: Engine) -> AsyncIterator[AsyncConnection]:
    """Borrow from the pool; what keeps it from connecting is told as the driver tells it elsewhere."""
    try:
        async with engine.connect() as borrowed:
            yield borrowed
    except (DBAPIError, PoolTimeoutError) as error:
        raise ConnectionError(str(error.__cause__ or error)) from error


async def _driver_of(borrowed: AsyncConnection) -> Connection:
    raw = await borrowed.get_raw_connection()
    driver: Connection = raw.driver_connection  # type: ignore[assignment]
    return driver


@cache
def statement(name: str) -> str:
    """Return the text of `db/statements/<name>.sql`."""
    return (STATEMENTS / f"{name}.sql").read_text()


class Unstorable(ValueError):
    """A value that the database's types can't hold reached a statement; a bug of whoever let it through."""


CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
repeats: Counter[str] = Counter()
"""Units of this process that were repeated, by the name of the conflict they met; it travels with the heartbeat."""
GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a message of the server's end that came between two statements
    asyncpg.OperatorInterventionError,  # it shuts down, comes up, or somebody cancelled a statement
    asyncpg.InsufficientResourcesError,  # no room on its disk, no memory, no connection left
    asyncpg.ReadOnlySQLTransactionError,  # it became a standby
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.PostgresSystemError,  # an error of its disk
    asyncpg.LockNotAvailableError,  # its lock_timeout, or ours, was over; the connection is sound
    *CONFLICTS,  # met in every one of many tries
    OSError,
)
"""What a caller meets while the server is away, going, coming back, in trouble or held up: try again later."""
REFUSED = (asyncpg.PostgresError, Unstorable)
"""What a caller meets whose statement the server won't take, whenever it is tried."""
TOO_SLOW = (TimeoutError, asyncpg.QueryCanceledError)
"""Those of them that say that a statement outlasted our limit, or the server's own."""
UNFIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    Unstorable,
)
"""Those of them that are about the values; others may be about the moment, or about the server's settings."""


async def in_transaction(engine: Engine, unit: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run `unit` in a transaction and commit; run it again, whole, when it met a conflict (40P01, 40001).

    `unit` must not keep effects outside the transaction, for it may run several times.
    """
    for _ in range(RETRIES):
        try:
            async with connect(engine) as connection, connection.transaction():
                return await unit(connection)
        except CONFLICTS as conflict:
            repeats[type(conflict).__name__] += 1
    async with connect(engine) as connection, connection.transaction():
        return await unit(connection)
