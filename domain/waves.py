"""Order an import: levels from its graph of dependencies, and waves of numbered batches that never span two levels."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from domain.import_spec import RecordType


@dataclass(frozen=True, slots=True)
class Share:
    """Neighbouring batches of one record type in one wave: the ranges `first_range_no` to `last_range_no`, from 0.

    `first_batch_no` is the number of the first of them; the others follow it.
    """

    record_type: str
    first_batch_no: int
    first_range_no: int
    last_range_no: int

    @property
    def batches(self) -> int:
        """How many there are."""
        return self.last_range_no - self.first_range_no + 1


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """A wave of a plan: its number from 1, the level of all its batches, and its batches in order."""

    wave_no: int
    level: int
    shares: tuple[Share, ...]

    @property
    def batches(self) -> int:
        """How many batches it has; at least one."""
        return sum(share.batches for share in self.shares)


class NumberedBatch(NamedTuple):
    """A batch of a plan: its number in the job, from 1, and the number of its range within its record type, from 0."""

    batch_no: int
    wave_no: int
    record_type: str
    range_no: int


def find_cycles(depends_on: Mapping[str, Collection[str]], *, limit: int) -> list[list[str]]:
    """Return up to `limit` cycles that share no node; in each, a node depends on the next, and the last is the first.

    A cycle begins with the node that `depends_on` names first. A node that isn't among its keys can't be on a cycle.
    """
    graph = dict(depends_on)
    cycles: list[list[str]] = []
    while len(cycles) < limit and (cycle := _find_cycle(graph)):
        cycles.append(cycle)
        graph = {node: below for node, below in graph.items() if node not in cycle}
    return cycles


def _find_cycle(depends_on: Mapping[str, Collection[str]]) -> list[str] | None:
    try:
        TopologicalSorter(depends_on).prepare()
    except CycleError as error:
        nodes: list[str] = error.args[1][:0:-1]  # graphlib lists them in reverse, the first also as the last
        order = {node: number for number, node in enumerate(depends_on)}
        start = nodes.index(min(nodes, key=order.__getitem__))
        return [*nodes[start:], *nodes[: start + 1]]
    return None


def level_by_id(depends_on: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return the level of each node: 0 without dependencies, else one more than the highest level of its dependencies.

    Raises graphlib.CycleError if there is a cycle.
    """
    levels: dict[str, int] = {}
    for node in TopologicalSorter(depends_on).static_order():
        levels[node] = 1 + max((levels[below] for below in depends_on.get(node, ())), default=-1)
    return levels


def plan_waves(
    record_types: Iterable[RecordType], batches_by_type: Mapping[str, int], *, batches_per_wave: int
) -> tuple[PlannedWave, ...]:
    """Return the waves of an import whose record types have so many batches each, numbered from 1.

    Lowest level first; within a level the batches of each record type in the order of `record_types`, cut into at most
    `batches_per_wave`. A level without batches has no wave, an import without batches none at all.
    """
    waves: list[PlannedWave] = []
    batch_no = 1
    for level, ids in _ids_by_level(tuple(record_types)):
        for pieces in _cut([(type_id, batches_by_type[type_id]) for type_id in ids], batches_per_wave):
            shares = []
            for record_type, first, last in pieces:
                shares.append(Share(record_type, batch_no, first, last))
                batch_no += shares[-1].batches
            waves.append(PlannedWave(len(waves) + 1, level, tuple(shares)))
    return tuple(waves)


def _ids_by_level(record_types: Sequence[RecordType]) -> Iterator[tuple[int, list[str]]]:
    levels = level_by_id({record_type.id: record_type.depends_on for record_type in record_types})
    for level in range(max(levels.values(), default=-1) + 1):
        yield level, [record_type.id for record_type in record_types if levels[record_type.id] == level]


def _cut(counts: Iterable[tuple[str, int]], size: int) -> Iterator[list[tuple[str, int, int]]]:
    """Lay named items end to end and cut them every `size`; yield (name, first, last) of the pieces of each length."""
    pieces: list[tuple[str, int, int]] = []
    room = size
    for name, count in counts:
        done = 0
        while done < count:
            taken = min(room, count - done)
            pieces.append((name, done, done + taken - 1))
            done += taken
            room -= taken
            if not room:
                yield pieces
                pieces, room = [], size
    if pieces:
        yield pieces


def number_batches(waves: Iterable[PlannedWave]) -> Iterator[NumberedBatch]:
    """Yield every batch of these waves in order; their numbers are contiguous from 1."""
    for wave in waves:
        for share in wave.shares:
            for offset in range(share.batches):
                yield NumberedBatch(
                    share.first_batch_no + offset, wave.wave_no, share.record_type, share.first_range_no + offset
                )
