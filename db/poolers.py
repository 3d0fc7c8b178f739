"""Sessions behind a pooler: settings per transaction, and the check that the pooler can be used.

A pooler may give each transaction another session of the server. So behind one, settings are made in each transaction.
At the start of a session nothing is set but its name: PgBouncer refuses every other parameter unless it is configured
to ignore it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias
from weakref import WeakKeyDictionary

import asyncpg
from asyncpg.transaction import Transaction

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Isolation: TypeAlias = Literal["read_committed", "repeatable_read"]

TENANT_ROLE = "breakwater_tenant"
"""The role of transactions of one tenant: it sees that tenant's rows, and none before the tenant is set."""
APPLY_SETTINGS = (Path(__file__).parent / "statements" / "apply_session_settings.sql").read_text()
ROUNDS = 5
"""Attempts of a second client to get the session on which a statement was prepared, before the session counts as
ours."""
EXAMINE_SECONDS = 5.0
NO_ROOM = "The pooler has no session of the server free: let it open more (PgBouncer: default_pool_size)."
NO_STATEMENTS = (
    "The pooler loses prepared statements between transactions: use session mode, or PgBouncer 1.21 or newer with "
    "max_prepared_statements above 0."
)
NO_TRANSACTIONS = "The pooler is in statement mode, which has no transactions: use session or transaction mode."
_in_each_transaction: "WeakKeyDictionary[Connection, str]" = WeakKeyDictionary()
"""The settings of each transaction of a session behind a pooler."""


class PoolerUnsupported(ConnectionError):
    """A pooler in front of PostgreSQL supports no prepared statements, or no transactions."""


async def apply_settings(session: Connection, settings: Mapping[str, str]) -> bool:
    """Apply settings to the session, or note them for each transaction; return whether the session is direct.

    Call it once for a new session. Raises PoolerUnsupported if the pooler drops even this statement.
    """
    with _refusing():
        found = await session.fetchrow(
            APPLY_SETTINGS, session.get_server_pid(), list(settings), list(settings.values())
        )
    assert found is not None  # noqa: S101 - an aggregate is one row
    if not found["is_direct"]:
        _in_each_transaction[session] = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())
    return bool(found["is_direct"])


def is_pooled(session: Connection) -> bool:
    """Say whether the next transaction may run on another session of the server."""
    return session in _in_each_transaction


@asynccontextmanager
async def transaction(
    session: Connection,
    *,
    isolation: Isolation = "read_committed",
    readonly: bool = False,
    tenant_no: int | None = None,
) -> AsyncIterator[None]:
    """Run a block in a transaction with the session's settings; commit at its end.

    With `tenant_no` it is one of that tenant alone, which begins in one round trip and can hold no savepoint. A
    statement without an answer ends the session: on a silent session, ROLLBACK would wait equally long.
    """
    settings = _in_each_transaction.get(session)
    begun: _OfTenant | Transaction
    if tenant_no is None:
        begun = session.transaction(isolation=isolation, readonly=readonly)
    else:
        begun = _OfTenant(session, isolation, tenant_no, readonly=readonly, settings=settings)
    await begun.start()
    try:
        if settings and tenant_no is None:
            await session.execute(settings)
        yield
    except TimeoutError:
        session.terminate()
        raise
    except BaseException:
        await begun.rollback()
        raise
    else:
        await begun.commit()


class _OfTenant:
    """A transaction that begins with its role and tenant. Both end with it, so a pooler may lend the session on."""

    def __init__(
        self, session: Connection, isolation: Isolation, tenant_no: int, *, readonly: bool, settings: str | None
    ) -> None:
        self._session = session
        self._begin = (
            f"BEGIN ISOLATION LEVEL {isolation.replace('_', ' ')} {'READ ONLY' if readonly else 'READ WRITE'}; "
            f"{f'{settings}; ' if settings else ''}"
            f"SET LOCAL ROLE {TENANT_ROLE}; SET LOCAL breakwater.tenant_no = {tenant_no:d}"
        )

    async def start(self) -> None:
        try:
            await self._session.execute(self._begin)
        except asyncpg.PostgresError:
            await self.rollback()
            raise

    async def commit(self) -> None:
        await self._session.execute("COMMIT")

    async def rollback(self) -> None:
        await self._session.execute("ROLLBACK")


async def examine(open_session: Callable[[], Awaitable[Connection]]) -> None:
    """Raise PoolerUnsupported unless transactions stay together and prepared statements follow their client.

    A second client tries to get the server session on which the first client prepared a statement; then the first
    client executes the statement again. Raises ConnectionError if there is no room for both.
    """
    async with AsyncExitStack() as opened:
        with _refusing():
            async with asyncio.timeout(EXAMINE_SECONDS):
                first, second = [await _opened(open_session, opened) for _ in range(2)]
                own_pid = await first.prepare("SELECT pg_backend_pid()")
                for _ in range(ROUNDS):
                    before = await own_pid.fetchval()
                    async with second.transaction():
                        await second.execute("SELECT 1")
                        if await own_pid.fetchval() != before:
                            return


async def _opened(open_session: Callable[[], Awaitable[Connection]], opened: AsyncExitStack) -> Connection:
    session = await open_session()
    opened.callback(session.terminate)
    return session


@contextmanager
def _refusing() -> Iterator[None]:
    """Describe a pooler's errors in words for the operator."""
    try:
        yield
    except TimeoutError as error:
        raise ConnectionError(NO_ROOM) from error
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise PoolerUnsupported(NO_STATEMENTS) from error
    except (asyncpg.ProtocolViolationError, asyncpg.ConnectionDoesNotExistError) as error:
        if "statement pooling" in str(error):
            raise PoolerUnsupported(NO_TRANSACTIONS) from error
        raise
