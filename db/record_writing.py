"""Writing the rows of an import: new rows, then changed rows, in the order of keys; unchanged rows aren't touched.

A row carries the generation of the import that wrote it; an import with a lower generation leaves it unchanged. If an
older import may still write, unchanged rows get this import's generation, too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from db.engine import Connection, statement
from db.import_reports import BatchKey, ImportReport
from db.poolers import is_pooled


class DuplicateKeys(Exception):
    """Batches hold keys that an earlier batch of the same import wrote, in this transaction or before.

    The caller rejects those rows and records again.

    `keys_by_batch` names them by (job_no, batch_no).
    """

    def __init__(self, keys_by_batch: Mapping[BatchKey, set[str]]) -> None:
        super().__init__(f"{sum(map(len, keys_by_batch.values()))} keys came twice.")
        self.keys_by_batch = keys_by_batch


async def write_records(
    connection: Connection, reports: Sequence[ImportReport], *, contested: Sequence[int], is_known: bool
) -> None:
    """Insert missing rows, then update changed rows, in the order of keys, so that two loads never deadlock.

    `contested` are the record sets into which an older import may still write. If another transaction wrote some of the
    rows meanwhile, the next round finds them.
    """
    if not reports:
        return
    if repeated := _repeated(reports):
        raise DuplicateKeys(repeated)
    await _stage(connection, reports)
    wanted = await _count_known(connection, reports, contested) if is_known else 0
    while wanted or _has_missing(reports):
        if _has_missing(reports):
            await _insert_records(connection, reports)
        if wanted or _has_missing(reports):
            wanted = await _update_records(connection, reports, contested)


def _repeated(reports: Sequence[ImportReport]) -> Mapping[BatchKey, set[str]]:
    """Return each batch's keys that an earlier batch holds, too, by (job_no, batch_no)."""
    seen: dict[tuple[int, int], set[str]] = {}
    repeated: dict[BatchKey, set[str]] = {}
    for report in reports:
        keys = {row.record_key for row in report.records}
        before = seen.setdefault((report.batch.job_no, report.range.record_set_no), set())
        if twice := before & keys:
            repeated[report.batch.job_no, report.batch.batch_no] = twice
        before |= keys
    return repeated


def _has_missing(reports: Sequence[ImportReport]) -> bool:
    return any(report.inserted + report.known < len(report.records) for report in reports)


async def _count_known(connection: Connection, reports: Sequence[ImportReport], contested: Sequence[int]) -> int:
    """Set the number of existing rows; return how many of them must be updated."""
    rows = await connection.fetch(statement("count_known_records"), contested)
    found = {(row["job_no"], row["batch_no"]): (row["known"], row["superseded"]) for row in rows}
    for report in reports:
        report.known, report.superseded = found.get((report.batch.job_no, report.batch.batch_no), (0, 0))
    wanted: int = sum(row["wanted"] for row in rows)
    return wanted


async def _insert_records(connection: Connection, reports: Sequence[ImportReport]) -> None:
    rows = await connection.fetch(statement("insert_records"))
    inserted = {(row["job_no"], row["batch_no"]): row["inserted"] for row in rows}
    for report in reports:
        report.inserted += inserted.get((report.batch.job_no, report.batch.batch_no), 0)


async def _stage(connection: Connection, reports: Sequence[ImportReport]) -> None:
    """Copy the rows to a temporary table of this connection: array parameters take the driver twice as long."""
    if is_pooled(connection):
        await connection.execute(statement("stage_records_once"))
    elif await connection.fetchval("SELECT to_regclass('pg_temp.staged_records')") is None:
        await connection.execute(statement("stage_records"))
    await connection.copy_records_to_table(
        "staged_records",
        schema_name="pg_temp",
        columns=("record_set_no", "record_key", "payload", "job_no", "batch_no", "generation"),
        records=[
            (
                report.range.record_set_no,
                key,
                payload,
                report.batch.job_no,
                report.batch.batch_no,
                report.range.generation,
            )
            for report in reports
            for key, payload, _ in report.records
        ],
    )


async def _update_records(connection: Connection, reports: Sequence[ImportReport], contested: Sequence[int]) -> int:
    """Update the rows that must change; return how many of them another transaction wrote first."""
    rows = await connection.fetch(statement("update_records"), contested)
    twice: dict[BatchKey, set[str]] = {}
    known: Counter[BatchKey] = Counter()
    updated: Counter[BatchKey] = Counter()
    superseded: Counter[BatchKey] = Counter()
    for row in rows:
        key = row["job_no"], row["batch_no"]
        if row["record_key"] is not None:
            twice.setdefault(key, set()).add(row["record_key"])
        known[key] += row["known"]
        updated[key] += row["updated"]
        superseded[key] += row["superseded"]
    if twice:
        raise DuplicateKeys(twice)
    for report in reports:
        key = report.batch.job_no, report.batch.batch_no
        report.known = known[key] - report.inserted
        report.updated += updated[key]
        report.superseded = superseded[key]
    unwritten: int = sum(row["wanted"] - row["written"] for row in rows)
    return unwritten
