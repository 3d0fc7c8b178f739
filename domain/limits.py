"""Grant permits for calls to due batches in their order, within the limits of pools, jobs and the worker."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Pool: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Due:
    """A batch that is due, with its open cells; `job_room` is how many more calls its job may make, None: no limit.

    A batch that is taken over from a lost holder brings `own_permits`, which its pool and job count already.
    """

    job_no: int
    batch_no: int
    pool: Pool
    open_cells: int
    job_room: int | None = None
    own_permits: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """How many calls of a batch may be in flight."""

    due: Due
    permits: int


def grant_calls(
    due: Iterable[Due], room_by_pool: Mapping[Pool, int | None], calls: int, *, probed: Collection[Pool] = ()
) -> tuple[list[Grant], Mapping[Pool, int | None]]:
    """Return each batch's permits in the order of `due`, and each pool's remaining room.

    A batch gets as many calls as it has cells; a batch that would get none isn't granted. `room_by_pool` is None where
    nothing limits a pool; `calls` is the worker's. Of a pool that is `probed`, one call in all is granted.
    """
    left_by_pool = dict(room_by_pool)
    left_by_job: dict[int, int | None] = {}
    untried = set(probed)
    grants = []
    for batch in due:
        is_probed = batch.pool in probed
        if is_probed and batch.pool not in untried:
            continue
        in_job = left_by_job.setdefault(batch.job_no, batch.job_room)
        in_pool = left_by_pool[batch.pool]
        wanted = 1 if is_probed else max(batch.open_cells, 1)
        permits = min(wanted, calls, *(room + batch.own_permits for room in (in_job, in_pool) if room is not None))
        if permits <= 0:
            continue
        calls -= permits
        left_by_job[batch.job_no] = None if in_job is None else in_job + batch.own_permits - permits
        left_by_pool[batch.pool] = None if in_pool is None else in_pool + batch.own_permits - permits
        untried.discard(batch.pool)
        grants.append(Grant(batch, permits))
    return grants, left_by_pool


def grant_cells(due: Iterable[Due], cells: int) -> list[bool]:
    """Return for each batch, in order, whether a worker with room for `cells` cells takes it."""
    taken = []
    for batch in due:
        taken.append(cells > 0)
        cells -= batch.open_cells
    return taken
