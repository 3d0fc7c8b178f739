"""A job's events in words for a page: flushes that follow each other are one entry. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from api.schemas.events import Event

FLUSH = "progressed"
_MOST_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, or several flushes in a row, of which `event` is the newest and `first` the oldest."""

    event: Event
    first: Event
    times: int
    facts: str


def entries(events: Sequence[Event]) -> list[Entry]:
    """Return the entries of a timeline for these events, which come and go out newest first."""
    found: list[Entry] = []
    for is_flush, group in groupby(events, key=lambda event: event.type == FLUSH):
        alike = list(group)
        for part in [alike] if is_flush else [[event] for event in alike]:
            facts = ", ".join(_facts([event.data for event in part]))[:_MOST_CHARACTERS]
            found.append(Entry(part[0], part[-1], len(part), facts))
    return found


def _facts(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what the batches of all of these counted, and of a single one each other member that is a value."""
    counted: dict[str, int] = {}
    for batch in (batch for data in told for batch in _listed(data.get("batches"))):
        for name, number in batch.items():
            if _is_number(number):
                counted[name] = counted.get(name, 0) + number
    yield from (f"{number:,} {name.replace('_', ' ')}" for name, number in counted.items() if number)
    for name, value in told[0].items() if len(told) == 1 else ():
        if _is_number(value):
            yield f"{value:,} {name.replace('_', ' ')}"
        elif isinstance(value, str) and name != "status":
            yield f"{name.replace('_', ' ')}: {value}"


def _listed(batches: Any) -> Sequence[Mapping[str, Any]]:
    return [batch for batch in batches if isinstance(batch, Mapping)] if isinstance(batches, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
