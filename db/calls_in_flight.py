"""The calls in flight of all tenants, as workers show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.engine import Connection, statement
from db.executions import CellKey, execution_id

SHOWN = 100
MOST_BATCHES = 500
"""Batches that are looked at, of up to some hundred cells each."""


@dataclass(frozen=True, slots=True)
class CallRead:
    """A call that a worker has in flight; the cell had `attempts` tries before."""

    tenant_no: int
    tenant: str
    job_id: str
    execution_id: str
    model_id: str
    region: str
    question_id: str
    provider: str
    worker: str | None
    attempts: int
    started_at: datetime
    seconds: float


async def list_calls(connection: Connection) -> Sequence[CallRead]:
    """Return up to SHOWN calls, longest first. A call shows up within a heartbeat after it began."""
    return [_call(dict(row)) for row in await connection.fetch(statement("list_calls"), SHOWN, MOST_BATCHES)]


def _call(row: dict[str, Any]) -> CallRead:
    key = CellKey(*(row.pop(name) for name in CellKey._fields))
    return CallRead(execution_id=execution_id(row.pop("job_no"), key), **row)
