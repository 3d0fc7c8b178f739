"""Retry of a job: its failed work is planned anew, as its kind does that; everything else stays unchanged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from db.built_in_kinds import KINDS
from db.configurations import adopt_jobs
from db.controls import Actor, lock_job
from db.engine import Connection, Engine, connect
from db.jobs import look_up_job
from db.kinds import Retried, RetryFilter, StoredKind, Unit, kind_named, kind_of
from db.usage import check_retry, count_retry
from domain.key_limits import Limited


async def retry_job(
    connection: Connection,
    tenant_no: int,
    job_id: str,
    wanted: RetryFilter,
    actor: Actor,
    *,
    kinds: Mapping[str, StoredKind] = KINDS,
) -> Retried:
    """Plan a job's failed units anew in the caller's transaction; its other units stay unchanged.

    Locks the job against other actions, then as its kind does. A repetition finds nothing failed. Raises NotFound, and
    as `retry_locked`.
    """
    job_no = await lock_job(connection, tenant_no, job_id)
    return await retry_locked(connection, job_no, wanted, actor, kinds=kinds)


async def retry_locked(
    connection: Connection, job_no: int, wanted: RetryFilter, actor: Actor, *, kinds: Mapping[str, StoredKind] = KINDS
) -> Retried:
    """Plan the failed units of a job anew that the transaction has locked against other actions.

    Raises JobCancelled, KindNotServed and LOCK_TIMED_OUT, ParametersRejected for a filter that the job's kind can't
    have, the refusals of its kind, and QuotaExceeded, after which the transaction must be undone.
    """
    await adopt_jobs(connection, [job_no])
    kind = kind_named(kinds, await kind_of(connection, job_no))
    retried = await kind.retry(connection, job_no, wanted, actor)
    if not retried.is_any:
        return retried
    quotas = await count_retry(connection, actor.limited_by, job_no, cells=_cells(kind, retried))
    return replace(retried, quotas=quotas)


async def preview_retry(
    engine: Engine,
    tenant_no: int,
    job_id: str,
    wanted: RetryFilter,
    *,
    limited_by: Sequence[Limited] = (),
    kinds: Mapping[str, StoredKind] = KINDS,
) -> Retried:
    """Return the result that `retry_job` would have, without changes. Raises as `retry_job`."""
    async with connect(engine) as connection:
        job_no = await look_up_job(connection, tenant_no, job_id)
        kind = kind_named(kinds, await kind_of(connection, job_no))
        retried = await kind.preview_retry(connection, job_no, wanted)
        if not retried.is_any:
            return retried
        quotas = await check_retry(connection, limited_by, job_no, cells=_cells(kind, retried))
        return replace(retried, quotas=quotas)


def _cells(kind: StoredKind, retried: Retried) -> int:
    return retried.retried if kind.unit is Unit.CELL else 0
