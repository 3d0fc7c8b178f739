"""Recording executions: a flush writes results under the fences of their batches, then advances waves and jobs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import orjson

from db import circuit_breakers
from db.batches import ClaimedBatch
from db.circuit_breakers import Refusal
from db.columns import columns
from db.engine import Connection, statement
from db.responses import ResponseRow, keep_responses
from domain.outcome import WORKER_LOST
from domain.plan import READY_WINDOW

RETRY_WEIGHT = 4
"""A retried cell counts as this many in the virtual finish time, so that first runs precede retries."""


class CompletedCell(NamedTuple):
    """An answer of the identity that was asked. Times are microseconds since the epoch by the database's clock."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int
    started_us: int
    finished_us: int
    provider_used: str
    region_served: str | None
    output: str
    usage: str | None = None
    finish_reason: str | None = None
    is_complete: bool | None = None
    model_used: str | None = None
    identity_no: int | None = None


class EndedCell(NamedTuple):
    """A cell that ended without an answer, `failed` or `unknown`, after `attempts_before` tries.

    Times as CompletedCell.
    A cell that ended without a try of its own (`tries` is 0) has no start and no provider.
    """

    job_no: int
    region_no: int
    model_no: int
    question_no: int
    started_us: int | None
    finished_us: int
    provider_used: str | None
    region_served: str | None
    error_code: str
    error_detail: str
    error_retryable: bool
    status: str
    attempts_before: int
    tries: int = 1
    usage: str | None = None
    finish_reason: str | None = None
    is_complete: bool | None = None
    model_used: str | None = None
    identity_no: int | None = None


class RetriedCell(NamedTuple):
    """A failed try, after `attempts_before` others, that will be repeated in `wait_seconds`. Times as CompletedCell."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int
    started_us: int
    finished_us: int
    provider_used: str
    region_served: str | None
    error_code: str
    error_detail: str
    attempts_before: int
    is_forgiven: bool
    is_answered: bool
    wait_seconds: float
    identity_no: int | None = None


@dataclass(slots=True)
class BatchReport:
    """A flush's report of a batch: its ended cells, its tries that will be repeated, and the answers to both.

    A batch `is_released` once no worker holds it; if it has open cells then, it is due again in `due_in_seconds`. A
    batch that `is_yielded` gave way to others although it had untried cells. It returns `freed_permits` permits.
    `refusal` opens the pool's circuit breaker, `resets_breaker` closes it. `record` sets `status` and `open_cells` from
    the updated row of the batch.
    """

    batch: ClaimedBatch
    is_released: bool = False
    is_yielded: bool = False
    due_in_seconds: float = 0.0
    freed_permits: int = 0
    completed: list[CompletedCell] = field(default_factory=list)
    ended: list[EndedCell] = field(default_factory=list)
    retried: list[RetriedCell] = field(default_factory=list)
    responses: list[ResponseRow] = field(default_factory=list)
    refusal: Refusal | None = None
    resets_breaker: bool = False
    status: str = "running"
    open_cells: int = 0

    @property
    def results(self) -> int:
        """How many results and tries this report holds."""
        return len(self.completed) + len(self.ended) + len(self.retried)

    @property
    def failed(self) -> int:
        """How many of its cells failed."""
        return sum(cell.status == "failed" for cell in self.ended)

    @property
    def incomplete(self) -> int:
        """How many of its cells ended with an incomplete answer."""
        return sum(cell.is_complete is False for cells in (self.completed, self.ended) for cell in cells)

    @property
    def unknown(self) -> int:
        """How many of its cells ended ambiguously."""
        return len(self.ended) - self.failed


@dataclass(frozen=True, slots=True)
class JobAdvanced:
    """A job after a flush."""

    job_no: int
    id: str
    status: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of a flush: the written reports, and the `stale` ones, whose leases other workers took."""

    written: Sequence[BatchReport]
    stale: Sequence[BatchReport]
    jobs: Sequence[JobAdvanced]


class CellsAlreadyTerminal(Exception):
    """Cells of a flush had a result although its fences were current; the caller drops them and flushes again."""


async def record(connection: Connection, reports: Iterable[BatchReport], *, source: str) -> Recorded:
    """Write the results of a flush in the caller's transaction: batches, then cells, then waves, then jobs.

    At most one report per batch. A report whose lease was lost changes nothing and is returned as stale.
    Raises CellsAlreadyTerminal, and the transaction must be undone, if a cell under a current fence had a result.
    """
    ordered = sorted(reports, key=lambda report: report.batch.key)
    held = await _record_batches(connection, ordered)
    written, stale = [], []
    for report in ordered:
        found = held.get(report.batch.key[:3])
        if found is None:
            stale.append(report)
        else:
            report.status, report.open_cells = found
            written.append(report)
    await _write_cells(connection, written)
    jobs = await _advance_jobs(connection, written, source) if written else []
    await _set_breakers(connection, ordered, written)
    return Recorded(written, stale, jobs)


async def _record_batches(
    connection: Connection, reports: Sequence[BatchReport]
) -> dict[tuple[int, int, int], tuple[str, int]]:
    """Return (status, open_cells) of each batch whose lease holds, by (job_no, batch_no, fence)."""
    rows = await connection.fetch(
        statement("record_batches"),
        *columns(
            [
                (
                    *report.batch.key,
                    len(report.completed) + len(report.ended),
                    report.results,
                    report.is_released,
                    report.is_yielded,
                    report.freed_permits,
                    report.due_in_seconds,
                )
                for report in reports
            ],
            10,
        ),
    )
    return {(row["job_no"], row["batch_no"], row["fence"]): (row["status"], row["open_cells"]) for row in rows}


async def _write_cells(connection: Connection, reports: Sequence[BatchReport]) -> None:
    completed = [cell for report in reports for cell in report.completed]
    ended = [cell for report in reports for cell in report.ended]
    retried = [cell for report in reports for cell in report.retried]
    written = 0
    for name, rows in (("complete_executions", completed), ("fail_executions", ended), ("insert_attempts", retried)):
        if rows:
            written += await connection.fetchval(statement(name), *zip(*rows, strict=True))
    if written != len(completed) + len(ended) + len(retried):
        raise CellsAlreadyTerminal
    await keep_responses(connection, [row for report in reports for row in report.responses])
    dead = [(*cell[:4], cell.error_code, cell.error_detail) for cell in ended if is_dead_letter(cell)]
    if dead:
        await connection.execute(statement("insert_dead_letters"), *zip(*dead, strict=True))


def is_dead_letter(cell: EndedCell) -> bool:
    """Say whether another try might succeed: a request that the provider always rejects is no dead letter."""
    return cell.status == "failed" and (cell.error_retryable or cell.error_code == WORKER_LOST)


async def _set_breakers(
    connection: Connection, reported: Sequence[BatchReport], written: Sequence[BatchReport]
) -> None:
    """Open and close circuit breakers. A refusal counts even under a stale lease, since it is about the pool."""
    opened = {report.batch.pool for report in written if report.resets_breaker}
    if opened:
        await circuit_breakers.reset_probed(connection, opened)
    refusals = [report.refusal for report in reported if report.refusal is not None]
    if refusals:
        await circuit_breakers.trip(connection, refusals)


async def _advance_jobs(connection: Connection, written: Sequence[BatchReport], source: str) -> list[JobAdvanced]:
    ended = Counter((report.batch.job_no, report.batch.wave_no) for report in written if report.status == "completed")
    by_job = [(job_no, list(batches)) for job_no, batches in groupby(written, key=lambda report: report.batch.job_no)]
    jobs = [_job_row(job_no, batches) for job_no, batches in by_job]
    released = [
        (report.batch.job_no, report.batch.next_batch_no, report.batch.virtual_finish_time)
        for report in written
        if report.status == "completed" and report.batch.next_batch_no is not None
    ]
    due_again = [
        (report.batch.job_no, report.batch.batch_no, report.open_cells, *_order(report), report.due_in_seconds)
        for report in written
        if report.status == "pending"
    ]
    rows = await connection.fetch(
        statement("advance_jobs"),
        *columns([(*key, count) for key, count in sorted(ended.items())], 3),
        *columns(jobs, 5),
        source,
        *columns(released, 3),
        *columns(due_again, 6),
        READY_WINDOW,
        [sum(report.incomplete for report in batches) for _, batches in by_job],
    )
    return [JobAdvanced(row["job_no"], row["id"], row["status"]) for row in rows]


def _order(due_again: BatchReport) -> tuple[int, int]:
    """Return the lane and weight with which a batch is due again: a batch that yielded isn't behind first runs."""
    return (0, 1) if due_again.is_yielded else (1, RETRY_WEIGHT)


def _job_row(job_no: int, written: Sequence[BatchReport]) -> tuple[int, int, int, int, str]:
    event = [
        {
            "batch_id": report.batch.batch_no,
            "status": report.status,
            "completed": len(report.completed),
            "failed": report.failed,
            "unknown": report.unknown,
            "retried": len(report.retried),
            "dead_letters": sum(map(is_dead_letter, report.ended)),
        }
        for report in written
    ]
    completed = sum(len(report.completed) for report in written)
    failed = sum(report.failed for report in written)
    return job_no, completed, failed, sum(report.unknown for report in written), orjson.dumps(event).decode()


async def recorded_cells(connection: Connection, reports: Sequence[BatchReport]) -> set[tuple[int, ...]]:
    """Return the keys (job_no, region_no, model_no, question_no) of the reported cells that are recorded already.

    They have a result, or their last try isn't the reported one.
    """
    keys: list[tuple[object, ...]] = [(*cell[:4], None) for report in reports for cell in report.completed]
    keys += [(*cell[:4], cell.attempts_before) for report in reports for cell in report.ended]
    keys += [(*cell[:4], cell.attempts_before) for report in reports for cell in report.retried]
    rows = await connection.fetch(statement("find_recorded_cells"), *columns(keys, 5))
    return {tuple(row) for row in rows}
