"""Counters that commit with what they count; one row per process, series and labels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement


@dataclass(frozen=True, slots=True)
class Tally:
    """An increment of one series. `labels` is canonical JSON of its labels."""

    series: str
    labels: str
    value: float


def tally(series: str, value: float, **labels: str) -> Tally:
    """Return an increment of `series` with these labels."""
    return Tally(series, json.dumps(labels, sort_keys=True, separators=(",", ":")), value)


async def add(connection: Connection, worker_no: int, tallies: Sequence[Tally]) -> None:
    """Add these increments to the process's counters, in the caller's transaction. `tallies` may repeat a series."""
    totals: dict[tuple[str, str], float] = {}
    for one in tallies:
        key = (one.series, one.labels)
        totals[key] = totals.get(key, 0) + one.value
    if totals:
        series, labels = zip(*totals, strict=True)
        await connection.execute(statement("add_tallies"), worker_no, series, labels, list(totals.values()))


async def totals(connection: Connection) -> list[tuple[str, Mapping[str, str], float]]:
    """Return (series, labels, value) summed over all processes, dead ones included."""
    rows = await connection.fetch(statement("sum_tallies"))
    return [(row["series"], json.loads(row["labels"]), row["value"]) for row in rows]
