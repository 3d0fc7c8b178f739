"""Recording import batches: their rows and their ends, in one transaction."""

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
    """An import after a transaction that ended batches of it, with the wave that it ended or opened, if any."""

    job_no: int
    id: str
    status: str
    ended_wave_no: int | None
    ended_wave_status: str | None
    opened_wave_no: int | None


@dataclass(frozen=True, slots=True)
class ImportRecorded:
    """The result of a transaction: the written reports, and the `stale` ones, whose leases other workers took."""

    written: Sequence[ImportReport] = ()
    stale: Sequence[ImportReport] = ()
    jobs: Sequence[ImportAdvanced] = field(default=())


class LeasesLost(Exception):
    """Leases were lost while their rows were written; the caller repeats, and the reports become stale."""


async def record(
    connection: Connection, reports: Iterable[ImportReport], *, source: str, is_known: bool = False
) -> ImportRecorded:
    """Write the rows of batches and end them, in the caller's transaction.

    Locks rows, batches, waves, jobs and record sets, in this order.

    Batches of one record set must belong to one job. A batch whose lease was lost changes nothing and is returned as
    stale. Raises LeasesLost and DuplicateKeys, and the transaction must be undone. `is_known` means that most rows
    exist already: they are looked up before they are inserted, which is faster then.
    """
    given = sorted(reports, key=lambda report: report.batch.key)
    contested_by_lease = await _begin(connection, given)
    held = [report for report in given if report.batch.key[:3] in contested_by_lease]
    stale = [report for report in given if report.batch.key[:3] not in contested_by_lease]
    if not held:
        return ImportRecorded(stale=stale)
    for report in held:  # counts of a transaction that was rolled back
        report.inserted = report.updated = report.superseded = report.known = 0
    contested = {report.range.record_set_no for report in held if contested_by_lease[report.batch.key[:3]]}
    with_records = [report for report in held if report.records]
    await write_records(connection, with_records, contested=sorted(contested), is_known=is_known)
    await _record_batches(connection, held)
    ended = [report for report in held if report.status != "pending"]
    if ended:
        await _write_counts(connection, ended)
    if len(ended) < len(held):
        await _reschedule(connection, [report for report in held if report.status == "pending"])
    jobs = await _advance(connection, held, source=source)
    return ImportRecorded(held, stale, jobs)


async def _begin(connection: Connection, reports: Sequence[ImportReport]) -> Mapping[tuple[int, int, int], bool]:
    """Return the leases that still hold, and whether an older import may write the same rows."""
    leases = [(*report.batch.key, report.range.record_set_no, report.range.generation) for report in reports]
    rows = await connection.fetch(statement("check_load_leases"), *columns(leases, 6))
    return {(row["job_no"], row["batch_no"], row["fence"]): row["is_contested"] for row in rows}


async def _record_batches(connection: Connection, reports: Sequence[ImportReport]) -> None:
    """Lock and end the batches after their rows are written, so that a cancel needn't wait for the rows."""
    rows = await connection.fetch(
        statement("record_import_batches"),
        *columns([(*report.batch.key, report.status, report.due_in_seconds) for report in reports], 6),
    )
    if len(rows) < len(reports):
        raise LeasesLost


async def _write_counts(connection: Connection, ended: Sequence[ImportReport]) -> None:
    counts = [
        (
            report.batch.job_no,
            report.batch.batch_no,
            report.rows_read,
            report.inserted,
            report.updated,
            report.unchanged,
            report.superseded,
            len(report.rejected),
            report.error_code,
            report.error_detail,
            report.identity_no,
        )
        for report in ended
    ]
    await connection.execute(statement("record_import_counts"), *columns(counts, 11))
    rejects = [(report.batch.job_no, report.batch.batch_no, *row) for report in ended for row in report.rejected]
    repeated = [
        (report.batch.job_no, report.batch.batch_no) for report in ended if report.rejected or report.range.attempts
    ]
    if repeated:
        await connection.execute(statement("replace_rejects"), *columns(repeated, 2), *columns(rejects, 6))


async def _reschedule(connection: Connection, waiting: Sequence[ImportReport]) -> None:
    reasons = [
        (*report.batch.key[:2], report.is_unavailable, report.is_forgiven, report.error_code, report.error_detail)
        for report in waiting
    ]
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
            await failed_waves.record_detail(connection, job.job_no, job.id, job.ended_wave_no)
    return advanced


def _wave_rows(reports: Sequence[ImportReport]) -> list[tuple[int, ...]]:
    ended: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    short: Counter[tuple[int, int]] = Counter()
    for report in reports:
        key = report.batch.job_no, report.batch.wave_no
        ended[key] += report.status != "pending"
        failed[key] += report.status == "failed"
        short[key] += report.is_short
    return [(*key, ended[key], failed[key], short[key]) for key in sorted(ended)]


def _job_rows(reports: Sequence[ImportReport]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for job_no, group in groupby(reports, key=lambda report: report.batch.job_no):
        batches = list(group)
        event = [_event_data(report) for report in batches]
        completed = sum(report.status == "completed" for report in batches)
        failed = sum(report.status == "failed" for report in batches)
        rows.append((job_no, completed, failed, orjson.dumps(event).decode()))
    return rows


def _event_data(report: ImportReport) -> Mapping[str, object]:
    data = {"batch_id": report.batch.batch_no, "status": report.status, "rows": report.rows_read}
    return {**data, "code": report.error_code, "detail": report.error_detail} if report.error_code else data


def _released(reports: Sequence[ImportReport]) -> list[tuple[object, ...]]:
    return [
        (report.batch.job_no, report.batch.next_batch_no, report.batch.virtual_finish_time)
        for report in reports
        if report.status != "pending" and report.batch.next_batch_no is not None
    ]


def _due_again(reports: Sequence[ImportReport]) -> list[tuple[object, ...]]:
    return [
        (report.batch.job_no, report.batch.batch_no, 1, 1, RETRY_WEIGHT, report.due_in_seconds)
        for report in reports
        if report.status == "pending"
    ]
