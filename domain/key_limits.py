"""What may be done under an API key."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The limits of a key; None is no limit.

    `active_jobs` are jobs of the key that haven't ended. `cells_per_day` are counted per UTC day where cells are
    created; retries count, and nothing is given back.
    """

    requests_per_second: int | None = None
    active_jobs: int | None = None
    cells_per_day: int | None = None

    def given(self) -> dict[str, int]:
        """Return the limits there are, by their names."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}


NO_LIMITS = KeyLimits()
