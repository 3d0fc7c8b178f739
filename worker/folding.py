"""Summing up stopped processes, a few at a time, so that a scrape needn't read a row for every past process."""

from collections import Counter

from db import workers
from db.engine import Connection, Engine, in_transaction
from runtime.histograms import Histograms

SILENT_SECONDS = 600.0
"""The silence after which a process counts as stopped; a process paused for less reports on without a gap."""
AT_ONCE = 100


async def fold_stopped_processes(engine: Engine, *, at_once: int = AT_ONCE) -> int:
    """Add every stopped process to the sums, `at_once` in each transaction; return how many.

    A scrape gets the same sums before, after and meanwhile. Safe to repeat and to race.
    """
    total = 0
    while count := await in_transaction(engine, lambda connection: _fold(connection, at_once)):
        total += count
    return total


async def _fold(connection: Connection, at_once: int) -> int:
    snapshots = await workers.lock_stopped(connection, silent_seconds=SILENT_SECONDS, limit=at_once)
    if not snapshots:
        return 0
    histograms = Histograms()
    repeats: Counter[str] = Counter()
    for snapshot in (await workers.lock_folded(connection), *snapshots.values()):
        histograms.add(snapshot)
        repeats.update(snapshot.get(workers.REPEATS, {}))
    sums = {**histograms.snapshot(), workers.REPEATS: repeats}
    await workers.fold(connection, list(snapshots), metrics=sums)
    return len(snapshots)
