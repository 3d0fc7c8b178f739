"""Sessions of pages: an owner has a bounded number of them, however many are opened at once."""

import asyncio
import secrets
from functools import partial

import pytest

from db.engine import Connection, Engine, in_transaction
from db.page_sessions import MOST_OF_OWNER, KeyOwner, NewSession, SubjectOwner, end_session, find_sessions, open_session
from domain.api_keys import read_key
from tests.support.access import make_key
from tests.support.waiting import eventually_async

WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
SUBJECT = SubjectOwner("https://id.example", "user-1", frozenset())


@pytest.fixture
async def owner(connection: Connection, request: pytest.FixtureRequest) -> KeyOwner | SubjectOwner:
    """The owner of a key's sessions, or a subject."""
    if request.param == "subject":
        return SUBJECT
    key = read_key(await make_key(connection))
    assert key is not None
    return KeyOwner(key.digest)


def new_session(owner: KeyOwner | SubjectOwner) -> NewSession:
    """A session of the first tenant."""
    return NewSession(secrets.token_hex(6), secrets.token_bytes(32), 1, owner, 60.0)


@pytest.mark.parametrize("owner", ["key", "subject"], indirect=True)
async def test_sessions_that_are_opened_at_once_keep_the_bound(
    engine: Engine, connection: Connection, owner: KeyOwner | SubjectOwner
) -> None:
    """Each ends the one of its browser, looks at it meanwhile, and opens another."""
    opened = [new_session(owner) for _ in range(MOST_OF_OWNER)]
    for each in opened:
        await in_transaction(engine, partial(open_session, new=each))
    await connection.execute("UPDATE page_sessions SET last_used_at = last_used_at - interval '31 seconds'")

    async def open_another(number: int) -> None:
        async def unit(own: Connection) -> None:
            if number % 5 == 0:
                await end_session(own, opened[number].digest)
            await open_session(own, new_session(owner))

        await in_transaction(engine, unit)

    async def look() -> None:
        digests = [each.digest for each in opened]
        await in_transaction(engine, partial(find_sessions, digests=digests, idle_seconds=3600, issuer=SUBJECT.issuer))

    async with asyncio.TaskGroup() as tasks:
        for number in range(MOST_OF_OWNER):
            tasks.create_task(open_another(number))
            tasks.create_task(look())
    assert await connection.fetchval("SELECT count(*) FROM page_sessions") == MOST_OF_OWNER


@pytest.mark.parametrize("owner", ["key"], indirect=True)
async def test_a_session_that_is_being_noted_counts(
    engine: Engine, connection: Connection, owner: KeyOwner | SubjectOwner
) -> None:
    for _ in range(MOST_OF_OWNER):
        await in_transaction(engine, partial(open_session, new=new_session(owner)))
    async with connection.transaction():
        await connection.execute("UPDATE page_sessions SET last_used_at = now()")
        opening = asyncio.create_task(in_transaction(engine, partial(open_session, new=new_session(owner))))

        async def waits_or_is_done() -> bool:
            return opening.done() or bool(await connection.fetchval(WAITING))

        await eventually_async(waits_or_is_done, what="it waits for the row")
    await opening
    assert await connection.fetchval("SELECT count(*) FROM page_sessions") == MOST_OF_OWNER
