"""The register of processes: numbers, heartbeats, snapshots of histograms, and the sums of stopped processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from db.engine import Connection, repeats, statement

REPEATS = "repeats"
"""The place of repeated units, by conflict, in a snapshot."""
SHOWN_LOST = 20
LOST_SECONDS = 3600.0
"""For how long a process that fell silent is shown as lost."""
FOLDED_NO = 0
"""The number of the row that sums up stopped processes."""
FOLDED = '{"folded":true}'
"""Replaces the snapshot of a process that was added to these sums."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A process' number (it shards the counters) and its public id."""

    worker_no: int
    id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A process's standing towards the configuration: `config_file` is none, same or differs; `not_served` has why."""

    version: str | None = None
    configuration_no: int | None = None
    config_file: str = "none"
    not_served: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> tuple[str | None, int | None, str, str]:
        """Return the parameters of the statements."""
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
    """Record that this process is alive, its configuration, its cells in hand, and its measures so far.

    Return False, without storing measures, if the process was silent for so long that its earlier measures were added
    to the sums of stopped processes: it must clear its measures, and `start_over` before the transaction ends.
    """
    is_folded = await connection.fetchval(
        statement("update_heartbeat"), worker_no, running, _measured(metrics), FOLDED, *standing.columns()
    )
    return not is_folded


async def start_over(connection: Connection, worker_no: int) -> None:
    """Let the process report measures again, from zero; clears the repeats that it counted."""
    repeats.clear()
    await connection.execute(statement("reset_metrics"), worker_no)


async def stop(connection: Connection, worker_no: int, *, metrics: dict[str, Any]) -> None:
    """Record that this process ended in order."""
    await connection.execute(
        statement("stop_worker"),
        worker_no,
        _measured(metrics),
        FOLDED,
    )


async def snapshots(connection: Connection) -> list[dict[str, Any]]:
    """Return each process's measures, and the sums of stopped processes."""
    rows = await connection.fetch(statement("list_metrics"), FOLDED)
    return [row["metrics"] for row in rows]


async def lock_stopped(connection: Connection, *, silent_seconds: float, limit: int) -> Mapping[int, dict[str, Any]]:
    """Lock processes that ended, or were silent for `silent_seconds`; return their measures by number.

    Passes over rows that another process has locked.
    """
    rows = await connection.fetch(statement("lock_stopped_workers"), silent_seconds, limit, FOLDED)
    return {row["worker_no"]: row["metrics"] for row in rows}


async def lock_folded(connection: Connection) -> dict[str, Any]:
    """Lock the sums of stopped processes and return them; waits for another process that is changing them."""
    await connection.execute(statement("enter_folded_worker"))
    metrics: dict[str, Any] = await connection.fetchval(statement("lock_folded_metrics"), FOLDED_NO)
    return metrics


async def fold(connection: Connection, worker_nos: Sequence[int], *, metrics: dict[str, Any]) -> None:
    """Add the counters of these processes to the sums of stopped processes, and store `metrics` as their measures.

    Expects the locks of `lock_stopped` and `lock_folded`.
    """
    await connection.execute(statement("fold_counters"), worker_nos, FOLDED_NO)
    await connection.execute(statement("fold_metrics"), FOLDED_NO, orjson.dumps(metrics).decode(), worker_nos, FOLDED)


async def live(connection: Connection, *, silent_seconds: float, role: str = "worker") -> list[dict[str, Any]]:
    """Return the processes of this role with a heartbeat within `silent_seconds`, oldest first."""
    rows = await connection.fetch(statement("list_live_workers"), silent_seconds, role)
    return [dict(row) for row in rows]


async def is_drained(connection: Connection, worker_no: int) -> bool:
    """Return whether an operator drained this worker."""
    return bool(await connection.fetchval(statement("read_drain"), worker_no))


async def set_drain(connection: Connection, worker_id: str, *, is_drained: bool) -> Mapping[str, Any] | None:
    """Drain or resume a worker; return it as it is now. Safe to repeat.

    None without a worker of this id that gave a sign of life within LOST_SECONDS and hasn't ended.

    Locks the worker's row. Runs in the caller's transaction.
    """
    if await connection.fetchval(statement("set_drain"), worker_id, is_drained, LOST_SECONDS) is None:
        return None
    found = await live(connection, silent_seconds=LOST_SECONDS)
    return next((worker for worker in found if worker["id"] == worker_id), None)


async def lost(connection: Connection, *, silent_seconds: float) -> list[dict[str, Any]]:
    """Return up to SHOWN_LOST processes that fell silent within LOST_SECONDS and didn't end in order, newest first."""
    rows = await connection.fetch(statement("list_lost_workers"), silent_seconds, LOST_SECONDS, SHOWN_LOST)
    return [dict(row) for row in rows]


def _measured(metrics: dict[str, Any]) -> str:
    """Return a process's measures, with the conflicts of its transactions."""
    return orjson.dumps({**metrics, REPEATS: dict(repeats)}).decode()
