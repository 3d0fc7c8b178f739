"""The limits of API keys and of tenants, and how much of them is used."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

REQUESTS_PER_SECOND = "requests_per_second"
ACTIVE_JOBS = "active_jobs"
CELLS_PER_DAY = "cells_per_day"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The limits of a key, or of a tenant over all its keys and access tokens; None is no limit.

    `active_jobs` are jobs that haven't ended: of a key, of a tenant. `cells_per_day` are counted per UTC day where
    cells are created; retries count, and nothing is given back.
    """

    requests_per_second: int | None = None
    active_jobs: int | None = None
    cells_per_day: int | None = None

    def given(self) -> dict[str, int]:
        """Return the limits there are, by their names."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}

    @property
    def has_quotas(self) -> bool:
        """Whether cells or active jobs are limited."""
        return self.active_jobs is not None or self.cells_per_day is not None


NO_LIMITS = KeyLimits()


class Holder(StrEnum):
    """Who has limits. What a key uses counts on its tenant too."""

    KEY = "key"
    TENANT = "tenant"


HolderId: TypeAlias = tuple[Holder, int]
"""A key or a tenant, by its number."""


@dataclass(frozen=True, slots=True)
class Limited:
    """A key or a tenant with limits, by its number."""

    of: Holder
    number: int
    limits: KeyLimits

    @property
    def id(self) -> HolderId:
        """Which key or tenant it is, whatever its limits are."""
        return self.of, self.number


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a limit is used, at `at`. It is free again at `resets_at`; None: as jobs end."""

    name: str
    limit: int
    used: int
    resets_at: datetime | None
    at: datetime
    of: Holder = Holder.KEY

    @property
    def label(self) -> str:
        """The name by which it is shown."""
        return label_of(self.of, self.name)

    @property
    def remaining(self) -> int:
        """How much is left."""
        return max(0, self.limit - self.used)

    @property
    def reset_seconds(self) -> float | None:
        """The seconds until `resets_at`."""
        return None if self.resets_at is None else max(0.0, (self.resets_at - self.at).total_seconds())


def label_of(of: Holder, name: str) -> str:
    """Return the name by which a limit is shown: both holders may have one of the same name."""
    return name if of is Holder.KEY else f"{of}_{name}"
