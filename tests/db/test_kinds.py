"""Kinds are rows that jobs refer to: entered once however many processes start, and never changed by a process."""

import asyncio

import asyncpg
import pytest

from db import cell_retrying
from db.engine import Engine, connect, in_transaction
from db.kinds import StoredKind, Unit, register
from tests.support.jobs import job_body, store_jobs

STARTS = 12


def kind(name: str, unit: Unit) -> StoredKind:
    return StoredKind(name, unit, cell_retrying.retry, cell_retrying.preview_retry)


async def kinds(engine: Engine) -> dict[str, str]:
    async with connect(engine) as connection:
        rows = await connection.fetch("SELECT kind, unit FROM kinds")
    return {row["kind"]: row["unit"] for row in rows}


async def test_a_kind_is_entered_once_by_processes_that_start_together(engine: Engine) -> None:
    export = kind("export", Unit.CELL)
    await asyncio.gather(*(in_transaction(engine, lambda c: register(c, [export])) for _ in range(STARTS)))
    assert await kinds(engine) == {"inference": "cell", "import": "batch", "export": "cell"}


async def test_a_known_kind_is_left_as_it_is(engine: Engine) -> None:
    await in_transaction(engine, lambda c: register(c, [kind("import", Unit.CELL)]))
    assert (await kinds(engine))["import"] == "batch"


async def test_a_job_of_an_unregistered_kind_is_refused(connection) -> None:
    await store_jobs(connection, [job_body()])
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="job_kind_is_known"):
        await connection.execute(
            """
            INSERT INTO jobs (tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
            VALUES (1, 'other', 'other', 'n', 'h', 0, 1, 1)
            """
        )


async def test_a_job_keeps_its_kind(connection) -> None:
    [job_no] = await store_jobs(connection, [job_body()])
    with pytest.raises(asyncpg.CheckViolationError, match="no job may change"):
        await connection.execute("UPDATE jobs SET kind = 'import' WHERE job_no = $1", job_no)


async def test_a_kind_that_jobs_are_of_stays(connection) -> None:
    await store_jobs(connection, [job_body()])
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute("DELETE FROM kinds WHERE kind = 'inference'")
