"""Turning stored records of a staged file into rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from domain.key_forms import KeyForm
from sources.protocol import SourceRow
from sources.staged.content import Content, MalformedRecord
from sources.values import Kind, NotJson, parse_json, to_rows

_FORM_BY_KIND = {Kind.NUMBER: KeyForm.DIGITS, Kind.FLOAT: KeyForm.FLOAT}


def stored_columns(content: Content) -> str:
    """Return the stored columns for a SELECT whose records `to_source_rows` takes."""
    return ", ".join(f"c{number}" for number in range(len(content.kinds)))


def key_forms(content: Content, key: Sequence[str]) -> Sequence[KeyForm]:
    """Return how the columns of a key may be spelled; nothing for documents, whose values have types of their own."""
    if content.holds_documents:
        return ()
    kind_by_name = dict(zip(content.columns, content.kinds, strict=True))
    return [_FORM_BY_KIND.get(kind_by_name[name], KeyForm.EXACT) for name in key]


def to_source_rows(content: Content, records: Sequence[Any], row_numbers: Iterable[int]) -> list[SourceRow]:
    """Return stored records as rows of the file; `row_numbers` are their numbers in Parquet."""
    positions = content.positions(row_numbers)
    if content.holds_documents:
        return [
            _document(position, text, content.line(position))
            for position, (text,) in zip(positions, records, strict=True)
        ]
    return to_rows(records, names=content.columns, kinds=content.kinds, positions=positions)


def to_reject(malformed: MalformedRecord) -> SourceRow:
    """Return a malformed record as a row that is to be rejected."""
    return SourceRow(malformed.position, {}, malformed.text, line=malformed.line)


def _document(position: int, text: str | None, line: int | None) -> SourceRow:
    """Return a JSON line as a row. Any JSON value but an object is a defect."""
    if text is None:
        return SourceRow(position, {}, "the line isn't UTF-8", line=line)
    try:
        payload = parse_json(text)
    except NotJson as error:
        return SourceRow(position, {}, f"the line {error}", line=line)
    if not isinstance(payload, dict):
        return SourceRow(position, {}, "the line is no JSON object", line=line)
    return SourceRow(position, payload, line=line)
