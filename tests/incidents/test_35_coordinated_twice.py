"""Incident 35: a second coordination 87 s after the first broke a key, the job failed, and no lines were stored.

Here the COUNT is held (scaled), a timer triggers again and again, people press too, and a second worker comes along.
"""

from tests.faults.test_import_coordination import assert_imported_once, body, fence, held, ledger
from tests.fleet import all_ended, ring, tallied
from tests.import_fixtures import erp
from tests.imports import seed_import
from tests.waiting import eventually_async

__all__ = ["erp"]


async def test_a_second_coordination_at_any_moment_finds_the_same_waves(fleet, erp, connection, redis_url) -> None:
    await erp.tables(["customer", "line"], 600)
    job_no = await seed_import(connection, body())
    async with held(fleet.database_url, "line"):
        fleet.start(2)
        await ring(redis_url, [job_no])
        await eventually_async(lambda: fence(connection, job_no))
        for _ in range(10):
            await ring(redis_url, [job_no, job_no], source="fallback")
            await connection.execute("SELECT pg_sleep(0.2)")
    await all_ended(connection)
    await ring(redis_url, [job_no], source="fallback")
    await assert_imported_once(connection, job_no)

    async def all_told() -> bool:
        return len(await ledger(connection, job_no)) == 22

    await eventually_async(all_told)
    found = await ledger(connection, job_no)
    assert found.count(("initial", "won")) == 1
    assert found.count(("fallback", "joined")) == 21
    assert await tallied(connection, "breakwater_coordination", source="fallback", outcome="joined") == 21
