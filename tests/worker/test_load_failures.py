"""Loading while the database fails: a database that is slow or in the way costs time, and what fails fails alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
from structlog.testing import LogCapture

from db.engine import create_engine
from db.import_reports import ImportReport
from db.import_results import ImportRecorded
from domain.import_spec import ImportPolicy
from sources.errors import SourceUnavailable
from tests.support.import_steps import WORKER_NO, ImportSteps, plan_of, read
from tests.support.waiting import eventually_async
from tests.support.worker_contexts import worker_context
from worker.imports import batch_ends
from worker.imports.loader import Loader


@dataclass
class Loading:
    """A loader at work, and what it said and did."""

    loader: Loader
    ledger: ImportSteps
    logs: LogCapture
    recorded: list[ImportRecorded] = field(default_factory=list)

    async def ended(self, count: int) -> list[ImportReport]:
        """Wait until so many batches are ended; return them in that order."""

        async def look() -> list[ImportReport] | None:
            ended = [item for recorded in self.recorded for item in recorded.written]
            return ended if len(ended) >= count else None

        found = await eventually_async(look, seconds=20, what=f"{count} ended")
        assert found is not None
        return found


@pytest.fixture
async def loading(database_url: str) -> AsyncIterator[Callable[..., Loading]]:
    """Make a loader whose statements may take so long, on its own database."""
    engines = []

    def make(*, command_seconds: float = 60) -> Loading:
        engine = create_engine(database_url, size=4, pinned_plans=True, command_seconds=command_seconds)
        engines.append(engine)
        logs = LogCapture()
        log = structlog.wrap_logger(None, processors=[logs])
        recorded: list[ImportRecorded] = []
        loader = Loader(worker_context(engine, worker_no=WORKER_NO, log=log), recorded.append)
        made = Loading(loader, ImportSteps(create_engine(database_url, size=2)), logs, recorded)
        engines.append(made.ledger.engine)
        return made

    yield make
    for engine in engines:
        await engine.dispose()


async def test_jobs_that_load_the_same_rows_at_once_load_them_one_after_the_other(loading, connection) -> None:
    made = loading()
    await made.ledger.coordinate(plan_of([1], rows=1))
    await made.ledger.run_all()
    jobs = [await made.ledger.coordinate(plan_of([1], rows=1)) for _ in range(3)]
    for claim in await made.ledger.claim():
        made.loader.submit(read(*claim, payload=f'{{"job":{claim[0].job_no}}}'))
    async with working(made):
        await made.ended(3)
    counts = await connection.fetch(
        """
        SELECT rows_updated, rows_superseded, rows_unchanged FROM import_batches WHERE job_no = ANY($1) ORDER BY job_no
        """,
        jobs,
    )
    assert tuple(counts[-1]) == (1, 0, 0)  # the newest, whatever the order of the loads
    assert {tuple(row) for row in counts[:-1]} <= {(1, 0, 0), (0, 1, 0)}
    assert await connection.fetchval("SELECT payload ->> 'job' FROM imported_records") == str(jobs[-1])


async def test_a_load_that_outlasts_a_statement_is_repeated_batch_by_batch(loading, connection) -> None:
    made = loading(command_seconds=1)
    await slow_down(connection, seconds=0.02)
    job_no = await made.ledger.coordinate(plan_of([4], rows=25))
    for claim in await made.ledger.claim():
        made.loader.submit(read(*claim))
    async with working(made):
        ended = await made.ended(4)
    assert [(report.status, report.inserted, report.error_code) for report in ended] == [("completed", 25, None)] * 4
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "completed"


async def test_a_batch_that_outlasts_a_statement_alone_has_used_up_a_try(loading, connection) -> None:
    made = loading(command_seconds=0.5)
    await slow_down(connection, seconds=1)
    await made.ledger.coordinate(plan_of([2], rows=1))
    for tries, claim in enumerate(await made.ledger.claim(), 1):
        report = read(*claim)
        report.max_attempts = tries
        made.loader.submit(report)
    async with working(made):
        ended = await made.ended(2)
    assert {(report.max_attempts, report.status, report.error_code) for report in ended} == {
        (1, "failed", "load_timeout"),
        (2, "pending", "load_timeout"),
    }


async def test_a_load_that_outlasts_the_limit_of_the_server_itself_is_repeated_batch_by_batch(
    loading, connection
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET statement_timeout = '1s'")
    made = loading()
    await slow_down(connection, seconds=0.02)
    await made.ledger.coordinate(plan_of([4], rows=25))
    for claim in await made.ledger.claim():
        made.loader.submit(read(*claim))
    async with working(made):
        ended = await made.ended(4)
    assert [(report.status, report.inserted) for report in ended] == [("completed", 25)] * 4


async def test_a_batch_that_only_waits_for_its_source_fails_for_no_slow_database(loading, connection) -> None:
    made = loading(command_seconds=0.5)
    job_no = await made.ledger.coordinate(plan_of([1], rows=1))
    [claim] = await made.ledger.claim()
    made.loader.submit(batch_ends.report_unread(*claim, SourceUnavailable("It is away."), policy=ImportPolicy()))
    async with connection.transaction():
        await connection.execute("SELECT FROM batches WHERE job_no = $1 FOR UPDATE", job_no)
        loader = asyncio.create_task(made.loader.run())
        await eventually_async(lambda: said(made, "load_delayed"), what="it outlasted a statement")
    [ended] = await made.ended(1)
    loader.cancel()
    assert (ended.status, ended.error_code) == ("pending", "source_unavailable")


@pytest.mark.parametrize("code", ["55P03", "25P04", "0A000", "42501"])
async def test_a_load_that_the_database_refuses_for_now_is_rescheduled_and_fails_nothing(
    loading, connection, code: str
) -> None:
    made = loading()
    await refuse(connection, code)
    await made.ledger.coordinate(plan_of([1], rows=1))
    [claim] = await made.ledger.claim()
    made.loader.submit(read(*claim))
    async with working(made):
        await eventually_async(lambda: said(made, "load_delayed"), what="it is delayed")
        await connection.execute("DROP TRIGGER refuse ON imported_records")
        [ended] = await made.ended(1)
    assert (ended.status, ended.inserted) == ("completed", 1)


@pytest.mark.parametrize("code", ["22P02", "23514", "54000"])
async def test_rows_that_the_database_never_takes_fail_their_batch(loading, connection, code: str) -> None:
    made = loading()
    await refuse(connection, code)
    await made.ledger.coordinate(plan_of([1], rows=1))
    [claim] = await made.ledger.claim()
    made.loader.submit(read(*claim))
    async with working(made):
        [ended] = await made.ended(1)
    assert (ended.status, ended.error_code) == ("failed", "rows_refused")


@asynccontextmanager
async def working(made: Loading) -> AsyncIterator[None]:
    """Let a loader run for the length of a block."""
    task = asyncio.create_task(made.loader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def said(made: Loading, event: str) -> bool:
    return any(line["event"] == event for line in made.logs.entries)


async def slow_down(connection, *, seconds: float) -> None:
    """Let the database take so long for each new row."""
    await trigger(connection, "slow_down", f"PERFORM pg_sleep({seconds}); RETURN NEW;")


async def refuse(connection, code: str) -> None:
    """Let the database refuse new rows with this code."""
    await trigger(connection, "refuse", f"RAISE EXCEPTION USING ERRCODE = '{code}';")


async def trigger(connection, name: str, does: str) -> None:
    await connection.execute(
        f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does} END $$;
        CREATE TRIGGER {name} BEFORE INSERT ON imported_records FOR EACH ROW EXECUTE FUNCTION {name}()
        """
    )
