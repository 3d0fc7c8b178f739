"""The watch for sessions that block a migration: it ends with the migration, and changes no outcome of it."""

import asyncio

import pytest

from db import migration_blockers
from db.engine import Connection
from db.migration_blockers import Blocker, MigrationBlocked, watched_blockers

BLOCKER = Blocker(
    pid=4711, session="psql", account="alice", state="idle", backend_type="client backend", open_seconds=3605.0
)


@pytest.fixture(autouse=True)
def immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look comes at once."""
    monkeypatch.setattr(migration_blockers, "LOOK_SECONDS", 0)


async def test_a_cancellation_while_the_watch_ends_is_not_lost() -> None:
    opening, ending, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def open_session() -> Connection:
        opening.set()
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await ended.wait()
        raise AssertionError("nothing ends the wait but a cancellation")

    async def migrate() -> None:
        async with watched_blockers(open_session, "a migrator", lambda _: None):
            await opening.wait()

    migrating = asyncio.create_task(migrate())
    await asyncio.wait_for(ending.wait(), 10)
    migrating.cancel()
    ended.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(migrating, 10)


async def test_an_unforeseen_error_of_the_watch_does_not_hide_what_blocked_the_migration() -> None:
    failing = asyncio.Event()

    async def open_session() -> Connection:
        failing.set()
        raise RuntimeError("unforeseen")

    async def migrate() -> None:
        async with watched_blockers(open_session, "a migrator", lambda _: None) as blockers:
            await asyncio.wait_for(failing.wait(), 10)
            raise MigrationBlocked("0011", 300, blockers)

    with pytest.raises(MigrationBlocked):
        await migrate()


def test_the_sessions_that_an_error_names_are_those_of_its_time() -> None:
    seen = [BLOCKER]
    blocked = MigrationBlocked("0011", 300, seen)
    seen.clear()
    assert list(blocked.blockers) == [BLOCKER]
