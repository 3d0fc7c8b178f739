"""What API keys have used of their quotas: counted, and locked until the transaction that counts on it has ended.

The row of a key is locked before its active jobs are counted, so two transactions never count on the same rest. Rows
are locked in the order of the keys, after those of jobs and before counters.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from db.engine import Connection, statement
from domain.key_limits import LimitedKey, Quota
from domain.quotas import Usage, quotas_of, refusal_of


async def lock_usage(connection: Connection, keys: Collection[LimitedKey]) -> dict[int, Usage]:
    """Lock what these keys have used until the transaction ends; return it by the keys' numbers.

    The active jobs of keys without a limit of them aren't counted. Waits for other transactions that count on one of
    the keys; raises LOCK_TIMED_OUT.
    """
    rows = await connection.fetch(statement("lock_key_usage"), sorted({key.key_no for key in keys}))
    counted = sorted({key.key_no for key in keys if key.limits.active_jobs is not None})
    found = await connection.fetch(statement("count_active_jobs"), counted) if counted else []
    active = {row["key_no"]: row["active_jobs"] for row in found}
    return {row["key_no"]: _usage(row, active_jobs=active.get(row["key_no"], 0)) for row in rows}


async def read_usage(connection: Connection, key: LimitedKey, *, without_job: int | None = None) -> Usage:
    """Return what a key has used at this moment, without a lock; the job `without_job` isn't counted."""
    row = await connection.fetchrow(statement("read_key_usage"), key.key_no, without_job)
    assert row is not None  # noqa: S101 - the statement always gives one row
    return _usage(row, active_jobs=row["active_jobs"])


async def spend_cells(connection: Connection, cells_by_key: Mapping[int, int]) -> None:
    """Count cells as created under keys whose usage this transaction has locked."""
    await connection.execute(statement("spend_cells"), list(cells_by_key), list(cells_by_key.values()))


async def add_active_jobs(connection: Connection, key_by_job: Mapping[int, int]) -> None:
    """Let each of these jobs count among the active jobs of its key, and of no other, until it ends."""
    await connection.execute(statement("add_active_jobs"), list(key_by_job), list(key_by_job.values()))


async def count_retry(connection: Connection, key: LimitedKey | None, job_no: int, *, cells: int) -> Sequence[Quota]:
    """Count a job that this transaction has planned anew, with so many cells, for the key that asked for it.

    From now on the job is among the active jobs of this key alone; of none, if the key has no such limit. Returns what
    is used of the key's quotas. Raises QuotaExceeded, after which the transaction must be undone, and LOCK_TIMED_OUT.
    """
    if key is None or key.limits.active_jobs is None:
        await connection.execute(statement("remove_active_job"), job_no)
    else:
        await add_active_jobs(connection, {job_no: key.key_no})
    if key is None:
        return ()
    usage = (await lock_usage(connection, [key]))[key.key_no]  # with this job, if active jobs are limited
    before = usage.plus(cells=0, jobs=-1)
    if (refusal := refusal_of(key.limits, before, cells=cells, jobs=1)) is not None:
        raise refusal
    if cells:
        await spend_cells(connection, {key.key_no: cells})
    return quotas_of(key.limits, usage.plus(cells=cells, jobs=0))


async def check_retry(connection: Connection, key: LimitedKey | None, job_no: int, *, cells: int) -> Sequence[Quota]:
    """Return what is used of the key's quotas. Raises QuotaExceeded if `count_retry` would at this moment."""
    if key is None:
        return ()
    usage = await read_usage(connection, key, without_job=job_no)
    if (refusal := refusal_of(key.limits, usage, cells=cells, jobs=1)) is not None:
        raise refusal
    return quotas_of(key.limits, usage)


def _usage(row: Any, *, active_jobs: int) -> Usage:
    return Usage(row["cells"], active_jobs, row["day_ends_at"], row["at"])
