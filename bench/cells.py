"""No-op cells per second, end to end: from envelopes on the stream to completed jobs, beside the floor."""

import asyncio
import subprocess
import sys
import time

import asyncpg

from bench.jobs import SHAPES, publish_envelopes, store
from bench.place import ROOT, Place, cpu_seconds, show
from broker import envelopes
from db.engine import create_engine

JOBS = {"10,000-cell": 20, "240-cell": 600, "one-cell": 9_000}
WORKER = ["-m", "cli", "worker"]


async def measure(place: Place, *, scale: float, runs: int) -> None:
    """Print cells per second for each shape with 1 and 2 workers, and the share of the floor of the same run."""
    print("\nNo-op cells (echo) end to end, everything on; floor = the same statements on bare connections")
    for shape, jobs in JOBS.items():
        count = max(2, int(jobs * scale))
        cells = count * _cells(shape)
        floors = [await _floor(place, shape, count, connections=2) for _ in range(runs)]
        floor = show(f"{shape} jobs: floor, 2 connections", floors, "cells/s")
        for workers in (1, 2):
            rates, cpu = await _rates(place, shape, count, workers=workers, runs=runs)
            note = (
                f"{sorted(rates)[len(rates) // 2] / floor:.0%} of the floor, {cpu / cells * 1e6:.0f} us worker CPU/cell"
            )
            show(f"{shape} jobs: {workers} worker{'s' * (workers > 1)}", rates, "cells/s", note)


async def _rates(place: Place, shape: str, count: int, *, workers: int, runs: int) -> tuple[list[float], float]:
    with place.processes(*[(WORKER, {})] * workers) as processes:
        await _run(place, shape, max(1, count // 20))  # warms caches, connections and statistics
        before = cpu_seconds(processes)
        rates = [count * _cells(shape) / await _run(place, shape, count) for _ in range(runs)]
        return rates, (cpu_seconds(processes) - before) / runs


async def _run(place: Place, shape: str, count: int) -> float:
    """Store jobs, publish their envelopes, and return the seconds from the first envelope to the last job's end."""
    engine = create_engine(place.database_url)
    redis = envelopes.connect(place.redis_url)
    connection = await asyncpg.connect(place.database_url)
    job_nos = await store(engine, SHAPES[shape], count)
    started = time.perf_counter()
    await publish_envelopes(redis, job_nos)
    # The last job to end is unknown before the end, so look often at few rows: the open jobs.
    while await connection.fetchval("SELECT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)"):
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started
    await connection.close()
    await redis.aclose()
    await engine.dispose()
    return seconds


async def _floor(place: Place, shape: str, count: int, *, connections: int) -> float:
    command = [sys.executable, "-m", "bench.floor", place.database_url, shape, str(count), str(connections)]
    answer = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(answer.stdout)


def _cells(shape: str) -> int:
    models, regions, questions = SHAPES[shape]
    return models * regions * questions
