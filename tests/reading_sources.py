"""Making files to import, and reading sources whole."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb

from sources.protocol import Source, SourceRow, Survey


def make(path: Path, query: str, options: str = "") -> None:
    """Write the rows of a DuckDB query to a file of the format that its name tells."""
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        engine.execute(f"COPY ({query}) TO '{path}' {options}")


def compress(path: Path, content: bytes) -> None:
    """Write a file as its name wants it: plain, or with gzip."""
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


async def read_all(source: Source, survey: Survey) -> list[SourceRow]:
    """Every row of a survey, range by range."""
    return [row for one in survey.ranges for row in await source.read(one.range)]


@asynccontextmanager
async def held_loop_at_most(seconds: float) -> AsyncIterator[None]:
    """Fail if the event loop was not served for longer than this within the block."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()
    assert longest < seconds, f"the loop stood still for {longest:.3f} s"


def payloads(rows: list[SourceRow]) -> list[dict[str, Any]]:
    """What the rows hold."""
    return [row.payload for row in rows]
