"""What an action over a filter does with one of its items: the single action on it, if the item still matches.

Each runs in the transaction that has claimed the item, and waits only shortly for locks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db import cancelling, dead_letters, retrying
from db.cancelling import Cancelled
from db.controls import LOCK_SPACE, Actor, lock_job_no
from db.engine import Connection, statement
from db.job_filters import Matcher
from db.jobs import read_job_state
from db.kinds import Retried, RetryFilter, StoredKind
from domain.status import TERMINAL_JOB_STATUSES

LOCK_WAIT = "500ms"
"""One item that somebody keeps locked must not hold up the others; it is left for the next request."""
ALREADY_ENDED = "already_ended"
NO_LONGER_MATCHES = "no_longer_matches"
NOTHING_FAILED = "nothing_failed"
ALREADY_REPLAYED = "already_replayed"
GONE = "not_found"


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that is left as it is, and why."""

    reason: str


async def cancel_match(
    connection: Connection, tenant_no: int, matches: Matcher, job_no: int, actor: Actor
) -> Cancelled | Skipped:
    """Cancel a job if it still matches and hasn't ended. Locks as `cancelling.cancel`. Raises LOCK_TIMED_OUT."""
    if not await lock_job_no(connection, tenant_no, job_no, wait=LOCK_WAIT):
        return Skipped(GONE)
    if (await read_job_state(connection, job_no)).status in TERMINAL_JOB_STATUSES:
        return Skipped(ALREADY_ENDED)
    if not await matches(connection, [job_no]):
        return Skipped(NO_LONGER_MATCHES)
    cancelled = await cancelling.cancel_locked(connection, job_no, actor)
    return cancelled if cancelled.is_done else Skipped(ALREADY_ENDED)


async def cancel_waiting_matches(
    connection: Connection, tenant_no: int, matches: Matcher, job_nos: Sequence[int], actor: Actor
) -> Mapping[int, Cancelled]:
    """Cancel those of these jobs together that wait to be planned, match, and that nobody has locked. Never waits.

    They have no batches, so their rows may be locked together; `cancel_match` takes the others one by one.
    """
    rows = await connection.fetch(statement("lock_waiting_jobs"), tenant_no, job_nos, LOCK_SPACE, LOCK_WAIT)
    matched = await matches(connection, [row["job_no"] for row in rows])
    cancelled = await cancelling.cancel_waiting(connection, matched, actor)
    return {each.job_no: each for each in cancelled}


async def retry_match(
    connection: Connection,
    tenant_no: int,
    matches: Matcher,
    job_no: int,
    actor: Actor,
    *,
    kinds: Mapping[str, StoredKind],
) -> Retried | Skipped:
    """Retry all that failed of a job if it still matches. Locks and raises as `retrying.retry_job`."""
    if not await lock_job_no(connection, tenant_no, job_no, wait=LOCK_WAIT):
        return Skipped(GONE)
    if not await matches(connection, [job_no]):
        return Skipped(NO_LONGER_MATCHES)
    retried = await retrying.retry_locked(connection, job_no, RetryFilter(), actor, kinds=kinds)
    return retried if retried.is_any else Skipped(NOTHING_FAILED)


async def replay_match(connection: Connection, dead_letter_no: int, actor: Actor) -> Retried | Skipped:
    """Replay a dead letter unless it was replayed before. Locks and raises as `dead_letters.replay`."""
    retried = await dead_letters.replay(connection, dead_letter_no, actor, wait=LOCK_WAIT)
    return retried if retried.is_any else Skipped(ALREADY_REPLAYED)
