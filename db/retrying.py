"""Retry: failed cells are planned anew, by filter or one by one; their tries are kept, and nothing else is touched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from db.configurations import adopt_jobs
from db.controls import Actor, lock_job, lock_job_no
from db.engine import Connection, Engine, connect, statement
from db.executions import CellKey, absent_execution, execution_id, number_of, parse_execution_id
from db.import_retrying import ReopenedImport, preview_import, refuse_cell_filters, reopen_import
from db.jobs import absent_job, find_job
from db.results import RETRY_WEIGHT
from domain.errors import JobCancelled
from domain.plan import READY_WINDOW
from domain.status import TERMINAL_JOB_STATUSES


@dataclass(frozen=True, slots=True)
class RetryFilter:
    """Which failed cells of a job are meant; `region` is canonical. None stands for any."""

    region: str | None = None
    model: str | None = None
    error_code: str | None = None

    def told(self) -> Mapping[str, str]:
        """Return what was asked for, as an event tells it."""
        given = {"region": self.region, "model": self.model, "error_code": self.error_code}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Retried:
    """How many cells were planned anew of those that were asked about, and the job's state after it.

    `unknown` counts the job's cells whose end nobody knows.
    `batch_no` is a batch with such cells, None if there are none. Of an import batches are counted; one that could not
    be coordinated `is_queued` to be.
    """

    job_no: int
    job_id: str
    status: str
    retried: int
    untouched: int
    unknown: int
    batch_no: int | None = None
    is_queued: bool = False


class _Narrowed(NamedTuple):
    """A filter in the numbers of a job's plan, in the order of the statements' parameters; None for any."""

    region_no: int | None = None
    model_no: int | None = None
    question_no: int | None = None
    error_code: str | None = None


async def retry_job(connection: Connection, tenant_no: int, job_id: str, wanted: RetryFilter, actor: Actor) -> Retried:
    """Plan a job's failed cells anew in the caller's transaction; the other planned cells are the untouched ones.

    Locks the job against other actions, then batches, cells, waves and the job. Pressed again, it finds nothing failed.
    Raises NotFound, JobCancelled and HELD_UP, and ParametersRejected for a region or model of an import.
    """
    job_no = await lock_job(connection, tenant_no, job_id)
    await adopt_jobs(connection, [job_no])
    if await _is_import(connection, job_no):
        return await _retry_import(connection, job_no, wanted, actor)
    narrowed = await _narrow(connection, job_no, wanted)
    retried = await _reopen(connection, job_no, narrowed, actor, filtered=wanted.told())
    return await _result(connection, job_no, retried)


async def preview_retry(engine: Engine, tenant_no: int, job_id: str, wanted: RetryFilter) -> Retried:
    """Say what `retry_job` would do now, with the job's state after it, and do nothing. Raises as that."""
    job_no = await find_job(engine, tenant_no, job_id)
    async with connect(engine) as connection:
        await _refuse_cancelled(connection, job_no)
        if await _is_import(connection, job_no):
            refuse_cell_filters(wanted.told())
            reopened = await preview_import(connection, job_no, wanted.error_code)
            return _foreseen(await _import_result(connection, job_no, reopened))
        narrowed = await _narrow(connection, job_no, wanted)
        failed = await connection.fetchval(statement("count_failed_executions"), job_no, *narrowed)
        return _foreseen(await _result(connection, job_no, {0: failed}))


async def _retry_import(connection: Connection, job_no: int, wanted: RetryFilter, actor: Actor) -> Retried:
    await _refuse_cancelled(connection, job_no)
    refuse_cell_filters(wanted.told())
    reopened = await reopen_import(connection, job_no, wanted.error_code, actor, filtered=wanted.told())
    return await _import_result(connection, job_no, reopened)


async def _import_result(connection: Connection, job_no: int, reopened: ReopenedImport) -> Retried:
    result = await _result(connection, job_no, {reopened.batch_no or 0: reopened.batches} if reopened.batches else {})
    return replace(result, batch_no=reopened.batch_no, is_queued=reopened.is_queued)


def _foreseen(result: Retried) -> Retried:
    """Return what a retry comes to, given what it would find."""
    if result.is_queued:
        return replace(result, status="queued")
    return replace(result, status="running") if result.retried else result


async def _is_import(connection: Connection, job_no: int) -> bool:
    is_import: bool = await connection.fetchval("SELECT kind = 'import' FROM jobs WHERE job_no = $1", job_no)
    return is_import


async def retry_execution(connection: Connection, tenant_no: int, given_id: str, actor: Actor) -> Retried:
    """Plan one cell anew in the caller's transaction if it has failed. Locks and raises as `retry_job`."""
    job_no, key = parse_execution_id(given_id)
    if not await lock_job_no(connection, tenant_no, job_no) or not await _is_planned(connection, job_no, key):
        raise absent_execution()
    return await retry_cell(connection, job_no, key, actor, filtered={"execution_id": execution_id(job_no, key)})


async def retry_cell(
    connection: Connection, job_no: int, key: CellKey, actor: Actor, *, filtered: Mapping[str, object]
) -> Retried:
    """Plan a cell anew if it has failed; its job is locked against other actions. `filtered` says what was asked."""
    await adopt_jobs(connection, [job_no])
    narrowed = _Narrowed(key.region_no, key.model_no, key.question_no)
    retried = await _reopen(connection, job_no, narrowed, actor, filtered=filtered)
    result = await _result(connection, job_no, retried)
    return replace(result, untouched=1 - result.retried)


async def _reopen(
    connection: Connection, job_no: int, narrowed: _Narrowed, actor: Actor, *, filtered: Mapping[str, object]
) -> Mapping[int, int]:
    """Plan the failed cells anew and let their job run again; return how many cells each batch got back."""
    await _refuse_cancelled(connection, job_no)
    locked = await connection.fetch(statement("lock_batches_to_reopen"), job_no, *narrowed)
    batch_nos = [row["batch_no"] for row in locked]
    if not batch_nos:
        return {}
    rows = await connection.fetch(statement("reopen_executions"), job_no, *narrowed, batch_nos, actor.by)
    cells_by_batch = {row["batch_no"]: row["cells"] for row in rows}
    incomplete = sum(row["incomplete"] for row in rows)
    await _reopen_above(connection, job_no, cells_by_batch, incomplete, actor, filtered=filtered)
    return cells_by_batch


async def _reopen_above(
    connection: Connection,
    job_no: int,
    cells_by_batch: Mapping[int, int],
    incomplete: int,
    actor: Actor,
    *,
    filtered: Mapping[str, object],
) -> None:
    """Carry reopened cells up. A wave passes through `pending`, which the one statement can't do with a row twice."""
    batch_nos, cells = list(cells_by_batch), list(cells_by_batch.values())
    waves = await connection.fetch(statement("lock_waves_of_batches"), job_no, batch_nos)
    # Whoever ends the job ends a batch of these waves, so that from here on its state stands still.
    before = await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no)
    await connection.execute(statement("reopen_waves"), job_no, [row["wave_no"] for row in waves])
    event = actor.told(
        filter=filtered,
        cells=sum(cells),
        verdict=before if before in TERMINAL_JOB_STATUSES else None,
        batches=_told_batches(cells_by_batch),
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


def _told_batches(cells_by_batch: Mapping[int, int]) -> Sequence[Mapping[str, int]]:
    return [{"batch_id": batch_no, "cells": cells} for batch_no, cells in cells_by_batch.items()]


async def _narrow(connection: Connection, job_no: int, wanted: RetryFilter) -> _Narrowed:
    names = await connection.fetchrow("SELECT region_ids, model_ids FROM specs WHERE job_no = $1", job_no)
    if names is None:
        raise absent_job()
    return _Narrowed(
        region_no=number_of(names["region_ids"], wanted.region),
        model_no=number_of(names["model_ids"], wanted.model),
        error_code=wanted.error_code,
    )


async def _refuse_cancelled(connection: Connection, job_no: int) -> None:
    if await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "cancelled":
        raise JobCancelled(
            "The job was cancelled, and nothing of it runs again. Submit it again, without its id or under another one."
        )


async def _is_planned(connection: Connection, job_no: int, key: CellKey) -> bool:
    is_planned: bool = await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM executions WHERE job_no = $1 AND region_no = $2 AND model_no = $3 AND question_no = $4
        )
        """,
        job_no,
        *key,
    )
    return is_planned


async def _result(connection: Connection, job_no: int, cells_by_batch: Mapping[int, int]) -> Retried:
    job = await connection.fetchrow("SELECT id, status, planned, unknown FROM jobs WHERE job_no = $1", job_no)
    if job is None:
        raise absent_job()
    retried = sum(cells_by_batch.values())
    return Retried(
        job_no=job_no,
        job_id=job["id"],
        status=job["status"],
        retried=retried,
        untouched=job["planned"] - retried,
        unknown=job["unknown"],
        batch_no=next(iter(cells_by_batch), None),
    )


async def untouched_cell(connection: Connection, job_no: int) -> Retried:
    """Return what comes of a retry that leaves the one cell that it asks about as it is."""
    return replace(await _result(connection, job_no, {}), untouched=1)
