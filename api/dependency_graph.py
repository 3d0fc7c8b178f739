"""The dependency graph of an import as a drawing: record types in columns by level, lines to what they depend on.

No I/O. Lengths are units of the drawing's own.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.schemas.import_progress import RecordTypeProgress

MOST_DRAWN: Final = 60
"""Record types of a drawing; of more, the lines can't be told apart."""
_NODE_WIDTH: Final = 180
_NODE_HEIGHT: Final = 44
_COLUMN: Final = 250
_ROW: Final = 58
_MARGIN: Final = 8
_LABEL: Final = 22
"""Characters of a name that fit in a node."""


@dataclass(frozen=True, slots=True)
class Node:
    """A record type. `read_width` is how much of the node's width its read rows take up."""

    id: str
    label: str
    state: str
    words: str
    x: int
    y: int
    read_width: float


@dataclass(frozen=True, slots=True)
class Line:
    """From the right side of a record type to the left side of one that depends on it."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing; `node_width` and `node_height` are those of each node."""

    width: int
    height: int
    nodes: Sequence[Node]
    lines: Sequence[Line]
    node_width: int = _NODE_WIDTH
    node_height: int = _NODE_HEIGHT


def draw(types: Sequence[RecordTypeProgress], depends_on: Mapping[str, Sequence[str]], *, is_ended: bool) -> Graph:
    """Return the drawing. In a column, record types stand near those that they depend on, so that few lines cross."""
    columns: dict[int, list[RecordTypeProgress]] = defaultdict(list)
    for each in types:
        columns[each.level].append(each)
    places: dict[str, tuple[int, int]] = {}
    for column, level in enumerate(sorted(columns)):

        def height(each: RecordTypeProgress) -> tuple[float, str]:
            above = [places[name][1] for name in depends_on.get(each.id, ()) if name in places]
            return (sum(above) / len(above) if above else 0, each.id)

        for row, each in enumerate(sorted(columns[level], key=height)):
            places[each.id] = (_MARGIN + column * _COLUMN, _MARGIN + row * _ROW)
    return Graph(
        width=2 * _MARGIN + max(0, len(columns) - 1) * _COLUMN + _NODE_WIDTH,
        height=2 * _MARGIN + max(0, max(map(len, columns.values()), default=1) - 1) * _ROW + _NODE_HEIGHT,
        nodes=[_node(each, *places[each.id], is_ended=is_ended) for each in types],
        lines=[
            _line(places[name], places[each.id])
            for each in types
            for name in depends_on.get(each.id, ())
            if name in places
        ],
    )


def state_of(each: RecordTypeProgress, *, is_ended: bool) -> str:
    """Return the state of a record type, by its batches and rows."""
    ended = each.batches_completed + each.batches_failed
    if each.batches_failed:
        return "failed" if each.batches_failed == each.batches else "partial"
    if ended < each.batches:
        return "cancelled" if is_ended else ("running" if each.rows.read or ended else "pending")
    if not each.is_complete or each.rows.rejected:
        return "partial"
    return "completed" if each.batches or is_ended else "pending"


def _node(each: RecordTypeProgress, x: int, y: int, *, is_ended: bool) -> Node:
    share = min(1.0, each.rows.read / each.rows.expected) if each.rows.expected else 0.0
    return Node(
        id=each.id,
        label=each.id if len(each.id) <= _LABEL else f"{each.id[: _LABEL - 1]}…",
        state=state_of(each, is_ended=is_ended),
        words=f"{each.rows.read:,} of {each.rows.expected:,} rows",
        x=x,
        y=y,
        read_width=round(share * _NODE_WIDTH, 1),
    )


def _line(source: tuple[int, int], target: tuple[int, int]) -> Line:
    half = _NODE_HEIGHT // 2
    return Line(source[0] + _NODE_WIDTH, source[1] + half, target[0], target[1] + half)
