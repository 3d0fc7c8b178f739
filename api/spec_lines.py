"""A JSON document as lines, each with the notes about what stands there. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from api.schemas.submissions import NormalizationNote

MOST_LINES = 3000
"""Lines that are drawn; nobody reads on, and each is an element of the page."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an indented document, with the notes about the member that begins there."""

    text: str
    notes: Sequence[NormalizationNote] = ()


@dataclass(frozen=True, slots=True)
class Lines:
    """The first lines of a document, and how many more it has."""

    shown: Sequence[Line]
    left_out: int


def noted_lines(document: Any, notes: Sequence[NormalizationNote] = ()) -> Lines:
    """Return a document with each note at the line of the member that its pointer names, or of the nearest above."""
    pointers = {pointer for pointer, _ in _lines(document, "", "", "")}
    notes_by_pointer: dict[str, list[NormalizationNote]] = {}
    for note in notes:
        at = note.path
        while at and at not in pointers:
            at = at.rpartition("/")[0]
        notes_by_pointer.setdefault(at, []).append(note)
    lines = [Line(text, notes_by_pointer.pop(pointer, ())) for pointer, text in _lines(document, "", "", "")]
    return Lines(lines[:MOST_LINES], max(0, len(lines) - MOST_LINES))


def _lines(value: Any, pointer: str, indent: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield each line with the pointer to what begins there; a closing bracket has that of its opening one."""
    if isinstance(value, Mapping) and value:
        members = [(f"{pointer}/{_escaped(key)}", f"{_json(key)}: ", member) for key, member in value.items()]
        opening, closing = "{}"
    elif isinstance(value, list) and value:
        members = [(f"{pointer}/{place}", "", member) for place, member in enumerate(value)]
        opening, closing = "[]"
    else:
        yield pointer, f"{indent}{name}{_json(value)}"
        return
    yield pointer, f"{indent}{name}{opening}"
    for place, (at, key, member) in enumerate(members):
        inner = list(_lines(member, at, indent + "  ", key))
        if place < len(members) - 1:
            inner[-1] = (inner[-1][0], inner[-1][1] + ",")
        yield from inner
    yield pointer, f"{indent}{closing}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
