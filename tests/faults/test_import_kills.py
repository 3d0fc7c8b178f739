"""Imports of many record types while workers are killed at random: waves in order, batches that partition the rows."""

import random

import pytest

from db.engine import Connection
from tests.support.connections import publish_envelopes
from tests.support.erp_source import SCHEMA, Erp
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.outcomes import all_ended
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

BATCH_ROWS = 10
BATCHES = 34
KILLS = 8
LEVELS = (3, 3, 2, 2, 2)


def graph(dice: random.Random) -> list[dict]:
    """Twelve record types on five levels; each above the lowest depends on one right below it, and maybe on others."""
    types: list[dict] = []
    below: list[str] = []
    lower: list[str] = []
    for level, count in enumerate(LEVELS):
        names = [f"t{level}_{n}" for n in range(count)]
        for name in names:
            depends_on = (
                [dice.choice(below), *dice.sample(lower, k=min(len(lower), dice.randrange(3)))] if below else []
            )
            source = {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.{name}"}
            types.append({**table_type(name, depends_on=sorted(set(depends_on))), "source": source})
        lower += below
        below = names
    dice.shuffle(types)
    return types


async def run(fleet: Fleet, erp: Erp, connection: Connection, redis_url: str, seed: int) -> None:
    dice = random.Random(seed)
    types = graph(dice)
    await erp.tables([record_type["id"] for record_type in types], BATCH_ROWS * BATCHES)
    policy = {"batch_size": BATCH_ROWS, "batches_per_wave": 25}
    job_no = await store_import(connection, import_body(*types, policy=policy))
    fleet.start(4)
    await publish_envelopes(redis_url, [job_no])
    await kill_now_and_then(fleet, connection, dice, job_no)
    await all_ended(connection, seconds=100)
    await assert_sound(connection, job_no)


async def kill_now_and_then(fleet: Fleet, connection: Connection, dice: random.Random, job_no: int) -> None:
    """Kill a worker and start another each time so many more batches have ended; how many is what is random here."""
    for goal in sorted(dice.sample(range(12 * BATCHES), KILLS)):

        async def is_reached(goal: int = goal) -> bool:
            return await connection.fetchval("SELECT completed >= $2 FROM jobs WHERE job_no = $1", job_no, goal)

        await eventually_async(is_reached, seconds=60)
        victim = dice.choice([worker for worker in fleet.workers if worker.is_alive])
        victim.kill()
        fleet.spawn()


async def assert_sound(connection: Connection, job_no: int) -> None:
    """Recount by SQL: waves contiguous and unique, none before its time, batches a partition, every row as it is."""
    job = await connection.fetchrow("SELECT status, planned, completed, failed FROM jobs WHERE job_no = $1", job_no)
    assert tuple(job) == ("completed", 12 * BATCHES, 12 * BATCHES, 0)
    waves = await connection.fetch("SELECT * FROM waves WHERE job_no = $1 ORDER BY wave_no", job_no)
    assert [wave["wave_no"] for wave in waves] == list(range(1, len(waves) + 1))
    assert {wave["status"] for wave in waves} == {"completed"}
    early = await connection.fetchval(
        """
        SELECT count(*)
        FROM batches AS later
        JOIN waves AS earlier ON earlier.job_no = later.job_no AND earlier.wave_no < later.wave_no
        WHERE later.job_no = $1 AND later.started_at < earlier.finished_at
        """,
        job_no,
    )
    assert early == 0
    types = await connection.fetch(
        """
        SELECT r.id, r.record_set_no, sum(b.rows_read) AS read, sum(b.rows_inserted) AS inserted
        FROM record_types AS r JOIN import_batches AS b USING (job_no, record_type_no)
        WHERE r.job_no = $1 GROUP BY r.id, r.record_set_no
        """,
        job_no,
    )
    assert len(types) == 12
    for record_type in types:
        assert (record_type["read"], record_type["inserted"]) == (BATCH_ROWS * BATCHES, BATCH_ROWS * BATCHES)
        differing = await connection.fetchval(
            f"""
            SELECT count(*)
            FROM {SCHEMA}.{record_type["id"]} AS s
            FULL JOIN (SELECT * FROM imported_records WHERE record_set_no = $1) AS r ON r.record_key = s.id::text
            WHERE s.id IS NULL OR r.record_key IS NULL OR r.payload ->> 'name' <> s.name
            """,
            record_type["record_set_no"],
        )
        assert differing == 0


async def test_an_import_of_twelve_record_types_while_workers_are_killed(fleet, erp, connection, redis_url) -> None:
    await run(fleet, erp, connection, redis_url, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 21))
async def test_twenty_more_random_kills_lose_and_repeat_nothing(fleet, erp, connection, redis_url, seed) -> None:
    await run(fleet, erp, connection, redis_url, seed)
