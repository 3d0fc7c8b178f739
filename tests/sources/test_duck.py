"""What DuckDB's thread does when the disk below it refuses, or never answers."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sources.errors import SourceTimeout, SourceUnavailable
from sources.staged.duck import Duck
from tests.support.reading_sources import payloads

STOP_SECONDS = 0.2


@pytest.fixture
async def duck(tmp_path: Path) -> AsyncIterator[Duck]:
    """An engine that waits little for what hangs."""
    duck = Duck(memory_limit="64MB", spill_folder=tmp_path, stop_seconds=STOP_SECONDS)
    yield duck
    await duck.aclose()


@pytest.fixture
def thaw() -> Iterator[threading.Event]:
    """Until it is set, a file system hangs; it is at the end."""
    event = threading.Event()
    yield event
    event.set()


def answer(session):
    return session.connection.execute("SELECT 42").fetchone()


async def test_a_file_system_that_hangs_holds_no_cancelled_caller(duck, thaw):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await duck.run(lambda _: thaw.wait(60))
    assert time.monotonic() - began < 5
    assert await duck.run(answer) == (42,)


async def test_a_file_system_that_hangs_is_reported_past_the_limit(duck, thaw):
    with pytest.raises(SourceTimeout, match=r"within 0\.1 seconds") as hung:
        await duck.run(lambda _: thaw.wait(60), limit_seconds=0.1)
    assert (hung.value.retryable, hung.value.is_unavailable) == (True, False)
    assert await duck.run(answer) == (42,)


async def test_waiting_for_another_s_work_counts_against_no_limit(duck, thaw):
    first = asyncio.create_task(duck.run(lambda _: thaw.wait(0.5)))
    await asyncio.sleep(0)
    assert await duck.run(answer, limit_seconds=0.4) == (42,)
    assert first.done()
    await first


def test_a_process_ends_though_a_file_system_hangs(tmp_path):
    script = f"""
import asyncio, pathlib, threading
from sources.staged.duck import Duck
duck = Duck(memory_limit="64MB", spill_folder=pathlib.Path({str(tmp_path)!r}), stop_seconds=0.1)
async def main():
    async with asyncio.timeout(0.1):
        await duck.run(lambda _: threading.Event().wait())
try:
    asyncio.run(main())
except TimeoutError:
    print("gave up", flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True, env={**os.environ}
    )
    assert ended.stdout == "gave up\n"


async def test_an_error_of_the_disk_is_reported_as_such_without_a_path(duck, tmp_path):
    (tmp_path / "blocked").write_text("no folder")
    with pytest.raises(SourceUnavailable, match="Not a directory") as refused:
        await duck.run(lambda _: (tmp_path / "blocked" / "inner").mkdir())
    assert str(tmp_path) not in refused.value.detail
    with pytest.raises(SourceUnavailable) as refused:
        await duck.run(lambda s: s.connection.execute(f"COPY (SELECT 1) TO '{tmp_path}/blocked/rows.parquet'"))
    assert str(tmp_path) not in refused.value.detail


@pytest.mark.parametrize("gone", ["rows.parquet", "."])
async def test_a_staged_form_that_is_deleted_between_two_reads_is_staged_again(root, staging, open_file, gone):
    (root / "rows.csv").write_text("id\n1\n2\n")
    source = open_file("rows.csv")
    first, second = (await source.ranges(["id"], 1)).ranges
    assert payloads(await source.read(first.range)) == [{"id": "1"}]
    for path in staging.glob("v*"):
        shutil.rmtree(path / gone) if gone == "." else (path / gone).unlink()
    with pytest.raises(SourceUnavailable, match="staged again") as unavailable:
        await source.read(second.range)
    assert str(staging) not in unavailable.value.detail
    assert payloads(await source.read(second.range)) == [{"id": "2"}]
