"""POST /jobs per second, one API process, beside bare FastAPI with the same body."""

import asyncio
import subprocess
import sys

import asyncpg
import orjson

from bench.place import ROOT, Place, free_port, show, wait_for_port

CONNECTIONS = 32
POSTS = 6_000
UVICORN = [
    "-m",
    "uvicorn",
    "--factory",
    "--loop",
    "uvloop",
    "--http",
    "api.connections:Connection",
    "--no-access-log",
    "--log-level",
    "warning",
]


async def measure(place: Place, *, scale: float, runs: int) -> None:
    """Print the rates of parsing alone, of validating alone, of unique and of duplicate posts."""
    print(f"\nPOST of a 240-cell spec, one process, {CONNECTIONS} connections, the client on the same CPUs")
    count = int(POSTS * scale)
    bare = await _rates(place, "bench.bare:create_app", "/bare", count, runs, unique=True)
    show("bare FastAPI: declared model, no work", bare, "req/s")
    valid = await _rates(place, "bench.bare:create_app", "/validate", count, runs, unique=True)
    validate = show("validate, normalize, hash, answer: no store", valid, "req/s")
    posts = await _rates(place, "api.app:create_app", "/jobs", count, runs, unique=True)
    unique = show("POST /jobs: unique, committed, in the ledger", posts, "req/s")
    print(f"  {'':<46} {unique / validate:.0%} of validating alone")
    same = await _rates(place, "api.app:create_app", "/jobs", count, runs, unique=False)
    duplicate = show("POST /jobs: duplicates, joined", same, "req/s")
    print(f"  {'':<46} {duplicate / unique:.2f}x the unique rate")
    await _forget_queue(place)


async def _rates(place: Place, app: str, path: str, count: int, runs: int, *, unique: bool) -> list[float]:
    port = free_port()
    with place.processes(([*UVICORN, "--port", str(port), app], {"BREAKWATER_BACKLOG": "10000000"})):
        wait_for_port(port)
        await _client(port, path, max(200, count // 10), unique=unique)
        found = [await _client(port, path, count, unique=unique) for _ in range(runs)]
    worst = max(result["p99_ms"] for result in found)
    statuses = {status for result in found for status in result["statuses"]}
    print(f"  {path} statuses {', '.join(sorted(statuses))}; worst p99 {worst:.0f} ms")
    return [result["rate"] for result in found]


async def _client(port: int, path: str, count: int, *, unique: bool) -> dict[str, object]:
    command = [
        sys.executable,
        "-m",
        "bench.client",
        str(port),
        path,
        str(count),
        str(CONNECTIONS),
        "unique" if unique else "same",
    ]
    answer = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, object] = orjson.loads(answer.stdout)
    return found


async def _forget_queue(place: Place) -> None:
    """Cancel the posted jobs: no worker runs them, and the audit is of jobs that ran."""
    connection = await asyncpg.connect(place.database_url)
    await connection.execute("DELETE FROM jobs WHERE status = 'queued'")
    await connection.close()
