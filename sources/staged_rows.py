"""Turning what the staged form of a file holds into rows."""

from collections.abc import Sequence
from typing import Any

from sources.conversion import Content
from sources.protocol import SourceRow
from sources.values import NotJson, parse_json, to_rows


def stored_columns(content: Content) -> str:
    """Return the stored columns as they stand in a SELECT; records of them are what `to_source_rows` takes."""
    return ", ".join(f"c{number}" for number in range(len(content.kinds)))


def to_source_rows(content: Content, records: Sequence[Any], *, first: int) -> list[SourceRow]:
    """Return stored records as rows whose positions count from `first`."""
    if content.holds_documents:
        return [_document(position, text) for position, (text,) in enumerate(records, first)]
    return to_rows(records, names=content.columns, kinds=content.kinds, first=first)


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
