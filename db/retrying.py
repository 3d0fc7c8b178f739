"""Retry of a job: its failed work is planned anew, as its kind does that; everything else stays unchanged."""

from collections.abc import Mapping

from db.built_in_kinds import KINDS
from db.configurations import adopt_jobs
from db.controls import Actor, lock_job
from db.engine import Connection, Engine, connect
from db.jobs import find_job
from db.kinds import Retried, RetryFilter, StoredKind, kind_named, kind_of


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

    Locks the job against other actions, then as its kind does. A repetition finds nothing failed. Raises NotFound,
    JobCancelled, KindNotServed and LOCK_TIMED_OUT, and ParametersRejected for a filter that the job's kind can't have.
    """
    job_no = await lock_job(connection, tenant_no, job_id)
    await adopt_jobs(connection, [job_no])
    return await kind_named(kinds, await kind_of(connection, job_no)).retry(connection, job_no, wanted, actor)


async def preview_retry(
    engine: Engine, tenant_no: int, job_id: str, wanted: RetryFilter, *, kinds: Mapping[str, StoredKind] = KINDS
) -> Retried:
    """Return the result that `retry_job` would have, without changes. Raises as `retry_job`."""
    job_no = await find_job(engine, tenant_no, job_id)
    async with connect(engine) as connection:
        return await kind_named(kinds, await kind_of(connection, job_no)).preview_retry(connection, job_no, wanted)
