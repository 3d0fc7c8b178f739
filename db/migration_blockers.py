"""The sessions that keep a migration from a lock: found while it waits, and named to the operator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from db.engine import Connection, statement

LOOK_SECONDS = 0.5
_LOOK_FAILED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session of the server whose transaction holds a lock; a prepared transaction has the `pid` 0.

    The server shows a session's state and times to its own account and to monitors only.
    """

    pid: int
    session: str | None
    account: str | None
    state: str | None
    backend_type: str | None
    open_seconds: float | None

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction (see pg_prepared_xacts)"
        owner = f"{self.session or self.backend_type or 'unnamed'}{f' of {self.account}' if self.account else ''}"
        state = f", {self.state}" if self.state else ""
        since = "" if self.open_seconds is None else f", in a transaction for {self.open_seconds:.0f} s"
        return f"process {self.pid} ({owner}{state}{since})"


Report = Callable[[Sequence[Blocker]], None]


class MigrationBlocked(Exception):
    """A migration didn't get a lock for as long as it may wait; the database is as before it."""

    def __init__(self, revision: str, seconds: float, blockers: Sequence[Blocker]) -> None:
        held_by = ", ".join(map(str, blockers)) or "sessions that had ended before they could be named"
        pids = [blocker.pid for blocker in blockers if blocker.pid]
        ending = f", or end them (SELECT pg_terminate_backend({pids[0]}))" if pids else ""
        super().__init__(
            f"migration {revision} waited {seconds:.0f} s for locks held by {held_by}. "
            f"Let these transactions end{ending}, and run `breakwater migrate` again."
        )
        self.revision = revision
        self.blockers = tuple(blockers)


@asynccontextmanager
async def watched_blockers(
    open_session: Callable[[], Awaitable[Connection]], name: str, report: Report
) -> AsyncIterator[list[Blocker]]:
    """Yield a list of those for which sessions called `name` waited last; report each time when these are others.

    The first look comes after LOOK_SECONDS. Where the server can't be asked, the list stays as it is.
    """
    seen: list[Blocker] = []
    watching = asyncio.create_task(_watch(open_session, name, report, seen))
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.wait([watching])  # raises for a cancellation of the caller only


async def _watch(
    open_session: Callable[[], Awaitable[Connection]], name: str, report: Report, seen: list[Blocker]
) -> None:
    await asyncio.sleep(LOOK_SECONDS)
    with suppress(*_LOOK_FAILED):
        session = await open_session()
        try:
            while True:
                rows = await session.fetch(statement("find_migration_blockers"), name)
                found = [Blocker(**row) for row in rows]
                if found and {blocker.pid for blocker in found} != {blocker.pid for blocker in seen}:
                    report(found)
                seen[:] = found or seen
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            session.terminate()
