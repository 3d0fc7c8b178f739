"""Lists of executions over all jobs."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from db.engine import Connection, Engine, statement
from db.executions import FIRST, CellKey, Execution, ExecutionFilter, bytes_of, read_cells
from db.reading import MAX_BIGINT, PAGE_BYTES, Slice, in_snapshot


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


async def list_all_executions(
    engine: Engine, tenant_no: int, status: str | None, *, after: CellOfJob, limit: int
) -> tuple[Slice[Execution], Sequence[CellOfJob]]:
    """Return the tenant's cells in a state (any, if None) that follow `after`, up to `limit` and about PAGE_BYTES.

    Each has its place; all are from one snapshot. Imports have no cells.
    """

    async def look(connection: Connection) -> tuple[Slice[Execution], Sequence[CellOfJob]]:
        rows = await connection.fetch(statement("find_cells_of_jobs"), tenant_no, status, *after, limit + 1)
        found = [CellOfJob(*row) for row in rows]
        cells: list[Execution] = []
        room = PAGE_BYTES
        for job_no, group in groupby(found[:limit], key=itemgetter(0)):
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
        return Slice(cells, is_last=len(cells) == len(found)), found[: len(cells)]

    return await in_snapshot(engine, look)
