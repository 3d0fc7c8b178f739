"""Files as sources: CSV, JSON lines and Parquet below the import root, staged once and then read by row number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sources.duck import Duck, Session
from sources.errors import SourceChanged, echoed, refuse_unknown_columns
from sources.formats import format_of
from sources.paths import open_inside
from sources.protocol import SourceRange, SourceRow, Survey
from sources.staging import Staged, stage, staged
from sources.values import NotJson, parse_json, to_rows


class FileSource:
    """One file. Its rows are those it had when it was first looked at: they are staged under a hash of the content.

    A range names the staged form, so any worker that shares the staging folder reads the same rows, even once the file
    is gone; one that doesn't share it stages the file again and refuses another content with SourceChanged.

    Values of a CSV are text, whatever they look like; see `sources/values.py` for the others.
    """

    def __init__(self, *, root: Path, path: str, staging_folder: Path, memory_limit: str = "512MB") -> None:
        """Raises Unreadable if the path's ending tells no format that can be imported."""
        self._root = root
        self._path = path
        self._format = format_of(path)
        self._folder = staging_folder
        self._duck = Duck(memory_limit=memory_limit, spill_folder=staging_folder / "spill")
        self._staged: Staged | None = None

    async def columns(self) -> tuple[str, ...]:
        """Return the names in the CSV's first line, the Parquet's schema, or all of the JSON lines' members."""
        return (await self._now_staged()).content.columns

    async def count(self) -> int:
        """Return how many rows there are, malformed ones included."""
        return (await self._now_staged()).rows

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows by their number. Rows that share a key, or lack one, are where they are."""
        now = await self._now_staged()
        if now.rows:
            refuse_unknown_columns(key, now.content.columns)
        ranges = [
            SourceRange({"staged": now.id, "from": first, "before": before}, before - first)
            for first in range(0, now.rows, batch_size)
            for before in [min(first + batch_size, now.rows)]
        ]
        detail = f"{len(now.content.malformed)} records make no sense." if now.content.malformed else None
        return Survey(now.rows, ranges, detail=detail)

    async def read(self, source_range: Mapping[str, Any]) -> list[SourceRow]:
        """Return the rows of a range. `position` is the row's number in the file; malformed records come last."""
        wanted = source_range["staged"]
        found = self._staged if self._staged and self._staged.id == wanted else staged(self._folder, wanted)
        if found is None or not found.parquet.exists():
            self._staged = None
            found = await self._now_staged()
        if found.id != wanted:
            raise SourceChanged(
                f"{echoed(self._path)} is no longer the file that was surveyed: start the import again."
            )
        self._staged = now = found
        return await self._duck.run(
            lambda session: _rows(session, now, first=source_range["from"], before=source_range["before"])
        )

    async def aclose(self) -> None:
        """Let go of DuckDB; what is staged stays."""
        await self._duck.aclose()

    async def _now_staged(self) -> Staged:
        if self._staged is None:
            self._staged = await self._duck.run(self._stage)
        return self._staged

    def _stage(self, session: Session) -> Staged:
        with open_inside(self._root, self._path) as file:
            return stage(session, file=file, format_=self._format, folder=self._folder)


def _rows(session: Session, now: Staged, *, first: int, before: int) -> list[SourceRow]:
    names, kinds = now.content.columns, now.content.kinds
    columns = ", ".join(f"c{number}" for number in range(len(kinds)))
    records = session.connection.execute(
        f"""
        SELECT {columns} FROM read_parquet($path, file_row_number = true)
        WHERE file_row_number >= $first AND file_row_number < $before ORDER BY file_row_number
        """,
        {"path": str(now.parquet), "first": first, "before": before},
    ).fetchall()
    if now.content.holds_documents:
        rows = [_document(position, text) for position, (text,) in enumerate(records, first)]
    else:
        rows = to_rows(records, names=names, kinds=kinds, first=first)
    malformed = enumerate(now.content.malformed, now.content.rows)
    return rows + [SourceRow(position, {}, text) for position, text in malformed if first <= position < before]


def _document(position: int, text: str | None) -> SourceRow:
    """Return one JSON line as a row. Only an object has members; anything else is a defect."""
    if text is None:
        return SourceRow(position, {}, "the line isn't valid JSON")
    try:
        payload = parse_json(text)
    except NotJson as error:
        return SourceRow(position, {}, f"the line {error}")
    if not isinstance(payload, dict):
        return SourceRow(position, {}, "the line is no JSON object")
    return SourceRow(position, payload)
