"""How long the migrations of this release take on many rows, and for how long they hold up writers meanwhile."""

import asyncio
import sys
import time
from dataclasses import dataclass, field

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from db import migrate
from db.schema import brought_revision, read_schema
from tests.support.connections import database_connections

JOBS = 1_000_000
EVENTS_PER_JOB = 3
WRITERS = 4
LONGEST_SECONDS = 15
"""For a write meanwhile; a migration that rewrites one of these tables takes longer."""
FILL = f"""
SET session_replication_role = replica;
INSERT INTO tenants (tenant_no, name) VALUES (1, 'default') ON CONFLICT DO NOTHING;
INSERT INTO jobs (
    tenant_no, id, kind, name, spec_hash, status, turn, planned, completed, min_success_rate, last_event_no,
    started_at, finished_at
)
SELECT 1, 'job-' || n, 'inference', 'job', 'h1:' || n, 'completed', n, 10, 10, 1, {EVENTS_PER_JOB}, now(), now()
FROM generate_series(1, {JOBS}) AS n;
INSERT INTO events (job_no, event_no, type, source, data)
SELECT
    n / {EVENTS_PER_JOB} + 1, n % {EVENTS_PER_JOB} + 1, 'progressed', 'worker-000000000000',
    '{{"batches": [{{"batch_id": 1, "status": "completed"}}]}}'
FROM generate_series(0, {JOBS * EVENTS_PER_JOB - 1}) AS n;
SET session_replication_role = DEFAULT;
ANALYZE jobs, events;
"""
WRITE = """
WITH numbered AS (
    UPDATE jobs SET last_event_no = last_event_no + 1 WHERE job_no = $1 RETURNING job_no, last_event_no
)
INSERT INTO events (job_no, event_no, type, source, data)
SELECT job_no, last_event_no, 'progressed', 'worker-000000000000', '{}' FROM numbered
"""
"""As the release before this one writes an event."""


@dataclass
class Writer:
    """Writes events as fast as they are taken, and keeps how long the slowest waited."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    first_job_no: int
    written: int = 0
    longest_seconds: float = 0.0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while not self.stopping.is_set():
            began = time.monotonic()
            await self.connection.execute(WRITE, self.first_job_no + self.written)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            self.written += 1


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_migrating_many_rows_holds_up_writers_for_seconds_at_most(
    previous_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: dict[str, float] = {}
    advance = migrate._advance

    async def timed(engine: AsyncEngine, **options: float) -> str | None:
        began = time.monotonic()
        revision = await advance(engine, **options)
        if revision is not None:
            seconds[revision] = time.monotonic() - began
        return revision

    monkeypatch.setattr(migrate, "_advance", timed)
    async with database_connections(previous_database_url, 1 + WRITERS) as (connection, *others):
        await connection.execute(FILL)
        writers = [Writer(other, 1 + n * (JOBS // WRITERS)) for n, other in enumerate(others)]
        tasks = [asyncio.create_task(writer.run()) for writer in writers]
        began = time.monotonic()
        await asyncio.to_thread(migrate.upgrade, previous_database_url)
        total = time.monotonic() - began
        for writer in writers:
            writer.stopping.set()
        await asyncio.gather(*tasks)
        assert (await read_schema(connection)).revision == brought_revision()
    longest = max(writer.longest_seconds for writer in writers)
    spent = ", ".join(f"{revision}: {name:.2f} s" for revision, name in seconds.items())
    report = f"{JOBS:,} jobs, {JOBS * EVENTS_PER_JOB:,} events: {total:.1f} s ({spent}); a write waited {longest:.2f} s"
    sys.stdout.write(f"\n{report}\n")
    assert all(writer.written for writer in writers)
    assert longest < LONGEST_SECONDS
