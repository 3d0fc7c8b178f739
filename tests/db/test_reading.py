"""Reads meet a database that goes and comes back, or a pool that is empty, with an error that says so."""

import asyncio

import pytest

from db.engine import UNAVAILABLE, connect, create_engine
from db.job_filters import JobFilter
from db.jobs import JobPage, find_job, list_jobs
from db.reading import snapshot
from domain.errors import NotFound
from tests.support.engines import OwnEngines


async def listed(engine: object) -> JobPage:
    return await list_jobs(engine, 1, JobFilter(), before=None, limit=5)  # type: ignore[arg-type]


async def test_reads_go_on_once_the_database_is_back(own_engines: OwnEngines) -> None:
    engine = create_engine(own_engines.database_url, size=2)
    for _ in range(2):
        assert (await listed(engine)).facts == []
    own_engines.postgres.kill_immediate()
    for _ in range(2):
        with pytest.raises(UNAVAILABLE):
            await listed(engine)
        with pytest.raises(UNAVAILABLE):
            await find_job(engine, 1, "a")
    own_engines.postgres.start()
    assert (await listed(engine)).facts == []
    with pytest.raises(NotFound):
        await find_job(engine, 1, "a")
    await engine.dispose()


async def test_a_restart_between_two_reads_goes_unnoticed(own_engines: OwnEngines) -> None:
    engine = create_engine(own_engines.database_url, size=2)
    await listed(engine)
    await asyncio.to_thread(own_engines.postgres.kill_immediate)
    await asyncio.to_thread(own_engines.postgres.start)
    assert (await listed(engine)).facts == []
    await engine.dispose()


async def test_an_empty_pool_says_that_nothing_is_to_be_had(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(database_url, size=1)
    monkeypatch.setattr(engine.sync_engine.pool, "_timeout", 0.05)
    async with connect(engine):
        with pytest.raises(UNAVAILABLE):
            await listed(engine)
    assert (await listed(engine)).facts == []
    await engine.dispose()


async def test_a_snapshot_sees_one_moment_and_writes_nothing(database_url: str) -> None:
    engine = create_engine(database_url, size=2)
    async with snapshot(engine) as reading:
        before = await reading.fetchval("SELECT count(*) FROM tenants")
        async with connect(engine) as writing:
            await writing.execute("INSERT INTO tenants (name) VALUES ('other')")
        assert await reading.fetchval("SELECT count(*) FROM tenants") == before
        assert await reading.fetchval("SHOW transaction_read_only") == "on"
    await engine.dispose()
