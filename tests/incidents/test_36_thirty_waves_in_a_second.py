"""Incident 36: thirty waves were dispatched in one second by paths that lacked the guard. One wave of a job runs."""

import pytest
from asyncpg import UniqueViolationError

from db.engine import create_engine
from tests.support.connections import publish_envelopes
from tests.support.erp_source import two_tables_body
from tests.support.import_bodies import store_import
from tests.support.import_steps import ImportSteps, plan_of
from tests.support.outcomes import all_ended


async def test_waves_run_one_after_the_other_whichever_worker_takes_their_batches(
    fleet, erp, connection, redis_url
) -> None:
    await erp.tables(["customer", "line"], 1_000)
    given = two_tables_body()
    given["policy"] = {"batch_size": 20, "batches_per_wave": 5}
    job_no = await store_import(connection, given)
    fleet.start(3)
    await publish_envelopes(redis_url, [job_no] * 20, source="fallback")
    await all_ended(connection)
    assert await connection.fetchval("SELECT count(*) FROM waves WHERE status = 'completed'") == 20
    overlapping = await connection.fetchval(
        """
        SELECT count(*)
        FROM batches AS later
        JOIN batches AS earlier ON earlier.job_no = later.job_no AND earlier.wave_no < later.wave_no
        WHERE later.started_at < earlier.finished_at
        """
    )
    assert overlapping == 0


async def test_the_database_refuses_a_second_active_wave(database_url, connection) -> None:
    engine = create_engine(database_url)
    job_no = await ImportSteps(engine).coordinate(plan_of([1], [1]))
    with pytest.raises(UniqueViolationError, match="unique_running_wave"):
        await connection.execute("UPDATE waves SET status = 'running' WHERE job_no = $1 AND wave_no = 2", job_no)
    await engine.dispose()
