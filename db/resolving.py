"""Resolve: a person's finding about a cell that ended ambiguously becomes its result."""

from dataclasses import dataclass

from db.controls import Actor, lock_job_no
from db.engine import Connection, statement
from db.executions import absent_execution, execution_id, parse_execution_id
from db.jobs import read_job_state
from domain.errors import ExecutionNotUnknown

FAILED_CODE = "resolved_failed"
FAILED_DETAIL = "A person found that it failed."


@dataclass(frozen=True, slots=True)
class Resolution:
    """The end of the cell: `completed` with its output, or `failed`."""

    status: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The pool of a cell that this call resolved, None for a repeated resolution; and its job's state."""

    job_no: int
    job_status: str
    pool: tuple[str, str] | None


async def resolve(
    connection: Connection, tenant_no: int, given_id: str, resolution: Resolution, actor: Actor
) -> Resolved:
    """Give an unknown cell its result in the caller's transaction, and its job the resulting final status.

    The same resolution again changes nothing. Locks the job against other actions, then the cell and the job.
    Raises NotFound, ExecutionNotUnknown and LOCK_TIMED_OUT.
    """
    job_no, key = parse_execution_id(given_id)
    is_ours = await lock_job_no(connection, tenant_no, job_no)
    cell = await connection.fetchrow(statement("lock_execution"), job_no, *key) if is_ours else None
    if cell is None:
        raise absent_execution()
    if cell["is_resolved"] and (cell["status"], cell["output"]) == (resolution.status, resolution.output):
        return Resolved(job_no, (await read_job_state(connection, job_no)).status, None)
    if cell["status"] != "unknown":
        raise _not_unknown(cell["status"], is_resolved=cell["is_resolved"])
    is_failed = resolution.status == "failed"
    pool = await connection.fetchrow(
        statement("resolve_execution"),
        job_no,
        *key,
        resolution.status,
        resolution.output,
        FAILED_CODE if is_failed else None,
        (actor.reason or FAILED_DETAIL) if is_failed else None,
    )
    job_status = await connection.fetchval(
        statement("advance_resolved_job"),
        job_no,
        not is_failed,
        actor.by,
        actor.event_data(execution_id=execution_id(job_no, key), status=resolution.status),
    )
    return Resolved(job_no, job_status, (pool["provider"], pool["region"]) if pool else None)


def _not_unknown(status: str, *, is_resolved: bool) -> ExecutionNotUnknown:
    detail = "The execution was resolved otherwise" if is_resolved else f"The execution is {status}, not unknown"
    return ExecutionNotUnknown(f"{detail}; it is unchanged.", execution_status=status)
