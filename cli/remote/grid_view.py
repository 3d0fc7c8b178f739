"""The cells of an inference job as a grid of models and regions that fits the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.remote.printable import one_line
from cli.remote.states import TENTHS, done, each, letters, tenths

MOST_WHOLE = 400
"""Cells up to which each has a sign of its own, where the terminal is wide enough."""
GAP = 2
WIDEST_NAME = 28


def draw_grid(rows: Sequence[Mapping[str, Any]], *, width: int, height: int, is_plain: bool) -> RenderableType:
    """Return the rows as a grid for so many columns and lines; it says what of it doesn't fit."""
    models = list(dict.fromkeys(row["model_id"] for row in rows))
    regions = list(dict.fromkeys(row["region"] for row in rows))
    row_by_place = {(row["model_id"], row["region"]): row for row in rows}
    names = min(WIDEST_NAME, max((len(model) for model in models), default=0))
    questions = max((sum(row["counts"].values()) for row in rows), default=0)
    room = max(TENTHS, (width - names) // max(1, len(regions)) - GAP)
    is_whole = questions * len(rows) <= MOST_WHOLE and questions <= room and all(row["states"] for row in rows)
    cell = _Cells(questions if is_whole else TENTHS, is_whole=is_whole, is_plain=is_plain)
    shown_regions = regions[: max(1, (width - names) // (cell.width(regions, room) + GAP))]
    lines = max(1, height - 3)  # its headings and two notes
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("model", no_wrap=True, max_width=WIDEST_NAME, overflow="ellipsis")
    for region in shown_regions:
        table.add_column(one_line(region), no_wrap=True)
    for model in models[:lines]:
        drawn = (cell.draw(row_by_place.get((model, region)), room) for region in shown_regions)
        table.add_row(Text(one_line(model)), *drawn)
    return Group(table, *_left_out(models[lines:], regions[len(shown_regions) :], is_whole=is_whole))


class _Cells:
    """Draws what a model has in a region: a sign for each question, or ten for all and a count."""

    def __init__(self, signs: int, *, is_whole: bool, is_plain: bool) -> None:
        self._signs = signs
        self._is_whole = is_whole
        self._is_plain = is_plain

    def width(self, regions: Sequence[str], room: int) -> int:
        """Return how many columns a region takes."""
        return min(room, max(self._signs, max((len(region) for region in regions), default=0)))

    def draw(self, row: Mapping[str, Any] | None, room: int) -> Text:
        """Return the signs, and the count where there is room for it; nothing where the job has no such cells."""
        if row is None:
            return Text()
        if self._is_whole:
            return each(row["states"], is_plain=self._is_plain)
        numbers = letters(row["counts"])
        text = tenths(numbers, is_plain=self._is_plain)
        counted = f" {done(numbers)}/{sum(numbers.values())}"
        return text.append(counted) if len(text) + len(counted) <= room else text


def _left_out(models: Sequence[str], regions: Sequence[str], *, is_whole: bool) -> list[Text]:
    notes = [] if is_whole else ["Ten signs stand for all questions."]
    if models or regions:
        parts = [f"{len(left)} {word}" for left, word in ((models, "models"), (regions, "regions")) if left]
        notes.append(f"Don't fit: {', '.join(parts)} more.")
    return [Text(note, style="dim", no_wrap=True, overflow="ellipsis") for note in notes]
