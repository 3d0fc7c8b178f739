"""The corpus: kinds of files, each drawn from a number, and running them through the importer.

A case is named after its kind and number, such as `csv-17`, and is the same file whenever it is drawn.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.corpus.boundaries import LARGE, MIDDLE, SMALL, draw_boundary, draw_crossing, draw_row_count
from tests.corpus.csv_faults import draw_csv_fault
from tests.corpus.csv_files import draw_csv
from tests.corpus.expected import Case
from tests.corpus.json_files import draw_json
from tests.corpus.judging import differences, what_came
from tests.corpus.parquet_faults import draw_fault
from tests.corpus.parquet_files import draw_parquet
from tests.corpus.parquet_rows import draw_parquet_rows
from tests.corpus.reading import import_case

KINDS: Mapping[str, Callable[[str, random.Random], Case]] = {
    "csv": draw_csv,
    "csv_fault": draw_csv_fault,
    "jsonl": draw_json,
    "parquet": draw_parquet,
    "parquet_fault": draw_fault,
    "parquet_rows": partial(draw_parquet_rows, counts=(2048, 8192)),
    "parquet_many_rows": partial(draw_parquet_rows, counts=(122_880,)),
    "parquet_million_rows": partial(draw_parquet_rows, counts=(1_000_000,)),
    "boundary": partial(draw_boundary, boundaries=SMALL),
    "boundary_mib": partial(draw_boundary, boundaries=MIDDLE),
    "boundary_large": partial(draw_boundary, boundaries=LARGE),
    "crossing": partial(draw_crossing, boundaries=(*SMALL, *MIDDLE)),
    "crossing_large": partial(draw_crossing, boundaries=(32_000_000,)),
    "rows": partial(draw_row_count, counts=(2048, 8192)),
    "many_rows": partial(draw_row_count, counts=(122_880,)),
    "million_rows": partial(draw_row_count, counts=(1_000_000,)),
}
AT_ONCE = 2


@dataclass
class Report:
    """What became of a run: figures by format, what was tried, and each difference with the case it is of."""

    figures: dict[str, Counter[str]] = field(default_factory=dict)
    tags: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the figures as lines for people, the sum last."""
        total: Counter[str] = Counter()
        for counted in self.figures.values():
            total.update(counted)
        return [_line(name, counted) for name, counted in [*sorted(self.figures.items()), ("all", total)]]


def _line(name: str, counted: Counter[str]) -> str:
    return (
        f"{name:8} {counted['files']:6} files: {counted['read_files']} read, {counted['refused_files']} refused; "
        f"{counted['rows']} rows: {counted['right_rows']} taken, {counted['rejected_rows']} rejected; "
        f"{counted['values']} values; {counted['different_files']} files with differences"
    )


def draw(case_id: str) -> Case:
    """Return the case of an id."""
    kind, _, _ = case_id.rpartition("-")
    return KINDS[kind](case_id, random.Random(case_id))


async def run(case_ids: Iterable[str], folder: Path) -> Report:
    """Import each case below a folder and compare all of it; the files of those that differ stay there."""
    root, staging = folder / "files", folder / "staging"
    root.mkdir()
    report = Report()
    room = asyncio.Semaphore(AT_ONCE)

    async def run_one(case_id: str) -> None:
        async with room:
            try:
                case = draw(case_id)
            except AssertionError as error:
                report.failures.append(f"{case_id}: the corpus contradicts itself: {error}")
                return
            outcome = await import_case(case, root, staging)
            found = differences(case.expected, outcome)
            layout = case.name.split(".")[1].replace("tsv", "csv").replace("ndjson", "jsonl")
            report.figures.setdefault(layout, Counter()).update(what_came(case.expected, outcome))
            report.figures[layout]["different_files"] += bool(found)
            report.tags.update(case.tags)
            if found:
                report.failures.append(_described(case_id, root / case.name, case, found))
            else:
                (root / case.name).unlink()

    await asyncio.gather(*map(run_one, case_ids))
    return report


def _described(case_id: str, path: Path, case: Case, found: list[str]) -> str:
    shown = [f"    {item}" for item in found[:4]] + ([f"    and {len(found) - 4} more"] if len(found) > 4 else [])
    return "\n".join([f"{case_id}: {path} ({', '.join(sorted(case.tags))})"[:400], *shown])
