"""Turns: what was taken of a tenant's work in a queue that it shares is charged, so that others come first later."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from db.columns import columns
from db.engine import Connection, statement


class Turn(NamedTuple):
    """A tenant's turn in a queue that it shares with others, from a virtual time on.

    A queue is a kind, whose jobs wait to be planned, or the number of an identity, whose batches wait to run.
    """

    queue: str
    tenant_no: int
    starts_at: int


async def charge(connection: Connection, taken: Iterable[tuple[Turn | None, int]]) -> None:
    """Charge tenants with the units of work (cells, batches, imports) that were taken in their turns.

    Work of a queue without other tenants has no turn and costs nothing. Locks the rows of the charged tenants: call it
    last, since other transactions that take their work wait for this one's end.
    """
    units_by_turn: dict[Turn, int] = defaultdict(int)
    for turn, units in taken:
        if turn is not None:
            units_by_turn[turn] += units
    if units_by_turn:
        rows = [(*turn, units) for turn, units in units_by_turn.items()]
        await connection.execute(statement("charge_tenants"), *columns(rows, 4))


async def find_turn(connection: Connection, kind: str, tenant_no: int) -> Turn | None:
    """Return a tenant's turn to have jobs of a kind planned; None unless others have some too."""
    starts_at = await connection.fetchval(statement("find_turn"), kind, tenant_no)
    return None if starts_at is None else Turn(kind, tenant_no, starts_at)
