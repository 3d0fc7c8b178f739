"""Start marks: committed before a call that must not be made twice."""

from collections.abc import Sequence

from db.batches import ClaimedBatch
from db.engine import Connection, statement
from domain.calls import Cell


async def mark_started(connection: Connection, cells: Sequence[tuple[ClaimedBatch, Cell]]) -> set[Cell]:
    """Mark these cells as started; return those that may be asked: under a lease that holds.

    May be repeated by the same holder, which asks once. Locks their batches. The commit must be durable: it is what
    keeps a crash from asking again.
    """
    leases = sorted({batch.key for batch, _ in cells})
    keys = sorted((cell.job_no, batch.batch_no, *cell[1:]) for batch, cell in cells)
    rows = await connection.fetch(statement("mark_started"), *zip(*leases, strict=True), *zip(*keys, strict=True))
    return {Cell(*row) for row in rows}
