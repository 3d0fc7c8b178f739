"""The keys and trace ids that calls carry: repeated after an ambiguous end, new after an answer."""

from hashlib import blake2b
from typing import NamedTuple


class Cell(NamedTuple):
    """Where a cell stands: its job, and its numbers in the job's plan."""

    job_no: int
    region_no: int
    model_no: int
    question_no: int


def idempotency_key(cell: Cell, *, planned_us: int, key_no: int) -> str:
    """Return the `Idempotency-Key` of a cell's calls.

    `planned_us` is when the cell was planned, microseconds since the epoch: databases that number their jobs alike
    don't share keys. `key_no` counts definitive answers and retries by a person.
    """
    return f"bw-{cell.job_no}-{planned_us:x}-{cell.region_no}-{cell.model_no}-{cell.question_no}-{key_no}"


def trace_id(job_no: int, *, planned_us: int) -> str:
    """Return the W3C trace id that all calls of a job share: 32 hex digits."""
    return blake2b(f"{job_no}-{planned_us}".encode(), digest_size=16).hexdigest()
