"""What may be done under an API key, and how much of that is used."""

from dataclasses import asdict, dataclass
from datetime import datetime

REQUESTS_PER_SECOND = "requests_per_second"
ACTIVE_JOBS = "active_jobs"
CELLS_PER_DAY = "cells_per_day"


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


@dataclass(frozen=True, slots=True)
class LimitedKey:
    """An API key with a limit of cells or active jobs."""

    key_no: int
    limits: KeyLimits


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a limit is used, at `at`. It is free again at `resets_at`; None: as jobs end."""

    name: str
    limit: int
    used: int
    resets_at: datetime | None
    at: datetime

    @property
    def remaining(self) -> int:
        """How much is left."""
        return max(0, self.limit - self.used)

    @property
    def reset_seconds(self) -> float | None:
        """The seconds until `resets_at`."""
        return None if self.resets_at is None else max(0.0, (self.resets_at - self.at).total_seconds())
