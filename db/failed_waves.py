"""The error detail of an import that ended with a failed wave."""

from dataclasses import dataclass
from typing import Any

from db.engine import Connection, statement

NAMED_RECORD_TYPES = 5


@dataclass(frozen=True, slots=True)
class FailedWave:
    """The failures of a wave: the number of record types, the most affected ones, and the most frequent code."""

    failed_batches: int
    total_batches: int
    later_waves: int
    record_type_count: int
    record_types: list[str]
    error_code: str
    error_batches: int


async def record_detail(connection: Connection, job_no: int, job_id: str, wave_no: int) -> None:
    """Record the failures of the wave that ended an import in the import's error, in the caller's transaction.

    A separate statement: the statement that ended the wave may not see batches that others ended while it waited.
    """
    row: Any = await connection.fetchrow(statement("read_failed_wave"), job_no, wave_no, NAMED_RECORD_TYPES)
    detail = _detail(FailedWave(**row), job_id, wave_no)
    await connection.execute(statement("record_failure_detail"), job_no, detail)


def _detail(wave: FailedWave, job_id: str, wave_no: int) -> str:
    named = ", ".join(wave.record_types)
    more = wave.record_type_count - len(wave.record_types)
    types = f"record type {named}" if wave.record_type_count == 1 else f"record types {named}"
    later = ""
    if wave.later_waves:
        waves = "wave after it was" if wave.later_waves == 1 else f"{wave.later_waves} waves after it were"
        later = f" The {waves} not begun."
    return (
        f"{wave.failed_batches} of {wave.total_batches} batches of wave {wave_no} failed, of"
        f" {types}{f' and {more} more' if more else ''}; most often with {wave.error_code} ({wave.error_batches})."
        f"{later} Correct the source; POST /jobs/{job_id}/retry then reads the failed batches again and goes on from"
        f" there (a file that was changed needs a new import)."
    )
