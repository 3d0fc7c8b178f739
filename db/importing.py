"""Batches of imports: what they read, their rows written and their ends recorded in one transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from sys import getsizeof
from typing import Any, NamedTuple

import orjson

from db import failed_waves
from db.batches import ClaimedBatch
from db.engine import Connection, statement
from db.results import RETRY_WEIGHT

BatchKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ImportRange:
    """What a claimed batch is to read: `range` is its source's.

    `attempts` tries ended before this one; `forgiven` of them don't count against the policy's. The source was away
    for `away_seconds` until now, if it was.
    """

    record_type_no: int
    record_set_no: int
    range: Mapping[str, Any]
    rows_expected: int
    attempts: int
    forgiven: int
    job_id: str
    record_type: str
    away_seconds: float | None = None


class ReadRow(NamedTuple):
    """A row to write: its key, its payload as JSON text, and where its source has it."""

    record_key: str
    payload: str
    position: int


class RejectedRow(NamedTuple):
    """A row that can't be taken; `position` is its source's."""

    position: int
    record_key: str | None
    code: str
    detail: str


@dataclass(slots=True)
class ImportSettlement:
    """What became of a claimed batch: `completed` with rows, `failed`, or to be tried again (`pending`).

    `records` hold no key twice. `rows_read` counts them, the rejected ones, and what a failed batch doesn't write.
    `record` sets what was inserted, what was known before, and what of that was updated. A try of one to be read again
    `is_forgiven` if it doesn't count, as where its source `is_away`.
    """

    batch: ClaimedBatch
    range: ImportRange
    status: str
    rows_read: int = 0
    records: Sequence[ReadRow] = ()
    rejected: Sequence[RejectedRow] = ()
    max_rejects: int = 0
    max_attempts: int = 1
    error_code: str | None = None
    error_detail: str | None = None
    due_in_seconds: float = 0.0
    is_away: bool = False
    is_forgiven: bool = False
    inserted: int = 0
    updated: int = 0
    known: int = 0

    @property
    def memory_bytes(self) -> int:
        """What its rows take of this process's memory, about."""
        return sum(getsizeof(row.payload) for row in self.records)

    @property
    def unchanged(self) -> int:
        """How many rows were as they are."""
        return self.known - self.updated

    @property
    def is_short(self) -> bool:
        """Whether it ended with fewer rows than were counted."""
        return self.status == "completed" and self.rows_read < self.range.rows_expected


@dataclass(frozen=True, slots=True)
class ImportAdvanced:
    """An import after a transaction that ended batches of it, and the wave that ended or opened with it, if one did."""

    job_no: int
    id: str
    status: str
    ended_wave_no: int | None
    ended_wave_status: str | None
    opened_wave_no: int | None


@dataclass(frozen=True, slots=True)
class ImportRecorded:
    """What a transaction did: `settled` was written; `stale` belongs to leases that others took, and did nothing."""

    settled: Sequence[ImportSettlement] = ()
    stale: Sequence[ImportSettlement] = ()
    jobs: Sequence[ImportAdvanced] = field(default=())


class DuplicateKeys(Exception):
    """Batches hold keys that another batch of the same import wrote, or writes in the same transaction before them.

    The caller rejects those rows and records again.

    `keys_by_batch` names them by (job_no, batch_no).
    """

    def __init__(self, keys_by_batch: Mapping[BatchKey, set[str]]) -> None:
        super().__init__(f"{sum(map(len, keys_by_batch.values()))} keys came twice.")
        self.keys_by_batch = keys_by_batch


async def read_ranges(connection: Connection, batches: Sequence[ClaimedBatch]) -> Mapping[BatchKey, ImportRange]:
    """Return what these claimed batches are to read, by (job_no, batch_no)."""
    rows = await connection.fetch(
        statement("read_import_batches"), [one.job_no for one in batches], [one.batch_no for one in batches]
    )
    return {
        (row["job_no"], row["batch_no"]): ImportRange(
            row["record_type_no"],
            row["record_set_no"],
            row["range"],
            row["rows_expected"],
            row["attempts"],
            row["forgiven"],
            row["job_id"],
            row["record_type"],
            row["away_seconds"],
        )
        for row in rows
    }


class LeasesLost(Exception):
    """Leases were lost while rows were written under them; the caller records again, and those will be stale."""


async def record(
    connection: Connection, settlements: Iterable[ImportSettlement], *, source: str, is_known: bool = False
) -> ImportRecorded:
    """Write the rows of batches and end them, in the caller's transaction: rows, batches, waves, jobs.

    No two jobs' batches may be given of one record set. A batch whose lease was lost changes nothing and is returned as
    stale. Raises LeasesLost and DuplicateKeys, and the transaction must be undone. What `is_known` for the most part is
    looked up before it is inserted, which is faster then.
    """
    given = sorted(settlements, key=lambda one: one.batch.key)
    held = await _begin(connection, given)
    settled = [one for one in given if one.batch.key[:3] in held]
    stale = [one for one in given if one.batch.key[:3] not in held]
    if not settled:
        return ImportRecorded(stale=stale)
    for one in settled:  # of a transaction that was undone
        one.inserted = one.updated = one.known = 0
    await _write_records(connection, [one for one in settled if one.records], is_known=is_known)
    await _settle_batches(connection, settled)
    ended = [one for one in settled if one.status != "pending"]
    if ended:
        await _write_counts(connection, ended)
    if len(ended) < len(settled):
        await _put_off(connection, [one for one in settled if one.status == "pending"])
    jobs = await _advance(connection, settled, source=source)
    return ImportRecorded(settled, stale, jobs)


async def _begin(connection: Connection, settlements: Sequence[ImportSettlement]) -> set[tuple[int, int, int]]:
    rows = await connection.fetch(statement("begin_load"), *_columns([one.batch.key for one in settlements], 4))
    return {(row["job_no"], row["batch_no"], row["fence"]) for row in rows}


async def _settle_batches(connection: Connection, settled: Sequence[ImportSettlement]) -> None:
    """Lock and end the batches once their rows are written: whoever cancels one meanwhile needn't wait for its rows."""
    rows = await connection.fetch(
        statement("settle_import_batches"),
        *_columns([(*one.batch.key, one.status, one.due_in_seconds) for one in settled], 6),
    )
    if len(rows) < len(settled):
        raise LeasesLost


async def _write_records(connection: Connection, settled: Sequence[ImportSettlement], *, is_known: bool) -> None:
    """Write the rows that there are not, then those that differ: in one order, so that no two loads meet in a circle.

    What differed and wasn't updated was written by another batch meanwhile, which the next look tells.
    """
    if not settled:
        return
    if repeated := _repeated(settled):
        raise DuplicateKeys(repeated)
    await _stage(connection, settled)
    differing = await _count_known(connection, settled) if is_known else 0
    while differing or _has_missing(settled):
        if _has_missing(settled):
            await _insert_records(connection, settled)
        if differing or _has_missing(settled):
            differing = await _update_records(connection, settled)


def _repeated(settled: Sequence[ImportSettlement]) -> Mapping[BatchKey, set[str]]:
    """Return the keys of each batch that one before it holds too, by (job_no, batch_no)."""
    seen: dict[tuple[int, int], set[str]] = {}
    repeated: dict[BatchKey, set[str]] = {}
    for one in settled:
        keys = {row.record_key for row in one.records}
        before = seen.setdefault((one.batch.job_no, one.range.record_set_no), set())
        if twice := before & keys:
            repeated[one.batch.job_no, one.batch.batch_no] = twice
        before |= keys
    return repeated


def _has_missing(settled: Sequence[ImportSettlement]) -> bool:
    return any(one.inserted + one.known < len(one.records) for one in settled)


async def _count_known(connection: Connection, settled: Sequence[ImportSettlement]) -> int:
    """Set how many rows there are already; return how many of them can't stay as they are."""
    rows = await connection.fetch(statement("count_known_records"))
    known = {(row["job_no"], row["batch_no"]): row["known"] for row in rows}
    for one in settled:
        one.known = known.get((one.batch.job_no, one.batch.batch_no), 0)
    differing: int = sum(row["differing"] for row in rows)
    return differing


async def _insert_records(connection: Connection, settled: Sequence[ImportSettlement]) -> None:
    rows = await connection.fetch(statement("insert_records"))
    inserted = {(row["job_no"], row["batch_no"]): row["inserted"] for row in rows}
    for one in settled:
        one.inserted += inserted.get((one.batch.job_no, one.batch.batch_no), 0)


async def _stage(connection: Connection, settled: Sequence[ImportSettlement]) -> None:
    """Copy the rows to this connection's own table: arrays of as many parameters take the driver twice as long."""
    if await connection.fetchval("SELECT to_regclass('pg_temp.staged_records')") is None:
        await connection.execute(statement("stage_records"))
    await connection.copy_records_to_table(
        "staged_records",
        schema_name="pg_temp",
        columns=("record_set_no", "record_key", "payload", "job_no", "batch_no"),
        records=[
            (one.range.record_set_no, key, payload, one.batch.job_no, one.batch.batch_no)
            for one in settled
            for key, payload, _ in one.records
        ],
    )


async def _update_records(connection: Connection, settled: Sequence[ImportSettlement]) -> int:
    """Rewrite the rows that differ; return how many of them another transaction wrote first."""
    rows = await connection.fetch(statement("update_records"))
    twice: dict[BatchKey, set[str]] = {}
    known: Counter[BatchKey] = Counter()
    updated: Counter[BatchKey] = Counter()
    for row in rows:
        key = row["job_no"], row["batch_no"]
        if row["record_key"] is not None:
            twice.setdefault(key, set()).add(row["record_key"])
        known[key] += row["known"]
        updated[key] += row["updated"]
    if twice:
        raise DuplicateKeys(twice)
    for one in settled:
        key = one.batch.job_no, one.batch.batch_no
        one.known = known[key] - one.inserted
        one.updated += updated[key]
    differing: int = sum(row["differing"] for row in rows)
    return differing - updated.total()


async def _write_counts(connection: Connection, ended: Sequence[ImportSettlement]) -> None:
    counts = [
        (
            one.batch.job_no,
            one.batch.batch_no,
            one.rows_read,
            one.inserted,
            one.updated,
            one.unchanged,
            len(one.rejected),
            one.error_code,
            one.error_detail,
        )
        for one in ended
    ]
    await connection.execute(statement("count_import_batches"), *_columns(counts, 9))
    rejects = [(one.batch.job_no, one.batch.batch_no, *row) for one in ended for row in one.rejected]
    repeated = [(one.batch.job_no, one.batch.batch_no) for one in ended if one.rejected or one.range.attempts]
    if repeated:
        await connection.execute(statement("replace_rejects"), *_columns(repeated, 2), *_columns(rejects, 6))


async def _put_off(connection: Connection, waiting: Sequence[ImportSettlement]) -> None:
    reasons = [(*one.batch.key[:2], one.is_away, one.is_forgiven, one.error_code, one.error_detail) for one in waiting]
    await connection.execute(statement("put_off_import_batches"), *_columns(reasons, 6))


async def _advance(connection: Connection, settled: Sequence[ImportSettlement], *, source: str) -> list[ImportAdvanced]:
    rows = await connection.fetch(
        statement("advance_imports"),
        *_columns(_wave_rows(settled), 5),
        *_columns(_job_rows(settled), 4),
        source,
        *_columns(_released(settled), 3),
        *_columns(_due_again(settled), 6),
    )
    advanced = [ImportAdvanced(*row) for row in rows]
    for job in advanced:
        if job.status == "failed" and job.ended_wave_no is not None:
            await failed_waves.explain(connection, job.job_no, job.id, job.ended_wave_no)
    return advanced


def _wave_rows(settled: Sequence[ImportSettlement]) -> list[tuple[int, ...]]:
    ended: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    short: Counter[tuple[int, int]] = Counter()
    for one in settled:
        key = one.batch.job_no, one.batch.wave_no
        ended[key] += one.status != "pending"
        failed[key] += one.status == "failed"
        short[key] += one.is_short
    return [(*key, ended[key], failed[key], short[key]) for key in sorted(ended)]


def _job_rows(settled: Sequence[ImportSettlement]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for job_no, group in groupby(settled, key=lambda one: one.batch.job_no):
        batches = list(group)
        event = [_told(one) for one in batches]
        completed = sum(one.status == "completed" for one in batches)
        failed = sum(one.status == "failed" for one in batches)
        rows.append((job_no, completed, failed, orjson.dumps(event).decode()))
    return rows


def _told(one: ImportSettlement) -> Mapping[str, object]:
    told = {"batch_id": one.batch.batch_no, "status": one.status, "rows": one.rows_read}
    return {**told, "code": one.error_code, "detail": one.error_detail} if one.error_code else told


def _released(settled: Sequence[ImportSettlement]) -> list[tuple[object, ...]]:
    return [
        (one.batch.job_no, one.batch.next_batch_no, one.batch.turn)
        for one in settled
        if one.status != "pending" and one.batch.next_batch_no is not None
    ]


def _due_again(settled: Sequence[ImportSettlement]) -> list[tuple[object, ...]]:
    return [
        (one.batch.job_no, one.batch.batch_no, 1, 1, RETRY_WEIGHT, one.due_in_seconds)
        for one in settled
        if one.status == "pending"
    ]


def _columns(rows: Sequence[Sequence[object]], width: int) -> Sequence[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [[] for _ in range(width)]
