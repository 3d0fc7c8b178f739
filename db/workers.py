"""The processes that serve: their numbers, heartbeats and histogram snapshots."""

from dataclasses import dataclass
from typing import Any

import orjson

from db.engine import Connection, repeats, statement

REPEATS = "repeats"
"""Where a snapshot holds how often a unit was repeated, by conflict."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A process' number (it shards the tallies) and its public id."""

    worker_no: int
    id: str


async def register(connection: Connection, *, worker_id: str, role: str, pid: int, host: str) -> Registered:
    """Enter this process, `role` api or worker, and return its number."""
    worker_no = await connection.fetchval(
        statement("register_worker"),
        worker_id,
        role,
        pid,
        host,
    )
    return Registered(worker_no, worker_id)


async def beat(connection: Connection, worker_no: int, *, running: int, metrics: dict[str, Any]) -> None:
    """Say that this process is alive, how many cells it has in hand, and what it measured so far."""
    await connection.execute(
        statement("beat_worker"),
        worker_no,
        running,
        _measured(metrics),
    )


async def stop(connection: Connection, worker_no: int, *, metrics: dict[str, Any]) -> None:
    """Say that this process ended in order."""
    await connection.execute(
        statement("stop_worker"),
        worker_no,
        _measured(metrics),
    )


async def snapshots(connection: Connection) -> list[dict[str, Any]]:
    """Return what each process measured, dead ones included."""
    rows = await connection.fetch("SELECT metrics FROM workers WHERE metrics::text <> '{}'")
    return [row["metrics"] for row in rows]


async def live(connection: Connection, *, silent_seconds: float) -> list[dict[str, Any]]:
    """Return the workers that gave a sign of life within `silent_seconds`, oldest first."""
    rows = await connection.fetch(statement("live_workers"), silent_seconds)
    return [dict(row) for row in rows]


def _measured(metrics: dict[str, Any]) -> str:
    """Return what a process measured, with the conflicts that its transactions met."""
    return orjson.dumps({**metrics, REPEATS: dict(repeats)}).decode()
