"""The counters of coordination triggers: outcomes and duplicates."""

from collections.abc import Iterable

from db.counters import Increment, increment
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED


def trigger_increments(triggers: Iterable[tuple[str, str]]) -> list[Increment]:
    """Return the increments for triggers (source, outcome); a trigger that `joined` counts as a duplicate."""
    counted: list[Increment] = []
    for source, outcome in triggers:
        counted.append(increment(COORDINATION.name, 1, source=source, outcome=outcome))
        if outcome == "joined":
            counted.append(increment(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason=f"{source}_joined"))
    return counted
