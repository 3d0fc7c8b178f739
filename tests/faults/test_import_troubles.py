"""Imports that meet what nobody foresaw: the trouble stays theirs, it is named, and it has an end."""

from contextlib import AsyncExitStack

from tests.fleet import all_ended, connected, ring
from tests.import_fixtures import SCHEMA, erp
from tests.imports import csv_type, import_body, seed_import, table_type
from tests.waiting import eventually_async

__all__ = ["erp"]

HELD_LONGER_THAN_IT_MAY_COUNT = """
    SELECT i.heartbeat_at > j.started_at + interval '1.5 seconds'
    FROM imports AS i JOIN jobs AS j USING (job_no) WHERE j.job_no = $1 AND j.status = 'coordinating'
"""


def erp_type(table: str) -> dict:
    return {**table_type(table), "source": {"type": "sql", "connection": "erp", "table": f"{SCHEMA}.{table}"}}


async def job(connection, job_no: int) -> tuple[str, str | None, str | None]:
    row = await connection.fetchrow("SELECT status, error_code, error_detail FROM jobs WHERE job_no = $1", job_no)
    return tuple(row)


async def test_waiting_for_another_import_s_count_is_no_time_of_one_s_own(fleet, erp, connection, redis_url) -> None:
    slow = [f"slow_{number}" for number in range(4)]
    await erp.tables([*slow, "quick"], 10)
    async with AsyncExitStack() as locks:
        (locker,) = await locks.enter_async_context(connected(fleet.database_url))
        await locks.enter_async_context(locker.transaction())
        for table in slow:
            await locker.execute(f"LOCK TABLE {SCHEMA}.{table} IN ACCESS EXCLUSIVE MODE")
        first = await seed_import(connection, import_body(*map(erp_type, slow)))
        fleet.start(1)
        await ring(redis_url, [first])
        waiting = (
            f"SELECT count(*) = 4 FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE '{SCHEMA}.slow_%'"
        )
        await eventually_async(lambda: connection.fetchval(waiting))
        second = await seed_import(connection, import_body(erp_type("quick"), policy={"count_timeout_seconds": 1}))
        await ring(redis_url, [second])
        await eventually_async(lambda: connection.fetchval(HELD_LONGER_THAN_IT_MAY_COUNT, second))
    await all_ended(connection)
    assert await job(connection, first) == ("completed", None, None)
    assert await job(connection, second) == ("completed", None, None)


async def test_what_is_wrong_with_each_record_type_is_named_at_once(fleet, erp, connection, redis_url) -> None:
    (erp.data / "good.csv").write_text("id\n1\n")
    (erp.data / "wrong.csv").write_text("id\n1\n")
    missing = [csv_type(f"missing_{number}") for number in range(6)]
    given = import_body(csv_type("good"), csv_type("wrong", key=["idd"]), *missing)
    job_no = await seed_import(connection, given)
    fleet.start(1)
    await ring(redis_url, [job_no])
    await all_ended(connection)
    status, code, detail = await job(connection, job_no)
    assert (status, code) == ("failed", "unknown_column")
    assert detail is not None
    assert detail.startswith('wrong (file "wrong.csv"): The source has no column "idd"')
    assert 'missing_3 (file "missing_3.csv"): There is no file' in detail
    assert "missing_4" not in detail
    assert detail.endswith("and 2 more.")
