"""What becomes of a batch of an import that was read, or that couldn't be."""

import random
from collections.abc import Collection, Sequence

from db.batches import ClaimedBatch
from db.import_settlements import ImportRange, ImportSettlement
from domain.import_spec import ImportPolicy
from domain.outcome import WORKER_LOST, away_backoff_seconds, backoff_seconds, is_forgiven, storable
from sources.errors import SourceError
from sources.keys import key_text, spelled_key_text
from sources.protocol import SourceRow
from worker.imports.records import duplicate, to_records

TOO_MANY_REJECTS = "too_many_rejects"
ROWS_REFUSED = "rows_refused"
LOAD_TIMEOUT = "load_timeout"


def read(
    batch: ClaimedBatch, given: ImportRange, rows: Sequence[SourceRow], *, key: tuple[str, ...], policy: ImportPolicy
) -> ImportSettlement:
    """Return the end of a batch whose rows were read: completed, or failed if too many of them can't be taken."""
    records = to_records(rows, key, key_text(key) if given.keys_by_value else spelled_key_text(key))
    settlement = ImportSettlement(
        batch,
        given,
        "completed",
        identity_no=batch.identity_no,
        rows_read=len(rows),
        records=records.taken,
        rejected=records.rejected,
        max_rejects=policy.max_rejects,
        max_attempts=policy.max_attempts,
    )
    _refuse_too_many(settlement)
    return settlement


def unread(batch: ClaimedBatch, given: ImportRange, error: SourceError, *, policy: ImportPolicy) -> ImportSettlement:
    """Return what becomes of a batch that couldn't be read: it is tried again later, or it failed."""
    settlement = _failed(batch, given, error.code, error.detail)
    counted = given.attempts + 1 - given.forgiven
    jitter = random.random()  # noqa: S311 - it needs no secrecy
    settlement.is_away = error.is_away
    settlement.is_forgiven = error.is_away and is_forgiven(given.away_seconds)
    if settlement.is_forgiven or (error.retryable and counted < policy.max_attempts):
        settlement.status = "pending"
        away = away_backoff_seconds(given.away_seconds, jitter)
        settlement.due_in_seconds = away if error.is_away else backoff_seconds(counted, jitter)
    return settlement


def lost(batch: ClaimedBatch, given: ImportRange) -> ImportSettlement:
    """Return the end of a batch whose workers were lost too often."""
    detail = f"The workers that ran this batch were lost {batch.lost_leases} times in a row."
    return _failed(batch, given, WORKER_LOST, detail)


def reject_duplicates(settlement: ImportSettlement, keys: Collection[str]) -> None:
    """Take out the rows whose keys another batch of the import wrote."""
    twice = [duplicate(row.position, row.record_key) for row in settlement.records if row.record_key in keys]
    settlement.records = [row for row in settlement.records if row.record_key not in keys]
    settlement.rejected = [*settlement.rejected, *twice]
    _refuse_too_many(settlement)


def refuse_rows(settlement: ImportSettlement) -> None:
    """Let a batch fail whose rows the database won't take."""
    settlement.rejected = ()
    _give_up(settlement, ROWS_REFUSED, "The database refuses rows of this batch; the worker's log says which rule.")


def put_off(settlement: ImportSettlement) -> None:
    """Give up writing a batch that the database didn't get done: it is tried again later, or it failed."""
    settlement.rejected = ()
    detail = "The database didn't write the rows of this batch within the time of a statement."
    _give_up(settlement, LOAD_TIMEOUT, detail)
    counted = settlement.range.attempts + 1 - settlement.range.forgiven
    if counted < settlement.max_attempts:
        settlement.status = "pending"
        settlement.due_in_seconds = backoff_seconds(counted, random.random())  # noqa: S311 - it needs no secrecy


def _refuse_too_many(settlement: ImportSettlement) -> None:
    """Let a batch fail, with none of its rows, if more of them were rejected than its policy allows."""
    rejects = len(settlement.rejected)
    if rejects > settlement.max_rejects:
        detail = f"{rejects} of its rows can't be taken; max_rejects is {settlement.max_rejects}."
        _give_up(settlement, TOO_MANY_REJECTS, detail)


def _give_up(settlement: ImportSettlement, code: str, detail: str) -> None:
    """Let a batch fail with none of its rows."""
    settlement.status = "failed"
    settlement.records = ()
    settlement.error_code = code
    settlement.error_detail = detail


def _failed(batch: ClaimedBatch, given: ImportRange, code: str, detail: str) -> ImportSettlement:
    return ImportSettlement(batch, given, "failed", error_code=code, error_detail=storable(detail))
