"""Migrating while others use the tables: nobody queues behind a migration, and what ends it half-way is made good."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import migrate
from db.engine import Connection
from db.migration_blockers import MigrationBlocked
from db.schema import brought_revision, read_schema
from tests.support.connections import database_connections
from tests.support.jobs import job_body
from tests.support.processes import Ended, fork, run_command
from tests.support.releases import Release
from tests.support.waiting import eventually_async

INDEX = "unique_event_position"
LONGEST_SECONDS = migrate.LOCK_SECONDS + 1.5
"""For a request of several transactions: it may wait for one try of a migration, and ends before the next."""
TRIES = """
SELECT waitstart FROM pg_locks
WHERE relation = $1::regclass AND mode = 'AccessExclusiveLock' AND NOT granted AND waitstart IS NOT NULL
"""
BUILD_WAITS = """
SELECT FROM pg_locks WHERE relation = 'events'::regclass AND mode = 'ShareUpdateExclusiveLock' AND NOT granted
"""
INDEX_STATE = "SELECT indexrelid AS oid, indisvalid AS is_valid FROM pg_index WHERE indexrelid = to_regclass($1)"
BUILDERS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%CREATE UNIQUE INDEX CONCURRENTLY%' AND wait_event = 'virtualxid'
"""


@dataclass
class Poster:
    """Posts one job after the other, and keeps how long the slowest answer took."""

    client: httpx2.AsyncClient
    answered: int = 0
    longest_seconds: float = 0.0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            answer = await self.client.post("/jobs", json=job_body(name=f"job {self.answered}"))
            assert answer.status_code == 202, answer.text
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            self.answered += 1


def variables(database_url: str, redis_url: str) -> Mapping[str, str]:
    return {"BREAKWATER_DATABASE_URL": database_url, "BREAKWATER_REDIS_URL": redis_url}


async def index_state(connection: Connection) -> asyncpg.Record | None:
    return await connection.fetchrow(INDEX_STATE, INDEX)


async def test_while_a_reader_keeps_a_table_a_migration_tries_again_and_requests_are_answered(
    previous: Release, previous_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    stores = {"database_url": previous_database_url, "redis_url": redis_url}
    tries: set[datetime] = set()
    with previous.running("api", tmp_path / "api.log", **stores) as api:
        async with (
            database_connections(previous_database_url, 2) as (reader, looker),
            httpx2.AsyncClient(base_url=api.url, timeout=30) as client,
        ):
            await eventually_async(lambda: is_ready(client), seconds=60, what="the API is ready")
            reading = reader.transaction()
            await reading.start()
            await reader.execute("LOCK TABLE jobs IN ACCESS SHARE MODE")  # as a query of an hour does
            poster = Poster(client)
            posting = asyncio.create_task(poster.run())
            migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, previous_database_url))

            async def tried(wanted: int) -> bool:
                assert not posting.done(), posting
                tries.update(row["waitstart"] for row in await looker.fetch(TRIES, "jobs"))
                return len(tries) >= wanted

            await eventually_async(lambda: tried(2), seconds=30, what="a second try")
            answered = poster.answered
            await eventually_async(lambda: tried(3), seconds=30, what="a third try")
            assert poster.answered > answered
            await reading.rollback()
            await asyncio.wait_for(migrating, 30)
            poster.stopping.set()
            await posting
            assert (await read_schema(looker)).revision == brought_revision()
    assert poster.longest_seconds < LONGEST_SECONDS


async def is_ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def test_a_reader_that_never_leaves_a_table_is_named_and_the_schema_stays(
    previous_database_url: str, redis_url: str
) -> None:
    async def migrated(*arguments: str) -> Ended:
        environment = variables(previous_database_url, redis_url)
        return await asyncio.to_thread(run_command, "migrate", *arguments, environment=environment)

    async with database_connections(previous_database_url, application_name="report") as (reader,):
        before = await read_schema(reader)
        async with reader.transaction():
            await reader.execute("LOCK TABLE events IN ACCESS SHARE MODE")
            ended = await migrated("--wait-seconds", "1")
            assert (await read_schema(reader)) == before
        named = f"process {reader.get_server_pid()} (report of "
        assert ended.returncode == 1
        [logged] = [line for line in ended.stdout.splitlines() if "migration_blocked" in line]
        assert json.loads(logged)["by"][0].startswith(named)
        [error] = ended.stderr.splitlines()
        assert "can't be migrated now: migration 0011 waited " in error
        assert named in error
        assert (
            f"Let these transactions end, or end them (SELECT pg_terminate_backend({reader.get_server_pid()}))" in error
        )
        assert (await migrated()).returncode == 0
        assert (await read_schema(reader)).revision == brought_revision()


async def test_a_transaction_for_which_an_index_waits_keeps_nobody_from_the_table_and_is_named(
    previous_database_url: str,
) -> None:
    async with database_connections(previous_database_url, 2, application_name="dump") as (dump, writer):
        async with dump.transaction(isolation="repeatable_read"):
            await dump.fetchval("SELECT count(*) FROM alembic_version")
            migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, previous_database_url, wait_seconds=2.0))
            await eventually_async(lambda: writer.fetch(BUILDERS), seconds=30, what="the build waits for the dump")
            async with writer.transaction():
                await writer.execute("SET LOCAL lock_timeout = '1s'; LOCK TABLE events IN ROW EXCLUSIVE MODE")
            with pytest.raises(MigrationBlocked) as raised:
                await migrating
            assert raised.value.revision == "0012"
            assert [blocker.pid for blocker in raised.value.blockers] == [dump.get_server_pid()]
            assert (await read_schema(writer)).revision == "0011"
        await asyncio.to_thread(migrate.upgrade, previous_database_url)
        state = await index_state(writer)
        assert state is not None
        assert state["is_valid"]


@pytest.mark.parametrize("server_goes_on", [False, True], ids=["the build ends with it", "the server builds on"])
async def test_a_migration_that_is_killed_while_it_builds_an_index_is_followed_by_one_that_ends_with_a_valid_index(
    previous_database_url: str, redis_url: str, tmp_path: Path, *, server_goes_on: bool
) -> None:
    async with database_connections(previous_database_url, 2) as (dump, looker):
        dumping = dump.transaction(isolation="repeatable_read")
        await dumping.start()
        await dump.fetchval("SELECT count(*) FROM alembic_version")
        first = fork("migrate", variables(previous_database_url, redis_url), tmp_path / "first.log")
        [builder] = await eventually_async(lambda: looker.fetch(BUILDERS), seconds=30, what="it builds the index")
        first.kill()
        await asyncio.to_thread(first.join)
        if not server_goes_on:
            await looker.execute("SELECT pg_terminate_backend($1, 10000)", builder["pid"])
        left = await index_state(looker)
        assert left is not None
        assert not left["is_valid"]
        second = asyncio.create_task(asyncio.to_thread(migrate.upgrade, previous_database_url))
        await eventually_async(lambda: builds_anew(looker, builder["pid"]), seconds=30, what="the second builds it")
        await dumping.rollback()
        await asyncio.wait_for(second, 60)
        state = await index_state(looker)
        assert state is not None
        assert state["is_valid"]
        assert (await read_schema(looker)).revision == brought_revision()
        assert state["oid"] != left["oid"]


async def test_an_index_that_an_operator_builds_by_hand_is_waited_for_and_kept(previous_database_url: str) -> None:
    await migrated_once(previous_database_url)
    async with (
        database_connections(previous_database_url, 2, application_name="dump") as (dump, looker),
        database_connections(previous_database_url, application_name="operator") as (operator,),
    ):
        dumping = dump.transaction(isolation="repeatable_read")
        await dumping.start()
        await dump.fetchval("SELECT count(*) FROM alembic_version")
        building = asyncio.create_task(operator.execute(index_script().read_text()))
        await eventually_async(lambda: looker.fetch(BUILDERS), seconds=30, what="the operator's build waits for it")
        with pytest.raises(MigrationBlocked) as raised:
            await asyncio.to_thread(migrate.upgrade, previous_database_url, wait_seconds=2.0)
        assert [blocker.session for blocker in raised.value.blockers] == ["operator"]
        assert not building.done()
        begun = await index_state(looker)
        assert begun is not None
        migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, previous_database_url))
        await eventually_async(lambda: looker.fetch(BUILD_WAITS), seconds=30, what="a migration waits for that build")
        await dumping.rollback()
        await asyncio.wait_for(building, 60)
        await asyncio.wait_for(migrating, 60)
        state = await index_state(looker)
        assert state is not None
        assert (state["oid"], state["is_valid"]) == (begun["oid"], True)
        assert (await read_schema(looker)).revision == brought_revision()


async def migrated_once(database_url: str) -> None:
    """Run the first migration that the database lacks."""
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    await migrate._advance(engine)
    await engine.dispose()


def index_script() -> Path:
    """The file that builds the index."""
    return Path(migrate.migration_scripts().get_revision("0012").path).with_suffix(".sql")


async def builds_anew(connection: Connection, former: int) -> bool:
    pids = [row["pid"] for row in await connection.fetch(BUILDERS)]
    return len(pids) == 1 and former not in pids
