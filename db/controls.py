"""The common part of people's actions on a job: a lock per job, and an event with actor and reason."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from asyncpg import LockNotAvailableError

from db.engine import Connection, statement
from db.jobs import absent_job, look_up_job
from domain.key_limits import Limited

LOCK_TIMEOUT = "5s"
LOCK_SPACE = 0x6A6F62
"""The first number of these advisory locks ("job")."""
LOCK_TIMED_OUT = LockNotAvailableError
"""Raised if an action waited too long for another transaction's lock; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who acts on a job, and the reason, if given. `worker_no` is the process that got the request.

    What is planned anew counts on the quotas of `limited_by`, their API key and tenant.
    """

    by: str
    reason: str | None
    worker_no: int
    limited_by: Sequence[Limited] = ()

    def event_data(self, **facts: object) -> str:
        """Return the data of the action's event as JSON."""
        return orjson.dumps({"by": self.by, "reason": self.reason, **facts}).decode()


async def limit_lock_waits(connection: Connection) -> None:
    """Bound the transaction's waits for locks by LOCK_TIMEOUT; after that it raises LOCK_TIMED_OUT."""
    await connection.execute("SELECT set_config('lock_timeout', $1, true)", LOCK_TIMEOUT)


async def lock_job(connection: Connection, tenant_no: int, job_id: str) -> int:
    """Make this the only action on the job until the transaction ends; return its key.

    Raises NotFound and LOCK_TIMED_OUT.
    """
    job_no = await look_up_job(connection, tenant_no, job_id)
    if not await lock_job_no(connection, tenant_no, job_no):
        raise absent_job()
    return job_no


async def lock_job_no(connection: Connection, tenant_no: int, job_no: int, *, wait: str = LOCK_TIMEOUT) -> bool:
    """Do the same for the job with this key; return whether the tenant has such a job.

    From here on the transaction waits for a lock for `wait` at most. Raises LOCK_TIMED_OUT.
    """
    row = await connection.fetchrow(statement("lock_job_controls"), tenant_no, job_no, wait, LOCK_SPACE)
    return row is not None
