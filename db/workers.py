"""The processes that serve: numbers, heartbeats, snapshots of histograms; and the sums of those that stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from db.engine import Connection, repeats, statement

REPEATS = "repeats"
"""Where a snapshot holds how often a unit was repeated, by conflict."""


FOLDED_NO = 0
"""The number under which stopped processes are summed up; it is no process'."""
FOLDED = '{"folded":true}'
"""In place of the snapshot of a process that was added to these sums."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A process' number (it shards the counters) and its public id."""

    worker_no: int
    id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A process's report of its configuration: `config_file` is none, same or differs; `not_served` why, by name."""

    version: str | None = None
    configuration_no: int | None = None
    config_file: str = "none"
    not_served: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> tuple[str | None, int | None, str, str]:
        """Return it as the statements take it."""
        named = [{"name": name, "reason": reason} for name, reason in self.not_served.items()]
        return self.version, self.configuration_no, self.config_file, orjson.dumps(named).decode()


UNKNOWN = Standing()


async def register(
    connection: Connection, *, worker_id: str, role: str, pid: int, host: str, standing: Standing = UNKNOWN
) -> Registered:
    """Enter this process, `role` api or worker, and return its number."""
    worker_no = await connection.fetchval(statement("register_worker"), worker_id, role, pid, host, *standing.columns())
    return Registered(worker_no, worker_id)


async def beat(
    connection: Connection, worker_no: int, *, running: int, metrics: dict[str, Any], standing: Standing = UNKNOWN
) -> bool:
    """Say that this process is alive, what it serves, how many cells it has in hand, and what it measured so far.

    Return False, having kept no measures, if the process was silent for so long that those it reported are in the sums
    of the stopped: it has to forget what it measured, and `start_over` before the transaction ends.
    """
    is_folded = await connection.fetchval(
        statement("beat_worker"), worker_no, running, _measured(metrics), FOLDED, *standing.columns()
    )
    return not is_folded


async def start_over(connection: Connection, worker_no: int) -> None:
    """Let the process report measures again, from nothing on; forgets the repeats that this process counted."""
    repeats.clear()
    await connection.execute(statement("reset_metrics"), worker_no)


async def stop(connection: Connection, worker_no: int, *, metrics: dict[str, Any]) -> None:
    """Say that this process ended in order."""
    await connection.execute(
        statement("stop_worker"),
        worker_no,
        _measured(metrics),
        FOLDED,
    )


async def snapshots(connection: Connection) -> list[dict[str, Any]]:
    """Return what each process measured, and the sums of those that stopped."""
    rows = await connection.fetch(statement("list_metrics"), FOLDED)
    return [row["metrics"] for row in rows]


async def lock_stopped(connection: Connection, *, silent_seconds: float, limit: int) -> Mapping[int, dict[str, Any]]:
    """Lock processes that ended in order or gave no sign of life for so long; return what each measured, by number.

    Passes over those that another process has locked.
    """
    rows = await connection.fetch(statement("lock_stopped_workers"), silent_seconds, limit, FOLDED)
    return {row["worker_no"]: row["metrics"] for row in rows}


async def lock_folded(connection: Connection) -> dict[str, Any]:
    """Lock the sums of stopped processes and return them; waits for the process that changes them just now."""
    await connection.execute(statement("enter_folded_worker"))
    metrics: dict[str, Any] = await connection.fetchval(statement("lock_folded_metrics"), FOLDED_NO)
    return metrics


async def fold(connection: Connection, worker_nos: Sequence[int], *, metrics: dict[str, Any]) -> None:
    """Add the counters of these processes to the sums of the stopped, and store `metrics` as what all those measured.

    Expects the locks of `lock_stopped` and `lock_folded`.
    """
    await connection.execute(statement("fold_counters"), worker_nos, FOLDED_NO)
    await connection.execute(statement("fold_metrics"), FOLDED_NO, orjson.dumps(metrics).decode(), worker_nos, FOLDED)


async def live(connection: Connection, *, silent_seconds: float, role: str = "worker") -> list[dict[str, Any]]:
    """Return the processes of this role that gave a sign of life within `silent_seconds`, oldest first."""
    rows = await connection.fetch(statement("live_workers"), silent_seconds, role)
    return [dict(row) for row in rows]


def _measured(metrics: dict[str, Any]) -> str:
    """Return what a process measured, with the conflicts that its transactions met."""
    return orjson.dumps({**metrics, REPEATS: dict(repeats)}).decode()
