"""Sources that are staged: a file below the import root, converted once and then read by row number."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from sources.errors import SourceChanged, SourceUnavailable, echoed, refuse_too_many_batches, refuse_unknown_columns
from sources.protocol import SourceRange, SourceRow, Survey, max_range_rows
from sources.staged.cuts import cut
from sources.staged.duck import Duck, Session
from sources.staged.files import StagedFile, find_staged
from sources.staged.parser import Parser
from sources.staged.repeats import find_repeated
from sources.staged.rows import key_forms, stored_columns, to_reject, to_source_rows

READ_SECONDS = 60.0
FIND_SECONDS = 600.0
"""A staged file is read whole when it is first used; only a hanging file system takes longer than these limits."""


class StagedSource:
    """The rows of one file, as they were when it was first read, staged under the hash of its content.

    A range names the staged form, so any worker that shares the staging folder reads the same rows, even once the file
    is gone; one that doesn't share it stages the file again and refuses another content with SourceChanged.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        *,
        root: Path,
        hidden: Sequence[Path] = (),
        staging_folder: Path,
        parser: Parser | None = None,
        memory_limit: str = "200MB",
    ) -> None:
        """Take the spec's source and a parser to share; without a parser, make a new one."""
        self._root, self._hidden = root, hidden
        self._names = names
        self._path = names["path"]
        self._folder = staging_folder
        self._parser = parser or Parser()
        self._duck = Duck(memory_limit=memory_limit, spill_folder=staging_folder / "spill")
        self._staged: StagedFile | None = None
        self._finding = asyncio.Lock()

    @property
    def survey_permit(self) -> AbstractAsyncContextManager[object]:
        """A permit of the parser, which has few."""
        return self._parser.permits

    async def columns(self) -> tuple[str, ...]:
        """Return the names in the CSV's first line, the Parquet's schema, or all of the JSON lines' members."""
        return (await self._stage_once()).content.columns

    async def count(self) -> int:
        """Return how many rows there are, malformed ones included."""
        return (await self._stage_once()).content.records

    async def ranges(self, key: Sequence[str], batch_size: int) -> Survey:
        """Cut the rows by their number. Rows without a key and rows that share a key keep their place.

        A range names its rows whose key occurs in an earlier row of the file, and `read` marks them. Raises
        UnknownColumn, and KeyUnusable if more rows share one key than a range may hold, or too many rows share any key.
        """
        staged = await self._stage_once()
        if not staged.content.has_more_columns:
            refuse_unknown_columns(key, staged.content.columns, source=f"The file {echoed(self._path)}")
        if not staged.content.records:
            return Survey(0, [])
        refuse_too_many_batches(staged.content.records, batch_size)
        most = max_range_rows(batch_size)
        repeated = await self._duck.run(lambda session: find_repeated(session, staged, key, most=most))
        return Survey(
            staged.content.records,
            _ranges(staged, repeated, batch_size),
            detail=_remarks(staged, repeated),
            key_forms=key_forms(staged.content, key),
        )

    async def read(self, source_range: Mapping[str, Any]) -> list[SourceRow]:
        """Return the rows of a range, malformed records among them. `position` is the record's number in the file."""
        staged = await self._find(source_range["staged"])
        rows = await self._duck.run(
            lambda session: self._rows(session, staged, first=source_range["from"], before=source_range["before"]),
            limit_seconds=READ_SECONDS,
        )
        repeated = source_range.get("repeated")
        return _mark(rows, repeated) if repeated else rows

    async def aclose(self) -> None:
        """Close DuckDB; the staged file stays."""
        await self._duck.aclose()

    async def _stage_once(self) -> StagedFile:
        if self._staged is None:
            self._staged = await self._stage()
        return self._staged

    async def _stage(self) -> StagedFile:
        staged_id = await self._parser.stage(
            root=self._root, hidden=self._hidden, source=self._names, folder=self._folder
        )
        if found := await self._find_staged(staged_id):
            return found
        raise self._vanished()

    async def _find(self, wanted: str) -> StagedFile:
        """Return the surveyed content, staged again if it is missing. Raises SourceChanged."""
        async with self._finding:
            if self._staged is None or self._staged.id != wanted:
                self._staged = await self._find_staged(wanted) or await self._stage_again()
            if self._staged.id != wanted:
                raise SourceChanged(
                    f"{echoed(self._path)} is no longer the file that was surveyed: start the import again."
                )
            return self._staged

    async def _stage_again(self) -> StagedFile:
        async with self._parser.permits:
            return await self._stage()

    async def _find_staged(self, staged_id: str) -> StagedFile | None:
        return await self._duck.run(lambda _: find_staged(self._folder, staged_id), limit_seconds=FIND_SECONDS)

    def _vanished(self) -> SourceUnavailable:
        return SourceUnavailable(f"The staged form of {echoed(self._path)} went away: it is staged again.")

    def _rows(self, session: Session, staged: StagedFile, *, first: int, before: int) -> list[SourceRow]:
        try:
            return _rows(session, staged, first=first, before=before)
        except Exception:
            if staged.parquet.exists():
                raise
            self._staged = None
            raise self._vanished() from None


def _ranges(staged: StagedFile, repeated: Sequence[int], batch_size: int) -> list[SourceRange]:
    ranges = []
    for first, before in cut(staged, batch_size):
        range_: dict[str, Any] = {"staged": staged.id, "from": first, "before": before}
        if positions := repeated[bisect_left(repeated, first) : bisect_left(repeated, before)]:
            range_["repeated"] = positions
        ranges.append(SourceRange(range_, before - first))
    return ranges


def _remarks(staged: StagedFile, repeated: Sequence[int]) -> str | None:
    remarks = []
    if staged.content.malformed:
        remarks.append(f"{len(staged.content.malformed)} records make no sense.")
    if repeated:
        remarks.append(f"{len(repeated)} rows have the key of a row before them.")
    return " ".join(remarks) or None


def _rows(session: Session, staged: StagedFile, *, first: int, before: int) -> list[SourceRow]:
    content = staged.content
    row_numbers = range(content.rows_before(first), content.rows_before(before))
    records = session.connection.execute(
        f"""
        SELECT {stored_columns(content)} FROM read_parquet($path, file_row_number = true)
        WHERE file_row_number >= $first AND file_row_number < $before ORDER BY file_row_number
        """,
        {"path": str(staged.parquet), "first": row_numbers.start, "before": row_numbers.stop},
    ).fetchall()
    rows = to_source_rows(content, records, row_numbers)
    malformed = content.malformed_between(first, before)
    return sorted([*rows, *map(to_reject, malformed)], key=_position) if malformed else rows


def _position(row: SourceRow) -> int:
    return row.position


def _mark(rows: Iterable[SourceRow], repeated: Sequence[int]) -> list[SourceRow]:
    positions = set(repeated)
    return [row._replace(is_repeated=True) if row.position in positions else row for row in rows]
