"""Imports of one record type in an order of their own: planned, claimed and recorded step by step."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from db import retrying
from db.batches import ClaimedBatch
from db.controls import Actor
from db.engine import Connection, in_transaction
from db.import_reports import ImportRange, ImportReport, ReadRow
from db.kinds import Retried, RetryFilter
from db.tenants import DEFAULT_TENANT_NO
from tests.support.import_steps import WORKER_NO, ImportSteps, plan_of
from tests.support.waiting import eventually_async

Claimed = tuple[ClaimedBatch, ImportRange]
ACTOR = Actor("a test", None, WORKER_NO)


def spec(*record_types: str, source: str = "file", dataset: str = "ledger") -> dict[str, Any]:
    """As much of a stored spec as says what an import loads and from where."""
    names = {"path": "a.csv"} if source == "file" else {"connection": "erp"}
    return {
        "dataset": dataset,
        "record_types": [{"id": record_type, "source": {"type": source, **names}} for record_type in record_types],
    }


FILE = spec("type-0")
TABLE = spec("type-0", source="sql")


def batch_of_rows(claimed: Claimed, **payload_by_key: str) -> ImportReport:
    """What became of a batch that read these rows."""
    rows = [ReadRow(key, payload, n) for n, (key, payload) in enumerate(payload_by_key.items())]
    return ImportReport(*claimed, "completed", rows_read=len(rows), records=rows)


async def planned(ledger: ImportSteps, given: object = FILE, *, batches: int = 1) -> int:
    """Submit, coordinate and plan an import."""
    job_no = await ledger.submit(given)
    coordination = await ledger.begin(job_no)
    assert coordination is not None
    await ledger.write(coordination, plan_of([batches]))
    return job_no


async def claimed_by_job(ledger: ImportSteps) -> dict[int, list[Claimed]]:
    """Claim all that is due."""
    found: dict[int, list[Claimed]] = {}
    for claim in await ledger.claim():
        found.setdefault(claim[0].job_no, []).append(claim)
    return found


async def two_claimed(ledger: ImportSteps) -> tuple[Claimed, Claimed]:
    """An older and a newer import of a batch each, claimed."""
    older, newer = await planned(ledger), await planned(ledger)
    claimed = await claimed_by_job(ledger)
    return claimed[older][0], claimed[newer][0]


async def complete(ledger: ImportSteps, **payload_by_key: str) -> int:
    """Let an import load these rows and complete."""
    job_no = await planned(ledger)
    [claim] = (await claimed_by_job(ledger))[job_no]
    await ledger.record(batch_of_rows(claim, **payload_by_key))
    return job_no


async def payloads(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("SELECT record_key, payload::text FROM imported_records ORDER BY record_key")
    return {row["record_key"]: row["payload"] for row in rows}


async def generations(connection: Connection) -> dict[str, int]:
    rows = await connection.fetch("SELECT record_key, generation FROM imported_records ORDER BY record_key")
    return {row["record_key"]: row["generation"] for row in rows}


async def counts(connection: Connection, job_no: int) -> tuple[int, ...]:
    """Read, inserted, updated, unchanged and superseded rows."""
    row = await connection.fetchrow(
        """
        SELECT sum(rows_read), sum(rows_inserted), sum(rows_updated), sum(rows_unchanged), sum(rows_superseded)
        FROM import_batches WHERE job_no = $1
        """,
        job_no,
    )
    return tuple(map(int, row))


async def status(connection: Connection, job_no: int) -> str:
    return await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no)


async def retry(ledger: ImportSteps, job_no: int) -> Retried:
    """Retry an import as a person would."""

    async def unit(c: Connection) -> Retried:
        job_id = await c.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
        return await retrying.retry_job(c, DEFAULT_TENANT_NO, job_id, RetryFilter(), ACTOR)

    return await in_transaction(ledger.engine, unit)


async def wait_for_blocked(connection: Connection, count: int = 1) -> None:
    """Wait until so many transactions wait for locks."""

    async def look() -> bool:
        return count == await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

    await eventually_async(look, what=f"{count} wait for a lock")


async def transaction_held_open(
    ledger: ImportSteps, unit: Callable[[Connection], Awaitable[object]]
) -> tuple[asyncio.Task, asyncio.Event]:
    """Begin a transaction that does this and commits once the event is set; return when it is done but for that."""
    done, may_commit = asyncio.Event(), asyncio.Event()

    async def held(c: Connection) -> None:
        await unit(c)
        done.set()
        await may_commit.wait()

    task = asyncio.create_task(in_transaction(ledger.engine, held))
    await done.wait()
    return task, may_commit
