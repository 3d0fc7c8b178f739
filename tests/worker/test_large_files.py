"""Files of a million rows, imported by real workers: all of them as they are, and the last as fast as the first."""

import statistics
import time
from contextlib import aclosing

import pytest

from bench.files import CHECKSUM, write_rows
from db.engine import Connection
from sources.file.source import FileSource
from tests.support.connections import publish_envelopes
from tests.support.import_bodies import import_body, store_import
from tests.support.outcomes import all_ended

ROWS = 1_000_000
BATCHES = 2_000
FEW = 50


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl.gz"])
async def test_a_million_rows_are_imported_unchanged_and_the_last_batches_cost_as_much_as_the_first(
    fleet, erp, connection, redis_url, name
) -> None:
    staged = fleet.settings["DATA_DIR"] / "breakwater-staging"
    checksum = write_rows(erp.data / name, ROWS)
    row_type = {"id": "row", "key": ["id"], "source": {"type": "file", "path": name}}
    job_no = await store_import(connection, import_body(row_type))
    fleet.start(2, LEASE_SECONDS=30, HEARTBEAT_SECONDS=5, RECONCILE_SECONDS=5)
    started = time.perf_counter()
    await publish_envelopes(redis_url, [job_no])
    await all_ended(connection, seconds=200)
    seconds = time.perf_counter() - started
    job = await connection.fetchrow("SELECT status, planned, completed FROM jobs WHERE job_no = $1", job_no)
    assert tuple(job) == ("completed", BATCHES, BATCHES)
    assert tuple(await connection.fetchrow(CHECKSUM)) == (ROWS, checksum, 0)
    print(f"\n{name}: {ROWS / seconds:.0f} rows/s in {seconds:.1f} s")  # noqa: T201
    costs = await batch_costs(connection)
    print(f"{name}: claim to commit, first {median_ms(costs[:FEW]):.0f} ms, last {median_ms(costs[-FEW:]):.0f} ms")  # noqa: T201
    first, last = await reading_costs(connection, FileSource(root=erp.data, path=name, staging_folder=staged))
    print(f"{name}: reading, first {median_ms(first):.2f} ms, last {median_ms(last):.2f} ms")  # noqa: T201
    assert median_ms(last) < median_ms(first) * 1.2


async def batch_costs(connection: Connection) -> list[float]:
    """Seconds from the claim of each batch to the commit of its rows, several at a time, in the order of their rows.

    What else the machine does shows in these more than where a batch lies.
    """
    rows = await connection.fetch(
        "SELECT extract(EPOCH FROM finished_at - started_at)::float8 AS seconds FROM batches ORDER BY batch_no"
    )
    return [row["seconds"] for row in rows]


async def reading_costs(connection: Connection, source: FileSource) -> tuple[list[float], list[float]]:
    """Seconds that reading takes of the first and last batches as they were planned, from what the workers staged.

    Alternately, so that what else this machine does slows both alike.
    """
    rows = await connection.fetch("SELECT range FROM import_batches ORDER BY batch_no")
    first, last = [], []
    async with aclosing(source):
        await source.read(rows[BATCHES // 2]["range"])  # opens it
        for early, late in zip(rows[:FEW], rows[-FEW:], strict=True):
            first.append(await reading_cost(source, early["range"]))
            last.append(await reading_cost(source, late["range"]))
    return first, last


async def reading_cost(source: FileSource, source_range: dict) -> float:
    before = time.perf_counter()
    assert len(await source.read(source_range)) == ROWS // BATCHES
    return time.perf_counter() - before


def median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000
