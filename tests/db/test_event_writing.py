"""Events are written in one way, whichever statement does it, and only those of types that are known."""

import re

import asyncpg
import pytest

from db.engine import STATEMENTS
from domain.events import EVENT_TYPES

STATEMENT_BY_NAME = {path.stem: path.read_text() for path in STATEMENTS.glob("*.sql")}
WRITING = sorted(name for name, text in STATEMENT_BY_NAME.items() if "last_event_no + " in text)


@pytest.mark.parametrize("name", WRITING)
def test_a_statement_that_gives_a_job_its_next_event_number_writes_that_event(name: str) -> None:
    text = STATEMENT_BY_NAME[name]
    assert len(re.findall(r"write_events?\(", text)) == text.count("last_event_no + ") == 1


def test_no_statement_writes_events_by_itself() -> None:
    assert [name for name, text in STATEMENT_BY_NAME.items() if "INTO events" in text] == []
    assert len(WRITING) > 10


async def test_the_database_knows_the_types_that_the_api_describes(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT type FROM event_types")
    assert {row["type"] for row in rows} == EVENT_TYPES.keys()


async def test_an_event_of_an_unknown_type_is_refused(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await connection.execute("SELECT write_event(1, 1, 'progresed', 'a test', '{}')")
    assert refused.value.constraint_name == "event_type_is_known"


async def test_no_event_of_a_set_is_written_with_an_unknown_type(connection: asyncpg.Connection) -> None:
    types = ["progressed", "progresed", "ended"]
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="no event type ended, progresed"):
        await connection.execute(
            "SELECT write_events('{1,2,3}', '{1,1,1}', $1, '{a,a,a}', ARRAY['{}', '{}', '{}']::json[])", types
        )
    assert await connection.fetchval("SELECT count(*) FROM events") == 0


async def test_a_writer_waits_for_the_disk_though_its_session_does_not(connection: asyncpg.Connection) -> None:
    await connection.execute("SET synchronous_commit = off")
    async with connection.transaction():
        await connection.execute("SELECT write_event(1, 1, 'progressed', 'a test', '{}')")
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
    assert await connection.fetchval("SHOW synchronous_commit") == "off"
