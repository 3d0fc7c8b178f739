"""What API keys and tenants have used of their quotas: counted, and locked until the transaction that counts has ended.

The row of a key or tenant is locked before its active jobs are counted, so two transactions never count on the same
rest. Rows are locked in one order: those of keys by number, then those of tenants, after those of jobs and before
counters.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from db.engine import Connection, statement
from domain.key_limits import Holder, HolderId, Limited, Quota
from domain.quotas import Usage, quotas_of_all, refusal_of_any


class _Statements(NamedTuple):
    lock: str
    count_active_jobs: str
    read: str
    spend_cells: str


_STATEMENTS = {
    Holder.KEY: _Statements("lock_key_usage", "count_active_jobs", "read_key_usage", "spend_cells"),
    Holder.TENANT: _Statements(
        "lock_tenant_usage", "count_active_jobs_of_tenants", "read_tenant_usage", "spend_cells_of_tenants"
    ),
}


async def lock_usage(
    connection: Connection, limited: Collection[Limited], *, without_job: int | None = None
) -> dict[HolderId, Usage]:
    """Lock what these have used until the transaction ends; return it.

    Active jobs aren't counted where nothing limits them, and the job `without_job` never is. Waits for other
    transactions that count on one of these; raises LOCK_TIMED_OUT.
    """
    usage: dict[HolderId, Usage] = {}
    for of in Holder:
        if those := [each for each in limited if each.of is of]:
            usage |= await _lock_usage(connection, of, those, without_job)
    return usage


async def _lock_usage(
    connection: Connection, of: Holder, limited: Sequence[Limited], without_job: int | None
) -> dict[HolderId, Usage]:
    statements = _STATEMENTS[of]
    rows = await connection.fetch(statement(statements.lock), sorted({each.number for each in limited}))
    counted = sorted({each.number for each in limited if each.limits.active_jobs is not None})
    found = await connection.fetch(statement(statements.count_active_jobs), counted, without_job) if counted else []
    active = {row["number"]: row["active_jobs"] for row in found}
    return {(of, row["number"]): _usage(row, active_jobs=active.get(row["number"], 0)) for row in rows}


async def read_usage(
    connection: Connection, limited: Collection[Limited], *, without_job: int | None = None
) -> dict[HolderId, Usage]:
    """Return what these have used at this moment, without a lock; the job `without_job` isn't counted."""
    usage = {}
    for each in limited:
        row = await connection.fetchrow(statement(_STATEMENTS[each.of].read), each.number, without_job)
        assert row is not None  # noqa: S101 - the statement always gives one row
        usage[each.id] = _usage(row, active_jobs=row["active_jobs"])
    return usage


async def spend_cells(connection: Connection, cells_by_holder: Mapping[HolderId, int]) -> None:
    """Count cells as created for keys and tenants whose usage this transaction has locked."""
    for of in Holder:
        spent = {number: cells for (holder, number), cells in cells_by_holder.items() if holder is of and cells}
        if spent:
            await connection.execute(statement(_STATEMENTS[of].spend_cells), list(spent), list(spent.values()))


async def add_active_jobs(connection: Connection, key_by_job: Mapping[int, int]) -> None:
    """Let each of these jobs count among the active jobs of its key, and of no other, until it ends.

    Those of a tenant are counted from the jobs themselves.
    """
    await connection.execute(statement("add_active_jobs"), list(key_by_job), list(key_by_job.values()))


async def count_retry(
    connection: Connection, limited_by: Sequence[Limited], job_no: int, *, cells: int
) -> Sequence[Quota]:
    """Count a job that this transaction has planned anew, with so many cells, for the key and tenant that asked for it.

    From now on the job is among the active jobs of this key alone; of none, if the key has no such limit. Returns what
    is used of the quotas. Raises QuotaExceeded, after which the transaction must be undone, and LOCK_TIMED_OUT.
    """
    keys = [each.number for each in limited_by if each.of is Holder.KEY and each.limits.active_jobs is not None]
    if keys:
        await add_active_jobs(connection, dict.fromkeys([job_no], keys[0]))
    else:
        await connection.execute(statement("remove_active_job"), job_no)
    usage = await lock_usage(connection, limited_by, without_job=job_no)
    if (refusal := refusal_of_any(limited_by, usage, cells=cells, jobs=1)) is not None:
        raise refusal
    await spend_cells(connection, dict.fromkeys(usage, cells))
    return quotas_of_all(limited_by, {holder: used.plus(cells=cells, jobs=1) for holder, used in usage.items()})


async def check_retry(
    connection: Connection, limited_by: Sequence[Limited], job_no: int, *, cells: int
) -> Sequence[Quota]:
    """Return what is used of the quotas. Raises QuotaExceeded if `count_retry` would at this moment."""
    usage = await read_usage(connection, limited_by, without_job=job_no)
    if (refusal := refusal_of_any(limited_by, usage, cells=cells, jobs=1)) is not None:
        raise refusal
    return quotas_of_all(limited_by, usage)


def _usage(row: Any, *, active_jobs: int) -> Usage:
    return Usage(row["cells"], active_jobs, row["day_ends_at"], row["at"])
