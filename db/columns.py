"""Parameters of statements over many rows: an array per column."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[object]], width: int) -> list[Sequence[object]]:
    """Return the columns of these rows; `width` empty columns if there are no rows."""
    return list(zip(*rows, strict=True)) if rows else [[] for _ in range(width)]
