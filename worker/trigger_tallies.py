"""The counters of triggers of coordination: what became of each, and which of them were duplicates."""

from collections.abc import Iterable

from db.tallies import Tally, tally
from runtime.metrics import COORDINATION, DUPLICATES_PREVENTED


def trigger_tallies(triggers: Iterable[tuple[str, str]]) -> list[Tally]:
    """Return the counters of triggers, each a source and an outcome; one that `joined` was a duplicate."""
    counted: list[Tally] = []
    for source, outcome in triggers:
        counted.append(tally(COORDINATION.name, 1, source=source, outcome=outcome))
        if outcome == "joined":
            counted.append(tally(DUPLICATES_PREVENTED.name, 1, layer="coordination", reason=f"{source}_joined"))
    return counted
