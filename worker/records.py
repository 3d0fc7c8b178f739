"""Rows of a source become records: a key that tells them apart, and their payload as JSON text."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from db.importing import ReadRow, RejectedRow
from sources.protocol import SourceRow

MAX_KEY_CHARACTERS = 500
"""PostgreSQL's indexes hold no entry above some 2,700 bytes, and a key travels in cursors."""


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of a batch: those to write, no key twice, and those that can't be taken."""

    taken: list[ReadRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)


def to_records(rows: Iterable[SourceRow], key: tuple[str, ...]) -> Records:
    """Sort the rows of a batch into records and rejects; of equal keys the first is taken.

    The key of one column is its value as text; of several, their values as a JSON list.
    """
    records = Records()
    seen: set[str] = set()
    key_of = _only(key[0]) if len(key) == 1 else _several(key)
    for position, payload, defect in rows:
        text = None if defect is not None else key_of(payload)
        if defect is not None:
            records.rejected.append(RejectedRow(position, None, "unusable_row", f"This row can't be taken: {defect}."))
        elif text is None:
            records.rejected.append(RejectedRow(position, None, "key_missing", _missing(payload, key)))
        elif len(text) > MAX_KEY_CHARACTERS:
            detail = f"The row's key is longer than {MAX_KEY_CHARACTERS} characters."
            records.rejected.append(RejectedRow(position, None, "key_too_long", detail))
        elif text in seen:
            records.rejected.append(duplicate(position, text))
        else:
            seen.add(text)
            records.taken.append(ReadRow(text, _dump(payload), position))
    return records


def duplicate(position: int, key: str) -> RejectedRow:
    """Return the reject of a row whose key another row of the same import has."""
    return RejectedRow(position, key, "duplicate_key", "Another row of this import has the same key.")


def _only(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    def key_of(payload: Mapping[str, Any]) -> str | None:
        value = payload.get(name)
        return value if value is None or type(value) is str else _dump(value)

    return key_of


def _several(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], str | None]:
    def key_of(payload: Mapping[str, Any]) -> str | None:
        values = [payload.get(name) for name in names]
        return None if None in values else _dump(values)

    return key_of


def _missing(payload: Mapping[str, Any], key: tuple[str, ...]) -> str:
    name = next(name for name in key if payload.get(name) is None)
    return f"The row has no value in {name[:100]}."


def _dump(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits; the other is 10x as slow
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
