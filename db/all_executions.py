"""Lists of executions over all jobs."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from db.engine import Connection, Engine, statement
from db.executions import FIRST, CellKey, Execution, ExecutionFilter, bytes_of, read_cells
from db.reading import MAX_BIGINT, MAX_SMALLINT, PAGE_BYTES, in_snapshot


class CellOfJob(NamedTuple):
    """The place of a cell among the cells of all jobs: newest job first, then plan order."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int

    @property
    def key(self) -> CellKey:
        """The cell's place in its job."""
        return CellKey(*self[1:])


FIRST_OF_ALL = CellOfJob(MAX_BIGINT, *FIRST)
LAST = CellKey(MAX_SMALLINT, MAX_SMALLINT, MAX_SMALLINT)
"""After all cells of a job."""
MOST_JOBS = 100
MOST_CELLS = 20_000
"""A page looks into so many jobs, or those that have so many cells in all: few of them may be in the wanted state."""


async def list_all_executions(
    engine: Engine, tenant_no: int, status: str | None, *, after: CellOfJob, limit: int
) -> tuple[Sequence[Execution], CellOfJob | None]:
    """Return the tenant's cells in a state (any, if None) that follow `after`, and the place after which more may be.

    There are up to `limit` and about PAGE_BYTES of them, and fewer, or none, where a page has looked into as many jobs
    as it may. All are from one snapshot. Imports have no cells.
    """

    async def look(connection: Connection) -> tuple[Sequence[Execution], CellOfJob | None]:
        begin = CellOfJob(after.job_no - 1, *FIRST) if after.key == LAST else after
        jobs = await connection.fetch(
            statement("find_jobs_with_cells"), tenant_no, status, begin.job_no, MOST_JOBS, MOST_CELLS
        )
        looked_into = [row["job_no"] for row in jobs if row["is_looked_into"]]
        rows = await connection.fetch(statement("find_cells_of_jobs"), looked_into, status, *begin, limit + 1)
        found = [CellOfJob(*row) for row in rows]
        cells = await _read(connection, tenant_no, status, found[:limit], after=begin)
        if len(cells) < len(found):
            return cells, found[len(cells) - 1]
        is_last = len(looked_into) == len(jobs) < MOST_JOBS
        return cells, None if is_last else CellOfJob(looked_into[-1], *LAST)

    return await in_snapshot(engine, look)


async def _read(
    connection: Connection, tenant_no: int, status: str | None, places: Sequence[CellOfJob], *, after: CellOfJob
) -> Sequence[Execution]:
    """Return the cells in these places, or the first of them: about PAGE_BYTES."""
    cells: list[Execution] = []
    room = PAGE_BYTES
    for job_no, group in groupby(places, key=itemgetter(0)):
        wanted = len(list(group))
        read = await read_cells(
            connection,
            tenant_no,
            job_no,
            ExecutionFilter(status=status),
            after=after.key if after.job_no == job_no else FIRST,
            limit=wanted,
            most_bytes=room,
        )
        cells += read
        room -= sum(map(bytes_of, read))
        if len(read) < wanted or room <= 0:
            break
    return cells
