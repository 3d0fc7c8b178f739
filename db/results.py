"""Executions: the results of a flush, written under the fences of their batches, and carried up to wave and job."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import orjson

from db.batches import ClaimedBatch
from db.engine import Connection, statement
from domain.plan import READY_WINDOW

RETRY_WEIGHT = 4
"""A retried cell counts as this many in its turn, so that first runs go before retries."""


class CompletedCell(NamedTuple):
    """An answer. Times are microseconds since the epoch by the database's clock."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int
    started_us: int
    finished_us: int
    provider_used: str
    region_served: str | None
    output: str


class FailedCell(NamedTuple):
    """A failed try, the last or one that will be repeated, after `attempts_before` others. Times as CompletedCell."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int
    started_us: int
    finished_us: int
    provider_used: str
    error_code: str
    error_detail: str
    error_retryable: bool
    attempts_before: int


@dataclass(slots=True)
class Settlement:
    """What a flush says of one batch. `open_cells` is what stays open; a batch `is_released` once nobody works on it.

    A released batch with open cells is due again in `due_in_seconds`.
    """

    batch: ClaimedBatch
    open_cells: int
    is_released: bool = False
    due_in_seconds: float = 0.0
    completed: list[CompletedCell] = field(default_factory=list)
    failed: list[FailedCell] = field(default_factory=list)
    retried: list[FailedCell] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The batch's state after the flush."""
        if not self.is_released:
            return "running"
        return "pending" if self.open_cells else "completed"

    @property
    def results(self) -> int:
        """How many tries this settlement reports."""
        return len(self.completed) + len(self.failed) + len(self.retried)


@dataclass(frozen=True, slots=True)
class JobAdvanced:
    """A job after a flush."""

    job_no: int
    id: str
    status: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a flush did: `settled` was written; `stale` belongs to leases that others took, and changed nothing."""

    settled: Sequence[Settlement]
    stale: Sequence[Settlement]
    jobs: Sequence[JobAdvanced]


class CellsAlreadyTerminal(Exception):
    """A flush met cells that had a result although its fences were current; the caller drops them and flushes again."""


async def record(connection: Connection, settlements: Iterable[Settlement], *, source: str) -> Recorded:
    """Write the results of a flush in the caller's transaction: batches, then cells, then waves, then jobs.

    At most one settlement per batch. A settlement whose lease was lost changes nothing and is returned as stale.
    Raises CellsAlreadyTerminal, and the transaction must be undone, when a cell under a current fence had a result.
    """
    ordered = sorted(settlements, key=lambda settlement: settlement.batch.key)
    held = await _settle_batches(connection, ordered)
    settled = [one for one in ordered if (one.batch.job_no, one.batch.batch_no, one.batch.fence) in held]
    stale = [one for one in ordered if (one.batch.job_no, one.batch.batch_no, one.batch.fence) not in held]
    await _write_cells(connection, settled)
    jobs = await _advance_jobs(connection, settled, source) if settled else []
    return Recorded(settled, stale, jobs)


async def _settle_batches(connection: Connection, settlements: Sequence[Settlement]) -> set[tuple[int, int, int]]:
    rows = await connection.fetch(
        statement("settle_batches"),
        *_columns(
            [
                (
                    *one.batch.key,
                    len(one.completed) + len(one.failed),
                    one.results,
                    one.status,
                    one.due_in_seconds if one.status == "pending" else None,
                )
                for one in settlements
            ],
            8,
        ),
    )
    return {(row["job_no"], row["batch_no"], row["fence"]) for row in rows}


async def _write_cells(connection: Connection, settlements: Sequence[Settlement]) -> None:
    completed = [cell for one in settlements for cell in one.completed]
    failed = [cell[:10] for one in settlements for cell in one.failed]
    retried = [(*cell[:9], cell.attempts_before) for one in settlements for cell in one.retried]
    written = 0
    for name, rows, width in (
        ("complete_executions", completed, 9),
        ("fail_executions", failed, 10),
        ("insert_attempts", retried, 10),
    ):
        if rows:
            written += await connection.fetchval(statement(name), *_columns(rows, width))
    if written != len(completed) + len(failed) + len(retried):
        raise CellsAlreadyTerminal


async def _advance_jobs(connection: Connection, settled: Sequence[Settlement], source: str) -> list[JobAdvanced]:
    ended = Counter((one.batch.job_no, one.batch.wave_no) for one in settled if one.status == "completed")
    jobs = [_job_row(job_no, list(batches)) for job_no, batches in groupby(settled, key=lambda one: one.batch.job_no)]
    released = [
        (one.batch.job_no, one.batch.next_batch_no, one.batch.turn)
        for one in settled
        if one.status == "completed" and one.batch.next_batch_no is not None
    ]
    due_again = [
        (one.batch.job_no, one.batch.batch_no, one.open_cells, one.due_in_seconds)
        for one in settled
        if one.status == "pending"
    ]
    *due_columns, due_seconds = _columns(due_again, 4)
    rows = await connection.fetch(
        statement("advance_jobs"),
        *_columns([(*key, count) for key, count in sorted(ended.items())], 3),
        *_columns(jobs, 5),
        source,
        *_columns(released, 3),
        *due_columns,
        RETRY_WEIGHT,
        due_seconds,
        READY_WINDOW,
    )
    return [JobAdvanced(row["job_no"], row["id"], row["status"]) for row in rows]


def _job_row(job_no: int, settled: Sequence[Settlement]) -> tuple[int, int, int, int, str]:
    event = [
        {
            "batch_id": one.batch.batch_no,
            "status": one.status,
            "completed": len(one.completed),
            "failed": len(one.failed),
            "retried": len(one.retried),
        }
        for one in settled
    ]
    completed = sum(len(one.completed) for one in settled)
    failed = sum(len(one.failed) for one in settled)
    return job_no, completed, failed, 0, orjson.dumps(event).decode()


async def terminal_cells(connection: Connection, settlements: Iterable[Settlement]) -> set[tuple[int, ...]]:
    """Return the keys (job_no, region_no, model_no, question_no) among the reported cells that have a result."""
    keys = [cell[:4] for one in settlements for cell in (*one.completed, *one.failed, *one.retried)]
    rows = await connection.fetch(statement("find_terminal_cells"), *_columns(keys, 4))
    return {tuple(row) for row in rows}


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [[] for _ in range(width)]
