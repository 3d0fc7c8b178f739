"""Turns: what was taken of a tenant's work in a queue that it shares is charged, so that others come first later."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from db.columns import columns
from db.engine import Connection, statement


class Turn(NamedTuple):
    """A tenant's turn in a queue that it shares with others, from a virtual time on.

    A queue is a kind, whose jobs wait to be planned, or the number of an identity, whose batches wait to run.
    """

    queue: str
    tenant_no: int
    starts_at: int


TenantsInTurn: TypeAlias = Mapping[int, Mapping[int, int]]
"""Of each identity, the tenants with ready batches in the order of their turns, and from when on it is their turn."""


async def find_tenants(connection: Connection, identity_nos: Iterable[int]) -> TenantsInTurn:
    """Return the tenants in turn of each of these identities that has ready batches.

    It takes a look at an index for each tenant of an identity, so a claim does it once.
    """
    rows = await connection.fetch(statement("find_tenants_in_turn"), sorted(set(identity_nos)))
    return {row["identity_no"]: dict(zip(row["tenant_nos"], row["starts_at"], strict=True)) for row in rows}


def turn_of(tenants: TenantsInTurn, identity_no: int, tenant_no: int) -> Turn | None:
    """Return a tenant's turn at an identity; None for one that it doesn't share."""
    sharing = tenants[identity_no]
    return Turn(str(identity_no), tenant_no, sharing[tenant_no]) if len(sharing) > 1 else None


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
