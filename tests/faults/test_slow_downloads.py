"""Downloads from a real process: a client that reads slowly keeps no other waiting and costs little memory."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from api.download_places import AT_ONCE
from db import workers
from db.engine import connect, create_engine
from tests.support.job_seeds import Seeds, answer_all
from tests.support.served_app import SlowClient
from tests.support.service import StartProcess, api_client, unique
from tests.support.waiting import eventually_async

CSV = {"Accept": "text/csv"}
CLIENTS = 16
READING = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL"
MEBIBYTE = 2**20


async def big(database_url: str, rows: Any, *, models: int, output: int) -> str:
    """The path of a job with a hundred answers per model, of so many bytes each."""
    engine = create_engine(database_url)
    async with connect(engine) as connection:
        registered = await workers.register(connection, worker_id="w", role="worker", pid=1, host="here")
    seeds = Seeds(engine, registered.worker_no)
    job = await seeds.submit(models=[f"m-{n}" for n in range(models)], questions=[f"{n}?" for n in range(100)])
    await seeds.plan()
    await engine.dispose()
    await answer_all(rows, job, "x" * output)
    return f"/jobs/{job.id}/executions"


async def test_stuck_downloads_keep_no_client_from_posting_and_reading(
    database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    process = start_api(database_url, redis_url)
    async with api_client(process, database_url) as client, AsyncExitStack() as stuck:
        path = await big(database_url, client.database, models=5, output=100_000)
        for _ in range(CLIENTS):
            await stuck.enter_async_context(SlowClient(process.url, path, **CSV))

        async def are_under_way() -> bool:
            return bool(await client.database.fetchval(READING) >= AT_ONCE)

        await eventually_async(are_under_way)
        answers = await asyncio.gather(*(client.post(unique()) for _ in range(50)))
        reads = await asyncio.gather(*(client.http.get(path, params={"limit": 1}) for _ in range(50)))
        assert Counter(answer.status_code for answer in answers) == {202: 50}
        assert Counter(answer.status_code for answer in reads) == {200: 50}


async def test_a_large_file_takes_little_memory(database_url: str, redis_url: str, start_api: StartProcess) -> None:
    process = start_api(database_url, redis_url)
    pid = process.pid
    async with api_client(process, database_url) as client:
        path = await big(database_url, client.database, models=10, output=150_000)
        assert await length(client.http, f"{path}?model=m-0") > 100 * 150_000  # what is loaded once is loaded now
        forget_peak(pid)
        before = peak(pid)
        assert await length(client.http, path) > 1_000 * 150_000
        assert peak(pid) - before < 25 * MEBIBYTE


async def length(http: httpx2.AsyncClient, path: str) -> int:
    """Download a file and return how long it is."""
    async with http.stream("GET", path, headers=CSV) as answer:
        return sum([len(part) async for part in answer.aiter_raw()])


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """The most memory a process held since `forget_peak`, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kibibytes] = [line.split()[1] for line in status if line.startswith("VmHWM:")]
    return int(kibibytes) * 1024
