"""Retry of inference jobs: failed cells are planned anew, by filter or one at a time, and their tries are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from db.configurations import adopt_jobs
from db.controls import Actor, lock_job_no
from db.engine import Connection, statement
from db.executions import CellKey, absent_execution, execution_id, number_of, parse_execution_id
from db.jobs import absent_job, read_job_state
from db.kinds import Retried, RetryFilter
from db.results import RETRY_WEIGHT
from db.retry_results import refuse_cancelled, retry_preview_result, retry_result
from db.usage import count_retry
from domain.plan import READY_WINDOW
from domain.status import TERMINAL_JOB_STATUSES


class _Narrowed(NamedTuple):
    """A filter in the numbers of a job's plan, in the order of the statements' parameters; None for any."""

    region_no: int | None = None
    model_no: int | None = None
    question_no: int | None = None
    error_code: str | None = None


async def retry(connection: Connection, job_no: int, wanted: RetryFilter, actor: Actor) -> Retried:
    """Plan a job's failed cells anew; locks batches, cells, waves and the job."""
    narrowed = await _narrow(connection, job_no, wanted)
    retried = await _reopen(connection, job_no, narrowed, actor, filtered=wanted.given())
    return await retry_result(connection, job_no, retried)


async def preview_retry(connection: Connection, job_no: int, wanted: RetryFilter) -> Retried:
    """Return the result that `retry` would have, without changes. Raises as `retry`."""
    await refuse_cancelled(connection, job_no)
    narrowed = await _narrow(connection, job_no, wanted)
    failed = await connection.fetchval(statement("count_failed_executions"), job_no, *narrowed)
    return retry_preview_result(await retry_result(connection, job_no, {0: failed}))


async def retry_execution(connection: Connection, tenant_no: int, given_id: str, actor: Actor) -> Retried:
    """Plan one cell anew in the caller's transaction if it has failed. Locks and raises as `retry_job`."""
    job_no, key = parse_execution_id(given_id)
    if not await lock_job_no(connection, tenant_no, job_no) or not await _is_planned(connection, job_no, key):
        raise absent_execution()
    return await retry_cell(connection, job_no, key, actor, filtered={"execution_id": execution_id(job_no, key)})


async def retry_cell(
    connection: Connection, job_no: int, key: CellKey, actor: Actor, *, filtered: Mapping[str, object]
) -> Retried:
    """Plan a cell anew if it has failed; its job is locked against other actions. The event shows `filtered`.

    Raises QuotaExceeded, after which the transaction must be undone.
    """
    await adopt_jobs(connection, [job_no])
    narrowed = _Narrowed(key.region_no, key.model_no, key.question_no)
    retried = await _reopen(connection, job_no, narrowed, actor, filtered=filtered)
    result = await retry_result(connection, job_no, retried)
    if result.is_any:
        quotas = await count_retry(connection, actor.limited_by, job_no, cells=result.retried)
        result = replace(result, quotas=quotas)
    return replace(result, untouched=1 - result.retried)


async def _reopen(
    connection: Connection, job_no: int, narrowed: _Narrowed, actor: Actor, *, filtered: Mapping[str, object]
) -> Mapping[int, int]:
    """Plan the failed cells anew and reopen their job; return the number of reopened cells by batch."""
    await refuse_cancelled(connection, job_no)
    locked = await connection.fetch(statement("lock_batches_to_reopen"), job_no, *narrowed)
    batch_nos = [row["batch_no"] for row in locked]
    if not batch_nos:
        return {}
    rows = await connection.fetch(statement("reopen_executions"), job_no, *narrowed, batch_nos, actor.by)
    cells_by_batch = {row["batch_no"]: row["cells"] for row in rows}
    incomplete = sum(row["incomplete"] for row in rows)
    await _reopen_waves_and_job(connection, job_no, cells_by_batch, incomplete, actor, filtered=filtered)
    return cells_by_batch


async def _reopen_waves_and_job(
    connection: Connection,
    job_no: int,
    cells_by_batch: Mapping[int, int],
    incomplete: int,
    actor: Actor,
    *,
    filtered: Mapping[str, object],
) -> None:
    """Reopen waves and job. A wave passes through `pending`, so it takes two statements."""
    batch_nos, cells = list(cells_by_batch), list(cells_by_batch.values())
    waves = await connection.fetch(statement("lock_waves_of_batches"), job_no, batch_nos)
    # A job ends with the end of a batch; the batches' waves are locked, so its state can't change from here on.
    before = (await read_job_state(connection, job_no)).status
    await connection.execute(statement("reopen_waves"), job_no, [row["wave_no"] for row in waves])
    event = actor.event_data(
        filter=filtered,
        cells=sum(cells),
        verdict=before if before in TERMINAL_JOB_STATUSES else None,
        batches=_batches_in_event(cells_by_batch),
    )
    await connection.execute(
        statement("reopen_job"),
        job_no,
        batch_nos,
        cells,
        READY_WINDOW,
        RETRY_WEIGHT,
        actor.by,
        event,
        actor.worker_no,
        incomplete,
    )


def _batches_in_event(cells_by_batch: Mapping[int, int]) -> Sequence[Mapping[str, int]]:
    return [{"batch_id": batch_no, "cells": cells} for batch_no, cells in cells_by_batch.items()]


async def _narrow(connection: Connection, job_no: int, wanted: RetryFilter) -> _Narrowed:
    names = await connection.fetchrow(statement("read_plan_names"), job_no)
    if names is None:
        raise absent_job()
    return _Narrowed(
        region_no=number_of(names["region_ids"], wanted.region),
        model_no=number_of(names["model_ids"], wanted.model),
        error_code=wanted.error_code,
    )


async def _is_planned(connection: Connection, job_no: int, key: CellKey) -> bool:
    is_planned: bool = await connection.fetchval(statement("find_execution"), job_no, *key)
    return is_planned


async def unchanged_cell(connection: Connection, job_no: int) -> Retried:
    """Return the result of a retry that leaves the cell unchanged."""
    return replace(await retry_result(connection, job_no, {}), untouched=1)
