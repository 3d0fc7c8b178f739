"""The floor: the worker's own statements on prepared data, without stream, tasks, provider, logs, leases or metrics.

The rest is asyncpg, the wire and PostgreSQL; the service can't be faster than this. `python -m bench.floor URL
SHAPE JOBS CONNECTIONS` prints cells per second.
"""

import asyncio
import sys
import time

import asyncpg
import orjson
import uvloop

from bench.jobs import SHAPES, store
from configuration.content import Configuration, read_configuration
from db import coordination, results
from db.batches import ClaimedBatch
from db.coordination import JobPlan, QueuedJob
from db.engine import PINNED_PLANS, Connection, create_engine
from db.results import BatchReport, CompletedCell
from domain.plan import Pool, plan
from domain.spec import JobSpec

POOL = Pool("echo", 250)
CELLS_AT_ONCE = 5_000
FLUSH_CELLS = 2_000
OUTPUT = "model-1 in us-east: What is the capital of country number 1?"


async def measure(url: str, shape: str, jobs: int, connections: int) -> float:
    """Return cells per second with this many connections, each with its own share of the jobs."""
    engine = create_engine(url)
    await store(engine, SHAPES[shape], jobs)
    await engine.dispose()
    lanes = [await asyncpg.connect(url, server_settings={"jit": "off", **PINNED_PLANS}) for _ in range(connections)]
    for lane in lanes:
        await lane.set_type_codec("json", encoder=str, decoder=orjson.loads, schema="pg_catalog")
    started = time.perf_counter()
    found = await read_configuration(lanes[0])
    if found is None:
        raise SystemExit("no configuration is committed in the place of this benchmark")
    cells = sum(await asyncio.gather(*(_run(lane, found) for lane in lanes)))
    seconds = time.perf_counter() - started
    for lane in lanes:
        await lane.close()
    return cells / seconds


async def _run(connection: Connection, found: Configuration) -> int:
    done = 0
    while True:
        async with connection.transaction():
            jobs = await coordination.lock_queued_jobs(
                connection, 256, configuration_no=found.number, identity_nos=found.identity_nos.values()
            )
            chosen = _within(jobs)
            if not chosen:
                return done
            plans = [_plan(job, found) for job in chosen]
            await coordination.insert_plans(connection, plans, holder=1, worker_no=1, lease_seconds=600)
        reports = [item for plan_ in plans for item in _reports(plan_)]
        while reports:
            flush, cells = [], 0
            while reports and cells < FLUSH_CELLS:
                flush.append(reports.pop())
                cells += len(flush[-1].completed)
            async with connection.transaction():
                await results.record(connection, flush, source="floor")
            done += cells


def _within(jobs: list[QueuedJob]) -> list[QueuedJob]:
    chosen, cells = [], 0
    for job in jobs:
        cells += job.planned
        if chosen and cells > CELLS_AT_ONCE:
            break
        chosen.append(job)
    return chosen


def _plan(job: QueuedJob, found: Configuration) -> JobPlan:
    batches = plan(JobSpec.from_json(job.spec), lambda _: POOL)
    return JobPlan(
        job_no=job.job_no,
        source="initial",
        is_recorded=False,
        is_delivered=True,
        batches=batches,
        claimed=frozenset(batch.batch_no for batch in batches),
        event="{}",
        identity_by_pool={(key.name, key.region): number for key, number in found.identity_nos.items()},
    )


def _reports(job: JobPlan) -> list[BatchReport]:
    now = time.time_ns() // 1000
    made = []
    for batch in job.batches:
        claimed = ClaimedBatch(
            job.job_no,
            batch.batch_no,
            1,
            None,
            "echo",
            batch.region,
            batch.region_no,
            1,
            1,
            0,
            0.0,
            0.0,
            [],
            [],
            [],
            [],
            [],
            [],
        )
        cells = [
            CompletedCell(
                *(job.job_no, batch.region_no, model_no, question_no, now, now, "echo", batch.region, OUTPUT),
                identity_no=job.identity_by_pool[batch.pool],
            )
            for model_no, question_no in batch.cell_nos()
        ]
        made.append(BatchReport(claimed, is_released=True, completed=cells))
    return made


if __name__ == "__main__":
    print(uvloop.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
