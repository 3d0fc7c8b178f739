"""Providers' answers: written once with a try, by several statements if they are large, and read within bounds."""

import pytest

from db import responses
from db.engine import Connection, Engine, in_transaction
from db.executions import RESPONSES_BYTES, read_execution
from db.responses import ResponseRow
from db.results import BatchReport
from db.tenants import DEFAULT_TENANT_NO
from tests.support.job_seeds import Seeded, Seeds, completed, retried


def answered(report: BatchReport, text: str, *, size: int = 10) -> BatchReport:
    """Let the only cell of a report have been answered this."""
    batch = report.batch
    attempt_no = batch.attempts[0] + 1
    report.responses.append(ResponseRow(batch.job_no, 0, 0, 0, attempt_no, size, f'{{"text": "{text}"}}'))
    return report


async def run(seeds: Seeds, *sizes: int) -> Seeded:
    """A job of one cell with a try per size; all but the last are repeated."""
    job = await seeds.submit(policy={"max_attempts": 10})
    await seeds.plan()
    for number, size in enumerate(sizes, 1):
        [batch] = await seeds.claim()
        report = completed(batch) if number == len(sizes) else retried(batch)
        await seeds.record(answered(report, f"answer {number}", size=size))
    return job


async def test_each_try_has_its_answer(seeds: Seeds, engine: Engine) -> None:
    job = await run(seeds, 10, 10, 10)
    _, tries = await read_execution(engine, DEFAULT_TENANT_NO, f"{job.job_no}-0-0-0")
    assert [attempt.response for attempt in tries] == [{"text": f"answer {number}"} for number in (1, 2, 3)]
    assert [attempt.ended_cell for attempt in tries] == [False, False, True]


async def test_of_very_much_the_newest_is_read_and_of_the_rest_how_much_it_is(seeds: Seeds, engine: Engine) -> None:
    half = RESPONSES_BYTES // 2
    job = await run(seeds, half + 1, half, half, 10)
    _, tries = await read_execution(engine, DEFAULT_TENANT_NO, f"{job.job_no}-0-0-0")
    assert [attempt.response for attempt in tries] == [
        {"truncated": True, "bytes": half + 1, "text": ""},
        {"text": "answer 2"},
        {"text": "answer 3"},
        {"text": "answer 4"},
    ]


async def test_a_flush_that_is_repeated_changes_nothing(seeds: Seeds, engine: Engine, connection: Connection) -> None:
    job = await run(seeds, 10)
    row = ResponseRow(job.job_no, 0, 0, 0, 1, 99, '{"text": "again"}')
    await in_transaction(engine, lambda c: responses.keep_responses(c, [row]))
    assert [tuple(row) for row in await connection.fetch("SELECT bytes, body FROM responses")] == [
        (10, {"text": "answer 1"})
    ]


async def test_a_stale_worker_leaves_no_answer(seeds: Seeds, connection: Connection) -> None:
    await seeds.submit()
    await seeds.plan()
    [batch] = await seeds.claim()
    batch.fence -= 1
    assert (await seeds.record(answered(completed(batch), "stale"))).stale
    assert await connection.fetchval("SELECT count(*) FROM responses") == 0


async def test_more_than_a_statement_carries_is_written_in_several(
    seeds: Seeds, engine: Engine, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "STATEMENT_BYTES", 30)
    rows = [ResponseRow(1, 0, 0, number, 1, 10, f'{{"text": "{number}"}}') for number in range(7)]
    await in_transaction(engine, lambda c: responses.keep_responses(c, rows))
    kept = await connection.fetch("SELECT question_no, body FROM responses ORDER BY 1")
    assert [tuple(row) for row in kept] == [(number, {"text": str(number)}) for number in range(7)]


async def test_no_answer_costs_no_statement(seeds: Seeds, engine: Engine, connection: Connection) -> None:
    """`echo` is never answered in JSON: its flushes carry nothing for this table."""

    async def statements(c: Connection) -> list[str]:
        heard: list[str] = []
        with c.query_logger(lambda record: heard.append(record.query)):
            await responses.keep_responses(c, [])
        return heard

    assert await in_transaction(engine, statements) == []
