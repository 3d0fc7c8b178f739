"""Starts of calls: marks, committed before a call that must not be repeated, and the shown starts of other calls."""

from collections.abc import Sequence
from typing import NamedTuple

from db.batches import ClaimedBatch
from db.engine import Connection, statement
from domain.calls import Cell


async def mark_started(connection: Connection, cells: Sequence[tuple[ClaimedBatch, Cell]]) -> set[Cell]:
    """Mark these cells as started; return those that may be called, since their lease holds.

    The same holder may repeat it, and calls once. Locks their batches. The commit must be durable, since it keeps a
    crash from causing a second call.
    """
    leases = sorted({batch.key for batch, _ in cells})
    keys = sorted((cell.job_no, batch.batch_no, *cell[1:]) for batch, cell in cells)
    rows = await connection.fetch(statement("mark_started"), *zip(*leases, strict=True), *zip(*keys, strict=True))
    return {Cell(*row) for row in rows}


class ShownCall(NamedTuple):
    """A cell with a call in flight since `started_us`, microseconds since the epoch by the database's clock.

    None if no call is in flight. It had `attempts_before` tries.
    """

    batch: ClaimedBatch
    cell: Cell
    started_us: int | None
    attempts_before: int


async def show_calls(connection: Connection, calls: Sequence[ShownCall]) -> set[Cell]:
    """Store the starts of these cells' calls for display; return the cells that show them.

    A hint for people only: locked batches are passed over, and the commit may be asynchronous. Safe to repeat.
    """
    leases = sorted({call.batch.key for call in calls})
    rows = [
        (call.cell.job_no, call.batch.batch_no, *call.cell[1:], call.started_us, call.attempts_before) for call in calls
    ]
    shown = await connection.fetch(statement("show_calls"), *zip(*leases, strict=True), *zip(*rows, strict=True))
    return {Cell(*row) for row in shown}
