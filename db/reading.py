"""Connections for reads: for single statements, or for several in one snapshot; and pages of lists."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from sqlalchemy import Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel.ext.asyncio.session import AsyncSession

from db.engine import STALE_STATEMENTS, Connection, Engine, in_transaction, lend, lend_session, tenant_of, transact
from db.poolers import transaction
from db.shares import in_share

Fact = TypeVar("Fact")
Result = TypeVar("Result")
PLAN_FREELY = "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"
INDEX_ORDER = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
PAGE_BYTES = 2 * 1024 * 1024
"""A page of a list ends with the item by which its texts have so many bytes. One answer has at most 4 MiB."""
MAX_SMALLINT = 2**15 - 1
MAX_INT = 2**31 - 1
MAX_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Slice(Generic[Fact]):
    """A page of a list, in its order; `is_last` if no items follow."""

    facts: Sequence[Fact]
    is_last: bool


async def read(engine: Engine, query: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """Run `query` on a session in autocommit, or in a tenant's transaction; repeat it if its statements were stale.

    Errors are the driver's, as in `db.engine.UNAVAILABLE`.
    """
    try:
        async with _session(engine) as session:
            return await query(session)
    except STALE_STATEMENTS:  # the dialect drops them on all connections of the engine
        async with _session(engine) as session:
            return await query(session)


async def read_all(engine: Engine, query: Executable) -> Sequence[Any]:
    """Return all rows of one statement (of one column: its values), in the way of `read`."""

    async def rows(session: AsyncSession) -> Sequence[Any]:
        return (await session.exec(query)).all()  # type: ignore[call-overload, no-any-return]

    return await read(engine, rows)


@asynccontextmanager
async def _session(engine: Engine) -> AsyncIterator[AsyncSession]:
    try:
        async with (
            in_share(engine),
            engine.connect() as connection,
            lend_session(connection) as driver,
            AsyncSession(connection) as session,
        ):
            if (tenant_no := tenant_of(engine)) is None:
                driver.waits_since = time.monotonic()  # SQLAlchemy's prepared statements don't set it
                yield session
            else:
                async with transaction(driver, readonly=True, tenant_no=tenant_no):
                    driver.waits_since = time.monotonic()
                    yield session
    except DBAPIError as error:
        raise _driver_error(error) from error
    except PoolTimeoutError as error:
        raise ConnectionError(str(error)) from error


async def in_snapshot(engine: Engine, unit: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run `unit` in a read-only transaction with one snapshot; repeat it as `in_transaction` does.

    Such units join whole tables, so they plan freely even if the pool's other statements always plan by index.
    """

    async def planned_freely(connection: Connection) -> Result:
        await connection.execute(PLAN_FREELY)
        return await unit(connection)

    return await in_transaction(engine, planned_freely, isolation="repeatable_read", readonly=True)


@asynccontextmanager
async def snapshot(engine: Engine) -> AsyncIterator[Connection]:
    """Lend a connection in such a transaction for the length of the block, for reading page by page.

    Nothing in the block is repeated, so its statements are prepared anew: take an engine that runs no others.
    """
    async with lend(engine) as connection:
        await connection.reload_schema_state()
        async with transaction(connection, isolation="repeatable_read", readonly=True, tenant_no=tenant_of(engine)):
            await connection.execute(PLAN_FREELY)
            yield connection


async def in_index_order(connection: Connection, unit: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run `unit` so that its statements read the first rows of an index, even while statistics are outdated.

    If the planner took a table for small, it would sort all waiting rows for the few that come first.
    """

    async def ordered(connection: Connection) -> Result:
        await connection.execute(INDEX_ORDER)
        return await unit(connection)

    return await transact(connection, ordered, readonly=True)


def sliced(rows: Sequence[Any], limit: int, fact: Callable[[Any], Fact]) -> Slice[Fact]:
    """Return a page of up to `limit` items from rows that were read with `limit + 1`."""
    return Slice([fact(row) for row in rows[:limit]], is_last=len(rows) <= limit)


def bounded(rows: Sequence[Any], limit: int, fact: Callable[[Any], Fact]) -> Slice[Fact]:
    """Return a page as `sliced` does, from rows whose bytes were bounded too: perhaps not all that were `found`."""
    shown = rows[:limit]
    return Slice([fact(row) for row in shown], is_last=not rows or len(shown) == rows[0]["found"])


def columns_of(kind: type[Any]) -> Callable[[Any], Any]:
    """Return the function that makes a dataclass `kind` from an object that has its fields as attributes or keys."""
    names: Iterable[str] = [field.name for field in fields(kind)]

    def make(row: Any) -> Any:
        values = {name: row[name] for name in names} if hasattr(row, "keys") else {n: getattr(row, n) for n in names}
        return kind(**values)

    return make


def _driver_error(error: DBAPIError) -> BaseException:
    """Return the driver's own error: the dialect wraps it twice."""
    original = error.orig
    return (original.__cause__ or original) if original is not None else error
