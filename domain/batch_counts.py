"""How many batches an import may have, and which size of a batch keeps to that."""

MAX_BATCH_SIZE = 10_000
"""Rows of a batch: it is read, written and, after a crash, repeated as one."""
MAX_BATCHES = 100_000
"""Batches of an import: planning them is one transaction of about a second, and 200 MiB in its worker."""


def least_batch_size(rows: int, record_types: int) -> int | None:
    """Return a batch size that cuts so many rows of so many record types into few enough batches; None if none does.

    Each record type may have two batches more than its rows fill: its last, and one of rows without a key.
    """
    size = -(-rows // (MAX_BATCHES - 2 * record_types))
    return max(1, size) if size <= MAX_BATCH_SIZE else None
