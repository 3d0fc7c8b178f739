"""The log lines of a load: a line per job and error code, for any number of failed batches, and per wave and job."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog

from db.batches import ClaimedBatch
from db.import_reports import ImportRange, ImportReport
from db.import_results import ImportRecorded

NAMED_BATCHES = 10
NAMED_RECORD_TYPES = 5
NAMED_JOBS = 5


def batch_fields(batch: ClaimedBatch, import_range: ImportRange) -> Mapping[str, object]:
    """Return the fields that name a batch in a log line."""
    return {
        "job_id": import_range.job_id,
        "job_no": batch.job_no,
        "batch_no": batch.batch_no,
        "record_type": import_range.record_type,
    }


def job_ids(batches: Sequence[ImportReport]) -> Sequence[str]:
    """Return the jobs of these batches, a few at most."""
    return sorted({report.range.job_id for report in batches})[:NAMED_JOBS]


def log_load(log: structlog.stdlib.BoundLogger, recorded: ImportRecorded) -> None:
    """Log the results of a load."""
    for report in recorded.stale:
        log.warning(
            "duplicate_prevented",
            layer="fence",
            reason="stale_lease",
            **batch_fields(report.batch, report.range),
            fence=report.batch.fence,
            rows=report.rows_read,
        )
    _log_errors(log, recorded.written)
    for job in recorded.jobs:
        if job.ended_wave_no is not None:
            log.info(
                "wave_ended",
                job_id=job.id,
                wave=job.ended_wave_no,
                status=job.ended_wave_status,
                opened_wave=job.opened_wave_no,
            )
        if job.status != "running":
            log.info("job_finished", job_id=job.id, status=job.status)


def _log_errors(log: structlog.stdlib.BoundLogger, reports: Sequence[ImportReport]) -> None:
    groups: dict[tuple[str, str, str], list[ImportReport]] = defaultdict(list)
    for report in reports:
        if report.error_code is not None:
            groups[report.status, report.range.job_id, report.error_code].append(report)
    for (status, job_id, code), batches in groups.items():
        log.warning(
            "batch_failed" if status == "failed" else "batch_put_off",
            job_id=job_id,
            code=code,
            batches=len(batches),
            batch_nos=[report.batch.batch_no for report in batches[:NAMED_BATCHES]],
            record_types=sorted({report.range.record_type for report in batches})[:NAMED_RECORD_TYPES],
            detail=batches[0].error_detail,
        )
