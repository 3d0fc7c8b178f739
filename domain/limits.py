"""Who may call next: grant calls in flight to batches by turns, within the limits of pools, jobs and the worker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Due:
    """A batch that is due, with its open cells; `job_room` is how many more calls its job may make, None: no limit."""

    job_no: int
    batch_no: int
    pool: tuple[str, str]
    open_cells: int
    job_room: int | None = None


def grant_calls(due: Iterable[Due], room_by_pool: Mapping[tuple[str, str], int | None], calls: int) -> list[int]:
    """Return, for each batch in turn order, how many calls it may have in flight; 0 where there is no room left.

    A batch gets as many as it has cells. `room_by_pool` is None where nothing limits a pool; `calls` is the worker's.
    """
    left_by_pool = dict(room_by_pool)
    left_by_job: dict[int, int | None] = {}
    granted = []
    for one in due:
        in_job = left_by_job.setdefault(one.job_no, one.job_room)
        in_pool = left_by_pool[one.pool]
        slots = min(n for n in (max(one.open_cells, 1), calls, in_job, in_pool) if n is not None)
        calls -= slots
        left_by_job[one.job_no] = None if in_job is None else in_job - slots
        left_by_pool[one.pool] = None if in_pool is None else in_pool - slots
        granted.append(slots)
    return granted


def room_left(
    granted: Iterable[tuple[Due, int]], room_by_pool: Mapping[tuple[str, str], int | None]
) -> dict[tuple[str, str], int | None]:
    """Return what these grants leave of each pool's room."""
    left = dict(room_by_pool)
    for one, slots in granted:
        in_pool = left.get(one.pool)
        if in_pool is not None:
            left[one.pool] = in_pool - slots
    return left


def grant_cells(due: Iterable[Due], cells: int) -> list[bool]:
    """Return, for each batch in turn order, whether a worker that takes up to `cells` more cells takes it."""
    taken = []
    for one in due:
        taken.append(cells > 0)
        cells -= one.open_cells
    return taken
