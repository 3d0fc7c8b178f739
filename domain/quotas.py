"""Quotas of keys and tenants: whether cells and jobs still fit into what one may have, by what it has used. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from domain.errors import QuotaExceeded
from domain.key_limits import ACTIVE_JOBS, CELLS_PER_DAY, Holder, HolderId, KeyLimits, Limited, Quota

ACTIVE_JOBS_RETRY_SECONDS = 5
"""After which to look again whether a job has ended: nobody knows when one will."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a key or tenant has used at `at`: cells of the UTC day, which ends at `day_ends_at`, and active jobs."""

    cells: int
    active_jobs: int
    day_ends_at: datetime
    at: datetime

    def plus(self, *, cells: int, jobs: int) -> Self:
        """Return the usage with so many more."""
        return replace(self, cells=self.cells + cells, active_jobs=self.active_jobs + jobs)


def quotas_of(limits: KeyLimits, usage: Usage, *, of: Holder = Holder.KEY) -> Sequence[Quota]:
    """Return how much is used of each limit of cells and active jobs that there is."""
    quotas = []
    if limits.active_jobs is not None:
        quotas.append(Quota(ACTIVE_JOBS, limits.active_jobs, usage.active_jobs, None, usage.at, of))
    if limits.cells_per_day is not None:
        quotas.append(Quota(CELLS_PER_DAY, limits.cells_per_day, usage.cells, usage.day_ends_at, usage.at, of))
    return quotas


def refusal_of(
    limits: KeyLimits, usage: Usage, *, cells: int, jobs: int, of: Holder = Holder.KEY
) -> QuotaExceeded | None:
    """Return the error if so many more cells and active jobs don't fit into the limits; None if they do."""
    wanted = {ACTIVE_JOBS: jobs, CELLS_PER_DAY: cells}
    for quota in quotas_of(limits, usage, of=of):
        if wanted[quota.name] > quota.remaining:
            return _refusal(quota, wanted[quota.name])
    return None


def quotas_of_all(limited: Sequence[Limited], usage: Mapping[HolderId, Usage]) -> Sequence[Quota]:
    """Return how much is used of the limits of each of these."""
    return [quota for each in limited for quota in quotas_of(each.limits, usage[each.id], of=each.of)]


def refusal_of_any(
    limited: Sequence[Limited], usage: Mapping[HolderId, Usage], *, cells: int, jobs: int
) -> QuotaExceeded | None:
    """Return the error if so much more doesn't fit into the limits of each; of several, the longest to last."""
    refusals = (refusal_of(each.limits, usage[each.id], cells=cells, jobs=jobs, of=each.of) for each in limited)
    return max(filter(None, refusals), key=lambda refusal: refusal.retry_after_seconds, default=None)


def _refusal(quota: Quota, wanted: int) -> QuotaExceeded:
    holder, higher = "this API key", "ask for a key with a higher limit"
    if quota.of is Holder.TENANT:
        holder, higher = "your tenant, over all its keys and access tokens,", "ask for a higher limit of the tenant"
    if quota.name == ACTIVE_JOBS:
        detail = f"{quota.used} jobs of {holder} haven't ended, and it may have {quota.limit}: wait until one ends."
        return QuotaExceeded(detail, quota, requested=wanted, retry_after_seconds=ACTIVE_JOBS_RETRY_SECONDS)
    remedy = "wait for the next day (UTC)"
    if wanted > quota.limit:
        remedy = f"make smaller jobs of it, or {higher}"
    detail = (
        f"This creates {wanted} cells; of the {quota.limit} that {holder} may create in a day, {quota.used} are"
        f" used: {remedy}."
    )
    return QuotaExceeded(detail, quota, requested=wanted, retry_after_seconds=int(quota.reset_seconds or 0) + 1)
