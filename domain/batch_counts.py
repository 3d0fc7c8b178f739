"""The largest number of batches of an import, and the batch sizes that keep to it."""

MAX_BATCH_SIZE = 10_000
"""Rows of a batch, which is read, written and, after a crash, repeated as a whole."""
MAX_BATCHES = 100_000
"""Batches of an import: planning them is one transaction of about a second, and 200 MiB in its worker."""


def least_batch_size(rows: int, record_types: int) -> int | None:
    """Return a batch size that keeps this many rows and record types within MAX_BATCHES; None if no size does.

    Each record type may have two more batches than its rows fill: a last, partly filled one, and one of rows without a
    key.
    """
    size = -(-rows // (MAX_BATCHES - 2 * record_types))
    return max(1, size) if size <= MAX_BATCH_SIZE else None
