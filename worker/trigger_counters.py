"""The counters of triggers of coordination: their outcomes, and which of them were duplicates."""

from collections.abc import Iterable

from db.counters import Increment, increment
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED


def trigger_increments(triggers: Iterable[tuple[str, str]]) -> list[Increment]:
    """Return the counters of triggers, each a source and an outcome; a trigger that `joined` was a duplicate."""
    counted: list[Increment] = []
    for source, outcome in triggers:
        counted.append(increment(COORDINATION.name, 1, source=source, outcome=outcome))
        if outcome == "joined":
            counted.append(increment(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason=f"{source}_joined"))
    return counted
