"""Cells with lives of any shape, written step by step as workers and people leave them, and what each should show."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.seeding import Seeded, Seeds

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
class Life:
    """A cell and what became of it: `tries` as (status, error code, region served), `calls` that left the service."""

    job: Seeded
    key: tuple[int, int, int, int]
    status: str = "planned"
    tries: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    calls: int = 0

    @property
    def execution_id(self) -> str:
        job_no, region_no, model_no, question_no = self.key
        return f"{job_no}-{model_no}-{region_no}-{question_no}"


async def live_by_chance(seeds: Seeds, rows: "asyncpg.Connection[asyncpg.Record]", seed: int) -> list[Life]:
    """Return the cells of one job after lives of up to eight steps; the last one still waits, so that the job does."""
    job = await seeds.submit(questions=QUESTIONS)
    await seeds.plan()
    lives = [Life(job, (job.job_no, 0, 0, question_no)) for question_no in range(len(QUESTIONS))]
    chances = Lives(rows, random.Random(seed))
    for life in lives[:-1]:
        await chances.live(life, most=8)
    await rows.execute(RECOUNT, job.job_no)
    return lives


@dataclass
class Lives:
    """Lets cells live by chance, the same for the same `chance`."""

    rows: "asyncpg.Connection[asyncpg.Record]"
    chance: random.Random

    async def live(self, life: Life, *, most: int) -> None:
        """Let a cell live up to so many steps, or until its end."""
        for _ in range(self.chance.randint(1, most)):
            choices: dict[str, list[Callable[[Life], Any]]] = {
                "planned": [self.repeat, self.repeat, self.complete, self.fail, self.lose, self.give_up, self.cancel],
                "failed": [self.retry],
                "unknown": [self.resolve],
            }
            if life.status not in choices:
                return
            await self.chance.choice(choices[life.status])(life)

    async def repeat(self, life: Life) -> None:
        """A try fails and will be repeated."""
        provider, code = self._provider(life), self.chance.choice(["rate_limited", "http_503"])
        await self.rows.execute(REPEAT, *life.key, provider, code)
        life.tries.append(("failed", code, None))

    async def complete(self, life: Life) -> None:
        """A try gets its answer."""
        served = self.chance.choice(["us-east", None])
        await self._end(life, "completed", served=served, output=self.chance.choice(["four", ""]))

    async def fail(self, life: Life) -> None:
        """The last try fails; a mismatch of regions says where it was served."""
        code = self.chance.choice(["http_400", "region_mismatch"])
        await self._end(life, "failed", served="eu-west" if code == "region_mismatch" else None, code=code)

    async def lose(self, life: Life) -> None:
        """A call that may be made once ends ambiguously."""
        await self.rows.execute(MARK, *life.key)
        await self._end(life, "unknown", code="timeout")

    async def give_up(self, life: Life) -> None:
        """Nobody calls, and nobody will."""
        await self.rows.execute(GIVE_UP, *life.key, self.chance.choice(["queue_timeout", "worker_lost"]))
        life.status = "failed"

    async def cancel(self, life: Life) -> None:
        """A person ends it."""
        await self.rows.execute(CANCEL, *life.key)
        life.status = "cancelled"

    async def retry(self, life: Life) -> None:
        """A person wants it tried again."""
        await self.rows.execute(KEEP_LAST_TRY, *life.key)
        await self.rows.execute(RETRY, *life.key)
        life.status = "planned"

    async def resolve(self, life: Life) -> None:
        """A person says how it ended."""
        status, output, code = self.chance.choice([("completed", "four", None), ("failed", None, "resolved")])
        await self.rows.execute(KEEP_LAST_TRY, *life.key)
        await self.rows.execute(RESOLVE, *life.key, status, output, code)
        life.status = status

    async def _end(
        self, life: Life, status: str, *, served: str | None = None, code: str | None = None, output: str | None = None
    ) -> None:
        values = (status, self._provider(life), served, code, None if code is None else status == "unknown", output)
        await self.rows.execute(END, *life.key, *values)
        life.tries.append((status, code, served))
        life.status = status

    def _provider(self, life: Life) -> str:
        """Choose who is asked; `echo` is no call."""
        provider = self.chance.choice(["echo", "hybrid"])
        life.calls += provider != "echo"
        return provider
