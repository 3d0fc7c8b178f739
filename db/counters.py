"""Transactional counters: they commit with the counted work. One row per process, series and labels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement


@dataclass(frozen=True, slots=True)
class Increment:
    """An increment of one series. `labels` is canonical JSON of its labels."""

    series: str
    labels: str
    value: float


def increment(series: str, value: float, **labels: str) -> Increment:
    """Return an increment of `series` with these labels."""
    return Increment(series, json.dumps(labels, sort_keys=True, separators=(",", ":")), value)


async def add(connection: Connection, worker_no: int, increments: Sequence[Increment]) -> None:
    """Add these increments to the process's counters, in the caller's transaction. `increments` may repeat a series."""
    totals: dict[tuple[str, str], float] = {}
    for added in increments:
        key = (added.series, added.labels)
        totals[key] = totals.get(key, 0) + added.value
    if totals:
        series, labels = zip(*totals, strict=True)
        await connection.execute(statement("add_counters"), worker_no, series, labels, list(totals.values()))


async def totals(connection: Connection) -> list[tuple[str, Mapping[str, str], float]]:
    """Return (series, labels, value) summed over all processes, including stopped ones."""
    rows = await connection.fetch(statement("sum_counters"))
    return [(row["series"], json.loads(row["labels"]), row["value"]) for row in rows]
