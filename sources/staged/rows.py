"""Turning stored records of a staged file into rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from domain.key_forms import KeyForm
from sources.protocol import SourceRow
from sources.staged.content import Content, Malformed
from sources.values import Kind, NotJson, parse_json, to_rows

_FORM_BY_KIND = {Kind.NUMBER: KeyForm.DIGITS, Kind.FLOAT: KeyForm.FLOAT}


def stored_columns(content: Content) -> str:
    """Return the stored columns as they stand in a SELECT; records of them are what `to_source_rows` takes."""
    return ", ".join(f"c{number}" for number in range(len(content.kinds)))


def key_forms(content: Content, key: Sequence[str]) -> Sequence[KeyForm]:
    """Return how the columns of a key may be spelled; of documents, whose values have types of their own, nothing."""
    if content.holds_documents:
        return ()
    kind_by_name = dict(zip(content.columns, content.kinds, strict=True))
    return [_FORM_BY_KIND.get(kind_by_name[name], KeyForm.EXACT) for name in key]


def to_source_rows(content: Content, records: Sequence[Any], row_numbers: Iterable[int]) -> list[SourceRow]:
    """Return stored records, whose numbers in Parquet are given, as rows of the file."""
    positions = content.positions(row_numbers)
    if content.holds_documents:
        return [
            _document(position, text, content.line(position))
            for position, (text,) in zip(positions, records, strict=True)
        ]
    return to_rows(records, names=content.columns, kinds=content.kinds, positions=positions)


def to_reject(malformed: Malformed) -> SourceRow:
    """Return a record that made no sense as a row that is to be rejected."""
    return SourceRow(malformed.position, {}, malformed.text, line=malformed.line)


def _document(position: int, text: str | None, line: int | None) -> SourceRow:
    """Return one JSON line as a row. Only an object has members; anything else is a defect."""
    if text is None:
        return SourceRow(position, {}, "the line isn't UTF-8", line=line)
    try:
        payload = parse_json(text)
    except NotJson as error:
        return SourceRow(position, {}, f"the line {error}", line=line)
    if not isinstance(payload, dict):
        return SourceRow(position, {}, "the line is no JSON object", line=line)
    return SourceRow(position, payload, line=line)
