"""All cells of a job, read page by page: each once, of one moment, and no more at a time than is allowed."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from db import workers
from db.engine import Engine, connect, create_engine
from db.executions import PAGE_CELLS, PART_BYTES, Cells, Execution, ExecutionFilter, all_executions
from db.tenants import DEFAULT_TENANT_NO
from tests.support.job_seeds import Seeds, completed

EVERYTHING = ExecutionFilter()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def seeds(engine: Engine) -> Seeds:
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id="w", role="worker", pid=1, host="here")
    return Seeds(engine, registered.worker_no)


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def pages_of(cells: Cells) -> list[Sequence[Execution]]:
    pages = []
    while page := await cells.following():
        pages.append(page)
    return pages


async def test_every_cell_is_read_once(engine: Engine, seeds: Seeds) -> None:
    job = await seeds.submit(models=["a", "b", "c"], regions=["US", "EU"], questions=[f"{n}?" for n in range(100)])
    await seeds.plan()
    async with all_executions(engine, DEFAULT_TENANT_NO, job.id, EVERYTHING) as cells:
        pages = await pages_of(cells)
    assert [len(page) for page in pages] == [PAGE_CELLS] * (600 // PAGE_CELLS)
    keys = [cell.key for page in pages for cell in page]
    assert keys == sorted(set(keys))


async def test_a_page_holds_about_so_many_bytes(engine: Engine, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(questions=[f"{n}?" for n in range(60)])
    await seeds.plan()
    await rows.execute(
        """
        UPDATE executions
        SET status = 'completed', attempts = 1, started_at = now(), finished_at = now(), provider_used = 'echo',
            output = repeat('é', CASE WHEN question_no % 2 = 0 THEN $1::int ELSE 1 END)
        """,
        PART_BYTES // 8,
    )
    async with all_executions(engine, DEFAULT_TENANT_NO, job.id, EVERYTHING) as cells:
        pages = await pages_of(cells)
    sizes = [[len((cell.output or "").encode()) for cell in page] for page in pages]
    assert sum(map(len, sizes)) == 60
    assert all(sum(page[:-1]) < PART_BYTES for page in sizes)
    assert all(sum(page) >= PART_BYTES for page in sizes[:-1])


async def test_a_failure_that_says_much_counts_too(engine: Engine, seeds: Seeds, rows: Any) -> None:
    job = await seeds.submit(questions=["One?", "Two?", "Three?"])
    await seeds.plan()
    await rows.execute(
        """
        UPDATE executions
        SET status = 'failed', finished_at = now(), error_code = 'http_500', error_detail = repeat('x', $1::int)
        """,
        PART_BYTES,
    )
    async with all_executions(engine, DEFAULT_TENANT_NO, job.id, EVERYTHING) as cells:
        assert [len(page) for page in await pages_of(cells)] == [1, 1, 1]


async def test_cells_that_end_meanwhile_are_shown_as_they_were(engine: Engine, seeds: Seeds) -> None:
    job = await seeds.submit(models=["a", "b", "c"], questions=[f"{n}?" for n in range(100)])
    await seeds.plan()
    async with all_executions(engine, DEFAULT_TENANT_NO, job.id, EVERYTHING) as cells:
        first = await cells.following()
        await seeds.record(*(completed(batch) for batch in await seeds.claim()))
        rest = [cell for page in await pages_of(cells) for cell in page]
    assert {cell.status for cell in (*first, *rest)} == {"planned"}
    assert len(first) + len(rest) == 300
    async with all_executions(engine, DEFAULT_TENANT_NO, job.id, EVERYTHING) as cells:
        assert {cell.status for page in await pages_of(cells) for cell in page} == {"completed"}


async def test_filters_hold_on_every_page(engine: Engine, seeds: Seeds) -> None:
    job = await seeds.submit(models=["a", "b", "c", "d"], questions=[f"{n}?" for n in range(150)])
    await seeds.plan()
    await seeds.record(completed(*await seeds.claim(cells=1)))
    for wanted, expected in (
        (ExecutionFilter(status="completed"), 200),
        (ExecutionFilter(status="planned"), 400),
        (ExecutionFilter(model="b", status="completed"), 50),
        (ExecutionFilter(model="absent"), 0),
    ):
        async with all_executions(engine, DEFAULT_TENANT_NO, job.id, wanted) as cells:
            assert (wanted, sum(map(len, await pages_of(cells)))) == (wanted, expected)
