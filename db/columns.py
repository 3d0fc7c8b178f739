"""Parameters of statements over many rows: an array for each column."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[object]], width: int) -> list[Sequence[object]]:
    """Return the columns of these rows, of which there may be none: then `width` empty ones."""
    return list(zip(*rows, strict=True)) if rows else [[] for _ in range(width)]
