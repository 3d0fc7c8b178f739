"""Comparing an import with the rows of a strict reader: every difference in a sentence."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.corpus.expected import Expected, Record, Reject, Row, is_same

_INSIDES = re.compile(r"/dev/|/tmp/|/proc/|state machine|Traceback|<class|object at 0x|\bc\d+\b")
"""Texts that an error must not hold: paths of the machine, words from inside a reader."""


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A row as it came: its position, its payload, the reason if it is a reject, and its line if known."""

    position: int
    payload: dict[str, Any]
    defect: str | None = None
    line: int | None = None
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """The import of a file: its columns, the number of counted rows, and all rows in their order."""

    columns: tuple[str, ...]
    counted: int
    rows: Sequence[ImportedRow]


@dataclass(frozen=True, slots=True)
class Refused:
    """The error that an import of a file ended with."""

    code: str
    detail: str


def differences(expected: Expected, outcome: Imported | Refused) -> list[str]:
    """Return the differences of an import from the expected rows; none if it is right."""
    if isinstance(outcome, Refused):
        return list(_of_refusal(expected, outcome))
    return list(_of_rows(expected, outcome))


def _of_refusal(expected: Expected, outcome: Refused) -> Iterator[str]:
    if expected.refusal is None:
        yield f"refused though it can be read: {outcome.code}: {outcome.detail}"
    elif not re.search(expected.refusal.mentions, outcome.detail, re.IGNORECASE):
        yield f"unclear error, which doesn't match {expected.refusal.mentions!r}: {outcome.code}: {outcome.detail}"
    if outcome.code not in ("unreadable", "unknown_column"):
        yield f"refused as {outcome.code}: {outcome.detail}"
    if _INSIDES.search(outcome.detail):
        yield f"an error with words from inside a reader: {outcome.detail}"


def _of_rows(expected: Expected, outcome: Imported) -> Iterator[str]:
    if expected.must_be_refused:
        yield f"imported though it is broken: {expected.refusal}"
        return
    if expected.columns is None and (lacking := _members(expected) - set(outcome.columns)):
        yield f"its columns lack {sorted(lacking)!r:.300}"
    if expected.columns is not None and outcome.columns != expected.columns:
        yield f"its columns are {expected.columns!r:.300}, imported were {outcome.columns!r:.300}"
    if not len(expected.records) == outcome.counted == len(outcome.rows):
        yield f"it has {len(expected.records)} records, counted were {outcome.counted}, read {len(outcome.rows)}"
    for position, (record, row) in enumerate(zip(expected.records, outcome.rows, strict=False)):
        for difference in _of_record(record, row, position):
            yield f"record {position}: {difference}"


def _members(expected: Expected) -> set[str]:
    """Return the names that the rows of a file have, each its own."""
    return {name for record in expected.records if isinstance(record, Row) for name in record.payload}


def _of_record(record: Record, row: ImportedRow, position: int) -> Iterator[str]:
    if row.position != position:
        yield f"said to stand at {row.position}"
    match record:
        case Row():
            yield from _of_row(record, row)
        case Reject():
            yield from _of_reject(record, row)


def _of_row(wanted: Row, row: ImportedRow) -> Iterator[str]:
    if row.is_repeated:
        yield "said to repeat a key"
    if row.defect is None:
        if not is_same(wanted.payload, row.payload):
            yield f"silently different: {_shown(wanted.payload, row.payload)}"
    elif not wanted.may_be_rejected:
        yield f"rejected though it can be read: {row.defect:.300}"


def _of_reject(wanted: Reject, row: ImportedRow) -> Iterator[str]:
    if row.defect is None:
        yield f"silently taken though it is to be rejected: {row.payload!r:.300}"
    elif not row.defect.strip() or (wanted.column or "") not in row.defect:
        yield f"a reason that doesn't name column {wanted.column!r}: {row.defect:.300}"
    if wanted.line and row.line is not None and row.line != wanted.line:
        yield f"it stands in line {wanted.line}, said was {row.line}"


def _shown(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Return the members that differ, for people."""
    if wanted.keys() != found.keys():
        return f"members {sorted(wanted)!r:.200}, imported {sorted(found)!r:.200}"
    shown = [
        f"{name!r:.60} is {wanted[name]!r:.200}, imported {found[name]!r:.200}"
        for name in wanted
        if not is_same(wanted[name], found[name])
    ]
    return "; ".join(shown[:3])


def what_came(expected: Expected, outcome: Imported | Refused) -> Counter[str]:
    """Return the figures of a file: rows, values, and their outcomes."""
    if isinstance(outcome, Refused):
        return Counter(files=1, refused_files=1)
    taken = [row for row in outcome.rows if row.defect is None]
    return Counter(
        files=1,
        read_files=1,
        rows=len(outcome.rows),
        right_rows=len(taken),
        rejected_rows=len(outcome.rows) - len(taken),
        values=sum(_values(row.payload) for row in taken),
    )


def _values(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_values, value.values()))
    return sum(map(_values, value)) if isinstance(value, list) else 1
