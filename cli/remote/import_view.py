"""An import as tables: its record types with their rows, and its waves."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.remote.printable import number, one_line

ROWS = ("inserted", "updated", "unchanged", "superseded", "rejected")
SIGNS = {"pending": "·", "running": "▸", "completed": "✓", "partial": "~", "failed": "✗", "cancelled": "–"}
PLAIN_SIGNS = {"pending": ".", "running": ">", "completed": "+", "partial": "~", "failed": "x", "cancelled": "-"}


def draw_import(
    progress: Mapping[str, Any], waves: Sequence[Mapping[str, Any]], *, height: int, is_plain: bool
) -> RenderableType:
    """Return both tables, for so many lines."""
    types = progress["record_types"]
    lines = max(1, height - 6)
    shown_waves = waves[: max(1, lines - len(types))]
    notes = [f"… and {len(waves) - len(shown_waves)} more waves."] if len(waves) > len(shown_waves) else []
    return Group(
        _record_types(types[:lines]), "", _waves(shown_waves, is_plain=is_plain), *(Text(note) for note in notes)
    )


def _record_types(types: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("record type", no_wrap=True)
    for heading in ("level", "read", "expected", *ROWS, "batches"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in types:
        rows = each["rows"]
        ended = each["batches_completed"] + each["batches_failed"]
        failed = f", {each['batches_failed']} failed" if each["batches_failed"] else ""
        counts = [number(rows[name]) for name in ("read", "expected", *ROWS)]
        table.add_row(Text(one_line(each["id"])), str(each["level"]), *counts, f"{ended}/{each['batches']}{failed}")
    return table


def _waves(waves: Sequence[Mapping[str, Any]], *, is_plain: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("wave", "level", "state", "batches"):
        table.add_column(heading, no_wrap=True)
    signs = PLAIN_SIGNS if is_plain else SIGNS
    for wave in waves:
        batches = wave["batches"]
        ended = batches["total"] - batches["open"]
        state = f"{signs.get(wave['status'], ' ')} {wave['status']}"
        table.add_row(str(wave["wave_number"]), str(wave["level"]), state, f"{ended}/{batches['total']}")
    return table
