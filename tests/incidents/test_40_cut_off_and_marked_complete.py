"""Incident 40: at the service's cap of 99,000 rows a type was marked complete. What can't be read makes it partial."""

from db.engine import create_engine
from tests.imports import Imports, plan_of


async def test_what_can_not_be_read_makes_the_job_partial_with_the_numbers(database_url, connection) -> None:
    engine = create_engine(database_url)
    ledger = Imports(engine)
    told = "The service shows 99000 of 120000 rows."
    job_no = await ledger.coordinate(plan_of([3], [1], detail=told))
    await ledger.run_all()
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "partial"
    details = await connection.fetch("SELECT DISTINCT detail FROM record_types WHERE job_no = $1", job_no)
    assert [row["detail"] for row in details] == [told]
    await engine.dispose()
