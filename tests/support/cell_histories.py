"""Cells with random histories, written step by step as workers and people leave them, and what each should show."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.support.job_seeds import Seeded, Seeds

QUESTIONS = [f"Question {n}?" for n in range(60)]
KEY = "job_no = $1 AND region_no = $2 AND model_no = $3 AND question_no = $4"
REPEAT = f"""
WITH counted AS (
    UPDATE executions SET attempts = attempts + 1, not_before = now() + interval '1 hour' WHERE {KEY} RETURNING attempts
)
INSERT INTO attempts (
    job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used,
    error_code, error_detail, status, error_retryable, region_served
)
SELECT $1, $2, $3, $4, attempts, now(), now(), $5, $6, 'Again.', 'failed', true, NULL FROM counted
"""
END = f"""
UPDATE executions
SET status = $5, attempts = attempts + 1, started_at = now(), finished_at = now(), provider_used = $6,
    region_served = $7, error_code = $8, error_detail = $8, error_retryable = $9, output = $10
WHERE {KEY}
"""
MARK = f"UPDATE executions SET status = 'running', started_at = now() WHERE {KEY}"
GIVE_UP = f"""
UPDATE executions
SET status = 'failed', finished_at = now(), error_code = $5, error_detail = 'Nobody ran it.', error_retryable = false
WHERE {KEY}
"""
CANCEL = f"UPDATE executions SET status = 'cancelled', finished_at = now() WHERE {KEY}"
KEEP_LAST_TRY = f"""
INSERT INTO attempts (
    job_no, region_no, model_no, question_no, attempt_no, started_at, finished_at, provider_used,
    error_code, error_detail, status, error_retryable, region_served
)
SELECT
    job_no, region_no, model_no, question_no, attempts, started_at, finished_at, provider_used,
    error_code, error_detail, status, error_retryable, region_served
FROM executions
WHERE {KEY} AND attempts > (SELECT count(*) FROM attempts WHERE {KEY})
"""
RETRY = f"""
UPDATE executions
SET status = 'planned', started_at = NULL, finished_at = NULL, provider_used = NULL, region_served = NULL,
    error_code = NULL, error_detail = NULL, error_retryable = NULL, not_before = NULL,
    forgiven = attempts, key_no = key_no + 1
WHERE {KEY}
"""
RESOLVE = f"""
UPDATE executions
SET status = $5, output = $6, error_code = $7, error_detail = $7, error_retryable = NULL, provider_used = NULL,
    region_served = NULL
WHERE {KEY}
"""
RECOUNT = """
WITH counted AS (
    SELECT
        e.job_no,
        count(*) FILTER (WHERE e.finished_at IS NULL) AS open,
        count(*) FILTER (WHERE e.status = 'completed') AS completed,
        count(*) FILTER (WHERE e.status = 'failed') AS failed,
        count(*) FILTER (WHERE e.status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE e.status = 'unknown') AS unknown
    FROM executions AS e
    WHERE e.job_no = $1
    GROUP BY e.job_no
), kept AS (
    UPDATE batches AS b SET open_cells = c.open FROM counted AS c WHERE b.job_no = c.job_no
)
UPDATE jobs AS j
SET completed = c.completed, failed = c.failed, cancelled = c.cancelled, unknown = c.unknown
FROM counted AS c
WHERE j.job_no = c.job_no
"""


@dataclass
class CellHistory:
    """A cell and what happened to it: `tries` as (status, error code, region served), `calls` that left the service."""

    job: Seeded
    key: tuple[int, int, int, int]
    status: str = "planned"
    tries: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    calls: int = 0

    @property
    def execution_id(self) -> str:
        job_no, region_no, model_no, question_no = self.key
        return f"{job_no}-{model_no}-{region_no}-{question_no}"


async def random_histories(seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]", seed: int) -> list[CellHistory]:
    """Return the cells of one job after up to eight steps each; the last one still waits, so that the job does."""
    job = await seeds.submit(questions=QUESTIONS)
    await seeds.plan()
    histories = [CellHistory(job, (job.job_no, 0, 0, question_no)) for question_no in range(len(QUESTIONS))]
    steps = CellHistories(rows, random.Random(seed))
    for history in histories[:-1]:
        await steps.take(history, most=8)
    await rows.execute(RECOUNT, job.job_no)
    return histories


@dataclass
class CellHistories:
    """Takes cells through random steps, the same for the same `chance`."""

    rows: "asyncpg.Connection[asyncpg.Record]"
    chance: random.Random

    async def take(self, history: CellHistory, *, most: int) -> None:
        """Take a cell through up to so many steps, or until its end."""
        for _ in range(self.chance.randint(1, most)):
            choices: dict[str, list[Callable[[CellHistory], Any]]] = {
                "planned": [self.repeat, self.repeat, self.complete, self.fail, self.lose, self.give_up, self.cancel],
                "failed": [self.retry],
                "unknown": [self.resolve],
            }
            if history.status not in choices:
                return
            await self.chance.choice(choices[history.status])(history)

    async def repeat(self, history: CellHistory) -> None:
        """A try fails and will be repeated."""
        provider, code = self._provider(history), self.chance.choice(["rate_limited", "http_503"])
        await self.rows.execute(REPEAT, *history.key, provider, code)
        history.tries.append(("failed", code, None))

    async def complete(self, history: CellHistory) -> None:
        """A try gets its answer."""
        served = self.chance.choice(["us-east", None])
        await self._end(history, "completed", served=served, output=self.chance.choice(["four", ""]))

    async def fail(self, history: CellHistory) -> None:
        """The last try fails; a mismatch of regions says where it was served."""
        code = self.chance.choice(["http_400", "region_mismatch"])
        await self._end(history, "failed", served="eu-west" if code == "region_mismatch" else None, code=code)

    async def lose(self, history: CellHistory) -> None:
        """A call that may be made once ends ambiguously."""
        await self.rows.execute(MARK, *history.key)
        await self._end(history, "unknown", code="timeout")

    async def give_up(self, history: CellHistory) -> None:
        """No call is made, nor will be."""
        await self.rows.execute(GIVE_UP, *history.key, self.chance.choice(["queue_timeout", "worker_lost"]))
        history.status = "failed"

    async def cancel(self, history: CellHistory) -> None:
        """A person ends it."""
        await self.rows.execute(CANCEL, *history.key)
        history.status = "cancelled"

    async def retry(self, history: CellHistory) -> None:
        """A person wants it tried again."""
        await self.rows.execute(KEEP_LAST_TRY, *history.key)
        await self.rows.execute(RETRY, *history.key)
        history.status = "planned"

    async def resolve(self, history: CellHistory) -> None:
        """A person says how it ended."""
        status, output, code = self.chance.choice([("completed", "four", None), ("failed", None, "resolved")])
        await self.rows.execute(KEEP_LAST_TRY, *history.key)
        await self.rows.execute(RESOLVE, *history.key, status, output, code)
        history.status = status

    async def _end(
        self,
        history: CellHistory,
        status: str,
        *,
        served: str | None = None,
        code: str | None = None,
        output: str | None = None,
    ) -> None:
        values = (status, self._provider(history), served, code, None if code is None else status == "unknown", output)
        await self.rows.execute(END, *history.key, *values)
        history.tries.append((status, code, served))
        history.status = status

    def _provider(self, history: CellHistory) -> str:
        """Choose the provider; `echo` is no call."""
        provider = self.chance.choice(["echo", "hybrid"])
        history.calls += provider != "echo"
        return provider
