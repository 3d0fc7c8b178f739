"""Quotas of API keys: whether cells and jobs still fit into what a key may have, by what it has used. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from domain.errors import QuotaExceeded
from domain.key_limits import ACTIVE_JOBS, CELLS_PER_DAY, KeyLimits, Quota

ACTIVE_JOBS_RETRY_SECONDS = 5
"""After which to look again whether a job has ended: nobody knows when one will."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a key has used at `at`: the cells of its UTC day, which ends at `day_ends_at`, and its active jobs."""

    cells: int
    active_jobs: int
    day_ends_at: datetime
    at: datetime

    def plus(self, *, cells: int, jobs: int) -> Self:
        """Return the usage with so many more."""
        return replace(self, cells=self.cells + cells, active_jobs=self.active_jobs + jobs)


def quotas_of(limits: KeyLimits, usage: Usage) -> Sequence[Quota]:
    """Return how much is used of each limit of cells and active jobs that there is."""
    quotas = []
    if limits.active_jobs is not None:
        quotas.append(Quota(ACTIVE_JOBS, limits.active_jobs, usage.active_jobs, None, usage.at))
    if limits.cells_per_day is not None:
        quotas.append(Quota(CELLS_PER_DAY, limits.cells_per_day, usage.cells, usage.day_ends_at, usage.at))
    return quotas


def refusal_of(limits: KeyLimits, usage: Usage, *, cells: int, jobs: int) -> QuotaExceeded | None:
    """Return the error if so many more cells and active jobs don't fit into the limits; None if they do."""
    wanted = {ACTIVE_JOBS: jobs, CELLS_PER_DAY: cells}
    for quota in quotas_of(limits, usage):
        if wanted[quota.name] > quota.remaining:
            return _refusal(quota, wanted[quota.name])
    return None


def _refusal(quota: Quota, wanted: int) -> QuotaExceeded:
    if quota.name == ACTIVE_JOBS:
        detail = f"{quota.used} jobs of this API key haven't ended, and it may have {quota.limit}: wait until one ends."
        return QuotaExceeded(detail, quota, requested=wanted, retry_after_seconds=ACTIVE_JOBS_RETRY_SECONDS)
    remedy = "wait for the next day (UTC)"
    if wanted > quota.limit:
        remedy = "make smaller jobs of it, or ask for a key with a higher limit"
    detail = (
        f"This creates {wanted} cells; of the {quota.limit} that this API key may create in a day, {quota.used} are"
        f" used: {remedy}."
    )
    return QuotaExceeded(detail, quota, requested=wanted, retry_after_seconds=int(quota.reset_seconds or 0) + 1)
