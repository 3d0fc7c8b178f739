"""The log lines of a flush: stale results, circuit breakers, dead letters and ends of jobs."""

import structlog

from db.results import BatchReport, Recorded, is_dead_letter


def log_flush(log: structlog.stdlib.BoundLogger, recorded: Recorded) -> None:
    """Log the results of a flush, after its commit."""
    for report in recorded.stale:
        if report.results:  # else only permits of a batch that has ended
            log.warning(
                "duplicate_prevented",
                layer="fence",
                reason="stale_lease",
                job_no=report.batch.job_no,
                batch_no=report.batch.batch_no,
                fence=report.batch.fence,
                cells=report.results,
            )
    for report in recorded.written:
        _log_breaker(log, report)
        _log_dead_letters(log, report)
    for job in recorded.jobs:
        if job.status != "running":
            log.info("job_finished", job_id=job.id, status=job.status)


def _log_breaker(log: structlog.stdlib.BoundLogger, report: BatchReport) -> None:
    pool = {"provider": report.batch.provider, "region": report.batch.region}
    if report.resets_breaker:
        log.info("gate_opened", **pool)
    if report.refusal is not None:
        log.warning("gate_closed", **pool, code=report.refusal.code, seconds=report.refusal.seconds)


def _log_dead_letters(log: structlog.stdlib.BoundLogger, report: BatchReport) -> None:
    for cell in report.ended:
        if is_dead_letter(cell):
            execution_id = f"{cell.job_no}-{cell.model_no}-{cell.region_no}-{cell.question_no}"
            log.warning("dead_letter", execution_id=execution_id, code=cell.error_code)
