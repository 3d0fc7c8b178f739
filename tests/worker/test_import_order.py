"""An older and a newer import of one record type, as real workers run them: the newer one's rows stay."""

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from broker import notices
from broker.notices import Notice
from db import cancelling, retrying
from db.audit import audit_recent
from db.engine import Connection, create_engine, in_transaction
from db.kinds import RetryFilter
from db.tenants import DEFAULT_TENANT_NO
from domain.errors import ImportSuperseded
from tests.support.connections import broker_client, database_connections, publish_envelopes
from tests.support.erp_source import SCHEMA, Erp
from tests.support.import_bodies import csv_type, import_body, store_import, table_type
from tests.support.import_order import ACTOR
from tests.support.outcomes import all_ended
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

Rows = Mapping[int, str]
SLOW_TIMERS = {"LEASE_SECONDS": 60, "HEARTBEAT_SECONDS": 5, "RECONCILE_SECONDS": 60, "SHUTDOWN_SECONDS": 1}
NOTE_STEPS_BACK = """
CREATE TABLE steps_back AS SELECT record_key, generation AS before, generation AS after FROM imported_records LIMIT 0;
CREATE FUNCTION note_step_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO steps_back VALUES (OLD.record_key, OLD.generation, NEW.generation);
    RETURN NULL;
END
$$;
CREATE TRIGGER records_never_go_back AFTER UPDATE ON imported_records
FOR EACH ROW WHEN (NEW.generation < OLD.generation) EXECUTE FUNCTION note_step_back();
"""
LATE = 12
"""Batches of the older import that come late: more than a worker looks at would hide those of the newer one."""
JUDGE = """
SELECT n.key, n.value AS newer, o.value AS older, r.payload ->> 'v' AS found
FROM newer AS n
LEFT JOIN older AS o USING (key)
LEFT JOIN imported_records AS r ON r.record_key = n.key
WHERE r.payload ->> 'v' IS DISTINCT FROM n.value
LIMIT 5
"""


def write(path: Path, rows: Rows) -> None:
    """Write a file whole: a reader meanwhile sees the old file or the new one."""
    beside = path.with_suffix(".new")
    beside.write_text("id,v\n" + "".join(f"{key},{value}\n" for key, value in rows.items()))
    beside.rename(path)


async def submit(connection: Connection, redis_url: str, **policy: int) -> int:
    """Submit an import of the file as it is now."""
    job_no = await store_import(connection, import_body(csv_type("row"), policy=policy))
    await publish_envelopes(redis_url, [job_no])
    return job_no


async def submit_held(
    locks: tuple[Connection, Connection], connection: Connection, redis_url: str, late: list[int], **policy: int
) -> int:
    """Submit an import whose `late` batches no worker can claim until the second lock's transaction ends."""
    gate, locker = locks
    async with gate.transaction():  # no batch of an import is claimed meanwhile; it needs one import before this one
        await gate.execute("SELECT FROM pools WHERE provider = 'import' FOR UPDATE")
        job_no = await submit(connection, redis_url, **policy)
        await eventually_async(lambda: is_planned(connection, job_no), seconds=60)
        await locker.execute(
            "SELECT FROM batches WHERE job_no = $1 AND batch_no = ANY ($2::int[]) FOR NO KEY UPDATE", job_no, late
        )
    return job_no


async def ended_batches(connection: Connection, job_no: int, count: int) -> None:
    """Wait until so many batches of it have ended, or it has."""
    look = "SELECT completed + failed >= $2 OR finished_at IS NOT NULL FROM jobs WHERE job_no = $1"
    await eventually_async(lambda: connection.fetchval(look, job_no, count), seconds=90)


async def is_planned(connection: Connection, job_no: int) -> bool:
    return await connection.fetchval("SELECT planned_at IS NOT NULL FROM imports WHERE job_no = $1", job_no)


async def has_ended(connection: Connection, job_no: int) -> bool:
    return await connection.fetchval("SELECT finished_at IS NOT NULL FROM jobs WHERE job_no = $1", job_no)


async def differing(connection: Connection, newer: Rows, older: Rows) -> list[tuple[object, ...]]:
    """The rows that aren't as the newer file has them, by both files and what is in the database."""
    for name, rows in (("newer", newer), ("older", older)):
        await connection.execute(f"CREATE TEMP TABLE {name} (key text PRIMARY KEY, value text)")
        await connection.copy_records_to_table(name, records=[(str(key), value) for key, value in rows.items()])
        await connection.execute(f"ANALYZE {name}")
    return [tuple(row) for row in await connection.fetch(JUDGE)]


async def test_an_older_import_that_goes_on_after_a_newer_one_completed_overwrites_nothing(
    fleet, erp, connection, redis_url
) -> None:
    older, newer = (dict.fromkeys(range(1_500), value) for value in ("old", "new"))
    fleet.start(1)
    write(erp.data / "row.csv", {0: "base"})
    await submit(connection, redis_url)
    await all_ended(connection)
    write(erp.data / "row.csv", older)
    late = list(range(3, 11))
    async with database_connections(fleet.database_url, 2) as (gate, locker):
        async with locker.transaction():
            first = await submit_held((gate, locker), connection, redis_url, late, batch_size=150, max_concurrent=1)
            await ended_batches(connection, first, 1)
            write(erp.data / "row.csv", newer)
            second = await submit(connection, redis_url, batch_size=500)
            await eventually_async(lambda: has_ended(connection, second), seconds=30)
            assert not await has_ended(connection, first)
        await publish_envelopes(redis_url, [first])
        await all_ended(connection)
    assert await differing(connection, newer, older) == []
    counts = "SELECT sum(rows_superseded)::int FROM import_batches WHERE job_no = $1"
    assert await connection.fetchval(counts, first) >= 150 * len(late)
    assert await connection.fetchval(counts, second) == 0


async def test_an_import_begins_at_once_when_the_one_that_it_waits_for_is_cancelled_or_ends(
    fleet, erp, connection, redis_url
) -> None:
    """Timers of a minute, which no test waits for."""
    await erp.table("line", 20)
    source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.line"}
    fleet.start(2, **SLOW_TIMERS)
    async with database_connections(fleet.database_url) as (locker,):
        async with locker.transaction():
            await locker.execute(f"LOCK TABLE {SCHEMA}.line IN ACCESS EXCLUSIVE MODE")
            jobs = [
                await store_import(connection, import_body({**table_type("line"), "source": source})) for _ in "123"
            ]
            await publish_envelopes(redis_url, jobs)
            waits = "SELECT count(*) = 2 FROM imports WHERE waits_for_job_no IS NOT NULL"
            await eventually_async(lambda: connection.fetchval(waits))
            ((first,),) = await connection.fetch("SELECT job_no FROM jobs WHERE status = 'coordinating'")
            await cancel(fleet, connection, first)
            begun = "SELECT count(*) = 1 FROM jobs WHERE status = 'coordinating' AND job_no <> $1"
            await eventually_async(lambda: connection.fetchval(begun, first), seconds=8)
        await all_ended(connection, seconds=8)
    rows = await connection.fetch(
        """
        SELECT i.planned_at, j.finished_at
        FROM jobs AS j JOIN imports AS i USING (job_no) JOIN record_types USING (job_no)
        WHERE j.status = 'completed'
        ORDER BY generation
        """
    )
    earlier, later = rows
    assert later["planned_at"] > earlier["finished_at"]


async def cancel(fleet: Fleet, connection: Connection, job_no: int) -> None:
    """Cancel a job and say so, as the API does."""
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
    async with connection.transaction():
        await cancelling.cancel(connection, DEFAULT_TENANT_NO, job_id, ACTOR)
    async with broker_client(fleet.redis_url) as client:
        await notices.publish(client, Notice("cancelled", job_no))


@dataclass
class Rivals:
    """An older and a newer import, each with what it reads; `path` is where both read it."""

    fleet: Fleet
    connection: Connection
    path: Path
    rows_by_job: dict[int, Rows]

    async def retry_until_all_ended(self) -> None:
        """Retry what failed, with its own file in place, until each import completed or was superseded."""
        engine = create_engine(self.fleet.database_url, size=1)
        finished: set[int] = set()
        while True:
            await all_ended(self.connection, seconds=90)
            failed = await self.connection.fetch("SELECT job_no, id FROM jobs WHERE status = 'failed' ORDER BY job_no")
            open_jobs = [row for row in failed if row["job_no"] not in finished]
            if not open_jobs:
                break
            job = open_jobs[-1]
            write(self.path, self.rows_by_job[job["job_no"]])
            retry = partial(retrying.retry_job, tenant_no=DEFAULT_TENANT_NO, job_id=job["id"], wanted=RetryFilter())
            try:
                await in_transaction(engine, partial(retry, actor=ACTOR))
            except ImportSuperseded:
                finished.add(job["job_no"])
            await publish_envelopes(self.fleet.redis_url, [job["job_no"]], source="fallback")
        await engine.dispose()


@dataclass(frozen=True)
class Size:
    """How much is imported in what batches, and how often all workers are killed meanwhile."""

    rows: int
    batch_size: int
    kills: int

    @property
    def batches(self) -> int:
        return self.rows // self.batch_size


async def interleave(fleet: Fleet, erp: Erp, redis_url: str, seed: int, size: Size) -> None:
    """Let an older import go on while or after a newer one runs, and kill workers; compare every row.

    Of every second seed its late batches begin when the newer one is planned, of the others when that has ended.
    """
    dice = random.Random(seed)
    connection = erp.connection
    path = erp.data / "row.csv"
    base = {key: dice.choice("ab") for key in range(size.rows) if dice.random() < 0.8}
    older = {key: dice.choice("abc") for key in range(size.rows) if dice.random() < 0.9}
    newer = {key: dice.choice("abc") for key in range(size.rows + size.rows // 10) if dice.random() < 0.9}
    fleet.start(2)
    write(path, base)
    await submit(connection, redis_url, batch_size=size.batch_size)
    await all_ended(connection, seconds=60)
    await connection.execute(NOTE_STEPS_BACK)
    async with database_connections(fleet.database_url, 2) as (gate, locker):
        held = locker.transaction()
        await held.start()
        write(path, older)
        policy = {"batch_size": size.batch_size, "max_concurrent": dice.choice([1, 4])}
        late = dice.sample(range(1, size.batches), LATE)
        first = await submit_held((gate, locker), connection, redis_url, late, **policy)
        await ended_batches(connection, first, dice.randrange(size.batches // 4))
        write(path, newer)
        second = await submit(connection, redis_url, batch_size=size.batch_size, max_concurrent=dice.choice([1, 4, 10]))
        await eventually_async(lambda: is_planned(connection, second), seconds=60)  # its file is staged
        if seed % 2 == 0:
            await eventually_async(lambda: has_ended(connection, second), seconds=90)
        await held.rollback()
    await publish_envelopes(redis_url, [first])
    rivals = Rivals(fleet, connection, path, {first: older, second: newer})
    goals = sorted(dice.sample(range(size.batches), size.kills))
    await kill_now_and_then(rivals, dice, second if seed % 2 else first, goals)
    await rivals.retry_until_all_ended()
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", second) == "completed"
    assert await differing(connection, newer, older) == []
    assert await connection.fetch("SELECT * FROM steps_back") == []
    engine = create_engine(fleet.database_url, size=1)
    audits = await audit_recent(engine, DEFAULT_TENANT_NO)
    await engine.dispose()
    assert [audit.violations for audit in audits] == [[]] * 3


async def kill_now_and_then(rivals: Rivals, dice: random.Random, job_no: int, goals: list[int]) -> None:
    """Kill all workers once so many batches of an import have ended; now and then what was staged goes too.

    The file at hand is the newer one then: batches of the older one fail, to be retried.
    """
    for goal in goals:
        await ended_batches(rivals.connection, job_no, goal)
        for worker in rivals.fleet.workers:
            if worker.is_alive:
                worker.kill()
        if dice.random() < 0.5:
            shutil.rmtree(rivals.path.parent.parent / "state", ignore_errors=True)
        rivals.fleet.start(2)


@pytest.mark.parametrize("seed", [1, 2])
async def test_an_older_and_a_newer_import_interleaved_while_workers_are_killed(fleet, erp, redis_url, seed) -> None:
    await interleave(fleet, erp, redis_url, seed, Size(rows=1_500, batch_size=50, kills=1))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(20))
async def test_an_older_and_a_newer_import_of_60_000_rows_interleaved(fleet, erp, redis_url, seed) -> None:
    await interleave(fleet, erp, redis_url, seed, Size(rows=60_000, batch_size=500, kills=4))
