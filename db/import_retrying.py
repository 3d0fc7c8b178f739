"""Retry of imports: failed batches are read again; an import whose coordination failed is coordinated again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from db.controls import Actor
from db.engine import Connection, statement
from db.import_coordination import lock_dataset
from db.kinds import Retried, RetryFilter
from db.results import RETRY_WEIGHT
from db.retry_results import refuse_cancelled, retry_preview_result, retry_result
from domain.errors import DatasetChanging, FieldError, ImportSuperseded, ParametersRejected
from domain.status import TERMINAL_JOB_STATUSES


@dataclass(frozen=True, slots=True)
class _Reopened:
    """The number of batches to read again, and one of them; or that the import waits for its coordination."""

    batches: int
    batch_no: int | None = None
    is_queued: bool = False


async def retry(connection: Connection, job_no: int, wanted: RetryFilter, actor: Actor) -> Retried:
    """Reopen an import's failed batches; if it has no batches, queue it for coordination.

    Locks batches, waves, the job, then its dataset. Raises ImportSuperseded and DatasetChanging too.
    """
    await refuse_cancelled(connection, job_no)
    _refuse_cell_filters(wanted.given())
    reopened = await _reopen(connection, job_no, wanted.error_code, actor, filtered=wanted.given())
    return await _result(connection, job_no, reopened)


async def preview_retry(connection: Connection, job_no: int, wanted: RetryFilter) -> Retried:
    """Return the result that `retry` would have, without changes. Raises as `retry`."""
    await refuse_cancelled(connection, job_no)
    _refuse_cell_filters(wanted.given())
    return retry_preview_result(
        await _result(connection, job_no, await _preview_reopening(connection, job_no, wanted.error_code))
    )


async def _result(connection: Connection, job_no: int, reopened: _Reopened) -> Retried:
    batches = {reopened.batch_no or 0: reopened.batches} if reopened.batches else {}
    result = await retry_result(connection, job_no, batches)
    return replace(result, batch_no=reopened.batch_no, is_queued=reopened.is_queued)


async def _reopen(
    connection: Connection, job_no: int, error_code: str | None, actor: Actor, *, filtered: Mapping[str, object]
) -> _Reopened:
    """Reopen an import with its failed batches, in the caller's transaction; do nothing if none failed.

    An import that failed without batches is coordinated again. With an `error_code`, only failures with this code
    count. The job is locked against other actions. Locks batches, waves, the job, its dataset and record sets. Raises
    ImportSuperseded and DatasetChanging.
    """
    event = actor.event_data(filter=filtered, verdict="failed")
    if await connection.fetchval(statement("requeue_import"), job_no, actor.by, event, error_code) is not None:
        return _Reopened(0, is_queued=True)
    locked = await connection.fetch(statement("lock_failed_import_batches"), job_no, error_code)
    batch_nos = [row["batch_no"] for row in locked]
    if not batch_nos:
        return _Reopened(0)
    waves = await connection.fetch(statement("lock_waves_of_batches"), job_no, batch_nos)
    before = await connection.fetchval(statement("lock_job"), job_no)
    await lock_dataset(connection, job_no)
    await connection.execute(statement("lock_unwritten_record_sets"), job_no)
    # A newer import that completes changes the locked rows, so this check stays true until the commit.
    await _refuse_superseded(connection, job_no)
    await connection.execute(statement("reopen_waves"), job_no, [row["wave_no"] for row in waves])
    verdict = before if before in TERMINAL_JOB_STATUSES else None
    event = actor.event_data(
        filter=filtered, verdict=verdict, batches=[{"batch_id": batch_no} for batch_no in batch_nos]
    )
    await connection.execute(
        statement("reopen_import"), job_no, batch_nos, RETRY_WEIGHT, actor.by, event, actor.worker_no
    )
    return _Reopened(len(batch_nos), batch_nos[0])


async def _preview_reopening(connection: Connection, job_no: int, error_code: str | None) -> _Reopened:
    """Return the result that `_reopen` would have, without changes. Raises as `_reopen`."""
    if await connection.fetchval(statement("find_import_to_requeue"), job_no, error_code) is not None:
        return _Reopened(0, is_queued=True)
    failed = await connection.fetchval(statement("count_failed_import_batches"), job_no, error_code)
    if failed:
        await _refuse_superseded(connection, job_no)
    return _Reopened(failed)


async def _refuse_superseded(connection: Connection, job_no: int) -> None:
    """Raise if a newer import completed, or if another import runs that excludes this one."""
    if (newer := await connection.fetchrow(statement("find_superseding_import"), job_no)) is not None:
        by = f"job {newer['job_id']}" if newer["job_id"] else "a job that is deleted by now"
        raise ImportSuperseded(
            f"Record type {newer['record_type']} was loaded by a newer import since ({by}, generation"
            f" {newer['completed_generation']}; this one is {newer['generation']}). Submit the import again, with"
            " `on_duplicate: create`, to load its source as it is now.",
            record_type=newer["record_type"],
            superseded_by=newer["job_id"],
        )
    if (beside := await connection.fetchrow(statement("find_concurrent_import"), job_no)) is not None:
        raise DatasetChanging(
            f"Job {beside['job_id']} imports record type {beside['record_type']} now, and a source that is no file is"
            " read by one import at a time. Retry this one once that has ended, or cancel it.",
            record_type=beside["record_type"],
            job_id=beside["job_id"],
        )


def _refuse_cell_filters(given: Mapping[str, object]) -> None:
    """Raise ParametersRejected for a filter that batches of imports can't have."""
    errors = [
        FieldError(
            f"/{name}",
            "misplaced_field",
            f"A batch of an import has no {name}: take it out. `error_code` narrows the retry of an import.",
        )
        for name in ("region", "model")
        if name in given
    ]
    if errors:
        raise ParametersRejected(errors)
