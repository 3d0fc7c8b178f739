"""Reports of import batches that were read, or that couldn't be read."""

import random
from collections.abc import Collection, Sequence

from db.batches import ClaimedBatch
from db.import_reports import ImportRange, ImportReport
from domain.import_spec import ImportPolicy
from domain.outcome import WORKER_LOST, backoff_seconds, is_forgiven, storable, unavailable_backoff_seconds
from sources.errors import SourceError
from sources.keys import key_text, spelled_key_text
from sources.protocol import SourceRow
from worker.imports.records import duplicate, to_records

TOO_MANY_REJECTS = "too_many_rejects"
ROWS_REFUSED = "rows_refused"
LOAD_TIMEOUT = "load_timeout"


def report_read(
    batch: ClaimedBatch,
    import_range: ImportRange,
    rows: Sequence[SourceRow],
    *,
    key: tuple[str, ...],
    policy: ImportPolicy,
) -> ImportReport:
    """Return the report of a batch whose rows were read: completed, or failed if too many were rejected."""
    records = to_records(rows, key, key_text(key) if import_range.keys_by_value else spelled_key_text(key))
    report = ImportReport(
        batch,
        import_range,
        "completed",
        identity_no=batch.identity_no,
        rows_read=len(rows),
        records=records.taken,
        rejected=records.rejected,
        max_rejects=policy.max_rejects,
        max_attempts=policy.max_attempts,
    )
    _refuse_too_many(report)
    return report


def report_unread(
    batch: ClaimedBatch, import_range: ImportRange, error: SourceError, *, policy: ImportPolicy
) -> ImportReport:
    """Return the report of a batch that couldn't be read: rescheduled or failed."""
    report = _failed(batch, import_range, error.code, error.detail)
    counted = import_range.attempts + 1 - import_range.forgiven
    jitter = random.random()  # noqa: S311 - it needs no secrecy
    report.is_unavailable = error.is_unavailable
    report.is_forgiven = error.is_unavailable and is_forgiven(import_range.unavailable_seconds)
    if report.is_forgiven or (error.retryable and counted < policy.max_attempts):
        report.status = "pending"
        away = unavailable_backoff_seconds(import_range.unavailable_seconds, jitter)
        report.due_in_seconds = away if error.is_unavailable else backoff_seconds(counted, jitter)
    return report


def report_lost(batch: ClaimedBatch, import_range: ImportRange) -> ImportReport:
    """Return the report of a batch whose leases were lost too often."""
    detail = f"The workers that ran this batch were lost {batch.lost_leases} times in a row."
    return _failed(batch, import_range, WORKER_LOST, detail)


def reject_duplicates(report: ImportReport, keys: Collection[str]) -> None:
    """Turn rows whose keys another batch of the import wrote into rejects."""
    twice = [duplicate(row.position, row.record_key) for row in report.records if row.record_key in keys]
    report.records = [row for row in report.records if row.record_key not in keys]
    report.rejected = [*report.rejected, *twice]
    _refuse_too_many(report)


def refuse_rows(report: ImportReport) -> None:
    """Fail a batch whose rows the database rejects."""
    report.rejected = ()
    _give_up(report, ROWS_REFUSED, "The database refuses rows of this batch; the worker's log says which rule.")


def reschedule(report: ImportReport) -> None:
    """Reschedule or fail a batch whose rows the database couldn't write in time."""
    report.rejected = ()
    detail = "The database didn't write the rows of this batch within the time of a statement."
    _give_up(report, LOAD_TIMEOUT, detail)
    counted = report.range.attempts + 1 - report.range.forgiven
    if counted < report.max_attempts:
        report.status = "pending"
        report.due_in_seconds = backoff_seconds(counted, random.random())  # noqa: S311 - it needs no secrecy


def _refuse_too_many(report: ImportReport) -> None:
    """Fail a batch, without its rows, if more of them were rejected than its policy allows."""
    rejects = len(report.rejected)
    if rejects > report.max_rejects:
        detail = f"{rejects} of its rows can't be taken; max_rejects is {report.max_rejects}."
        _give_up(report, TOO_MANY_REJECTS, detail)


def _give_up(report: ImportReport, code: str, detail: str) -> None:
    """Fail a batch, without its rows."""
    report.status = "failed"
    report.records = ()
    report.error_code = code
    report.error_detail = detail


def _failed(batch: ClaimedBatch, import_range: ImportRange, code: str, detail: str) -> ImportReport:
    return ImportReport(batch, import_range, "failed", error_code=code, error_detail=storable(detail))
