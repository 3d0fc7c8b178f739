"""Recording what became of batches of imports: their rows and their ends in one transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import orjson

from db import failed_waves
from db.columns import columns
from db.engine import Connection, statement
from db.import_reports import ImportReport
from db.record_writing import write_records
from db.results import RETRY_WEIGHT


@dataclass(frozen=True, slots=True)
class ImportAdvanced:
    """An import after a transaction that ended batches of it, and the wave that ended or opened with it, if one did."""

    job_no: int
    id: str
    status: str
    ended_wave_no: int | None
    ended_wave_status: str | None
    opened_wave_no: int | None


@dataclass(frozen=True, slots=True)
class ImportRecorded:
    """What a transaction did: `written` was written; `stale` belongs to leases that others took, and did nothing."""

    written: Sequence[ImportReport] = ()
    stale: Sequence[ImportReport] = ()
    jobs: Sequence[ImportAdvanced] = field(default=())


class LeasesLost(Exception):
    """Leases were lost while rows were written under them; the caller records again, and those will be stale."""


async def record(
    connection: Connection, reports: Iterable[ImportReport], *, source: str, is_known: bool = False
) -> ImportRecorded:
    """Write the rows of batches and end them, in the caller's transaction.

    Locks rows, batches, waves, jobs, record sets, in this order.

    No two jobs' batches may be given of one record set. A batch whose lease was lost changes nothing and is returned as
    stale. Raises LeasesLost and DuplicateKeys, and the transaction must be undone. What `is_known` for the most part is
    looked up before it is inserted, which is faster then.
    """
    given = sorted(reports, key=lambda one: one.batch.key)
    contested_by_lease = await _begin(connection, given)
    held = [one for one in given if one.batch.key[:3] in contested_by_lease]
    stale = [one for one in given if one.batch.key[:3] not in contested_by_lease]
    if not held:
        return ImportRecorded(stale=stale)
    for one in held:  # of a transaction that was undone
        one.inserted = one.updated = one.superseded = one.known = 0
    contested = {one.range.record_set_no for one in held if contested_by_lease[one.batch.key[:3]]}
    with_records = [one for one in held if one.records]
    await write_records(connection, with_records, contested=sorted(contested), is_known=is_known)
    await _record_batches(connection, held)
    ended = [one for one in held if one.status != "pending"]
    if ended:
        await _write_counts(connection, ended)
    if len(ended) < len(held):
        await _reschedule(connection, [one for one in held if one.status == "pending"])
    jobs = await _advance(connection, held, source=source)
    return ImportRecorded(held, stale, jobs)


async def _begin(connection: Connection, reports: Sequence[ImportReport]) -> Mapping[tuple[int, int, int], bool]:
    """Return the leases that are still held, and whether an older import may write the same rows."""
    leases = [(*one.batch.key, one.range.record_set_no, one.range.generation) for one in reports]
    rows = await connection.fetch(statement("begin_load"), *columns(leases, 6))
    return {(row["job_no"], row["batch_no"], row["fence"]): row["is_contested"] for row in rows}


async def _record_batches(connection: Connection, reports: Sequence[ImportReport]) -> None:
    """Lock and end the batches once their rows are written: whoever cancels one meanwhile needn't wait for its rows."""
    rows = await connection.fetch(
        statement("record_import_batches"),
        *columns([(*one.batch.key, one.status, one.due_in_seconds) for one in reports], 6),
    )
    if len(rows) < len(reports):
        raise LeasesLost


async def _write_counts(connection: Connection, ended: Sequence[ImportReport]) -> None:
    counts = [
        (
            one.batch.job_no,
            one.batch.batch_no,
            one.rows_read,
            one.inserted,
            one.updated,
            one.unchanged,
            one.superseded,
            len(one.rejected),
            one.error_code,
            one.error_detail,
            one.identity_no,
        )
        for one in ended
    ]
    await connection.execute(statement("count_import_batches"), *columns(counts, 11))
    rejects = [(one.batch.job_no, one.batch.batch_no, *row) for one in ended for row in one.rejected]
    repeated = [(one.batch.job_no, one.batch.batch_no) for one in ended if one.rejected or one.range.attempts]
    if repeated:
        await connection.execute(statement("replace_rejects"), *columns(repeated, 2), *columns(rejects, 6))


async def _reschedule(connection: Connection, waiting: Sequence[ImportReport]) -> None:
    reasons = [(*one.batch.key[:2], one.is_away, one.is_forgiven, one.error_code, one.error_detail) for one in waiting]
    await connection.execute(statement("reschedule_import_batches"), *columns(reasons, 6))


async def _advance(connection: Connection, reports: Sequence[ImportReport], *, source: str) -> list[ImportAdvanced]:
    rows = await connection.fetch(
        statement("advance_imports"),
        *columns(_wave_rows(reports), 5),
        *columns(_job_rows(reports), 4),
        source,
        *columns(_released(reports), 3),
        *columns(_due_again(reports), 6),
    )
    advanced = [ImportAdvanced(*row) for row in rows]
    completed = [job.job_no for job in advanced if job.status in ("completed", "partial")]
    if completed:
        await connection.execute(statement("complete_generations"), completed)
    for job in advanced:
        if job.status == "failed" and job.ended_wave_no is not None:
            await failed_waves.explain(connection, job.job_no, job.id, job.ended_wave_no)
    return advanced


def _wave_rows(reports: Sequence[ImportReport]) -> list[tuple[int, ...]]:
    ended: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    short: Counter[tuple[int, int]] = Counter()
    for one in reports:
        key = one.batch.job_no, one.batch.wave_no
        ended[key] += one.status != "pending"
        failed[key] += one.status == "failed"
        short[key] += one.is_short
    return [(*key, ended[key], failed[key], short[key]) for key in sorted(ended)]


def _job_rows(reports: Sequence[ImportReport]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for job_no, group in groupby(reports, key=lambda one: one.batch.job_no):
        batches = list(group)
        event = [_told(one) for one in batches]
        completed = sum(one.status == "completed" for one in batches)
        failed = sum(one.status == "failed" for one in batches)
        rows.append((job_no, completed, failed, orjson.dumps(event).decode()))
    return rows


def _told(one: ImportReport) -> Mapping[str, object]:
    told = {"batch_id": one.batch.batch_no, "status": one.status, "rows": one.rows_read}
    return {**told, "code": one.error_code, "detail": one.error_detail} if one.error_code else told


def _released(reports: Sequence[ImportReport]) -> list[tuple[object, ...]]:
    return [
        (one.batch.job_no, one.batch.next_batch_no, one.batch.turn)
        for one in reports
        if one.status != "pending" and one.batch.next_batch_no is not None
    ]


def _due_again(reports: Sequence[ImportReport]) -> list[tuple[object, ...]]:
    return [
        (one.batch.job_no, one.batch.batch_no, 1, 1, RETRY_WEIGHT, one.due_in_seconds)
        for one in reports
        if one.status == "pending"
    ]
