"""Limits of API keys and tenants at requests: how many may come in a second, and what responses tell of all limits.

A process takes requests from a bucket in advance, a tenth of a second's worth at a time, so that most requests
ask nobody. Responses carry the fields of the IETF's draft "RateLimit header fields for HTTP" (12).
"""

import asyncio
import math
import time
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request

from api.callers import Caller
from db.engine import QUICK_SECONDS, Engine, connect
from db.key_requests import take_requests
from domain.errors import RateLimited
from domain.key_limits import (
    ACTIVE_JOBS,
    CELLS_PER_DAY,
    REQUESTS_PER_SECOND,
    Holder,
    HolderId,
    Limited,
    Quota,
    label_of,
)

TAKEN_SECONDS = 0.1
"""A process takes as many requests as may come in this time, and asks an empty bucket no sooner again."""
KEPT_SECONDS = 1.0
"""How long requests serve that were taken in advance."""
MOST_BUCKETS = 10_000
"""Keys and tenants with requests at hand; one more forgets those that have none."""
PARAMETERS = {REQUESTS_PER_SECOND: ";w=1", CELLS_PER_DAY: ';w=86400;qu="cells"', ACTIVE_JOBS: ';qu="jobs"'}
"""The window of each limit in seconds, and its unit where that isn't a request."""
_STATE = "told_limits"


@dataclass(slots=True)
class _Bucket:
    """The requests of a key or tenant that this process has at hand. Times are of the monotonic clock."""

    at_hand: int = 0
    left: int = 0
    until: float = 0.0
    empty_until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, now: float) -> bool:
        """Take one request that is at hand."""
        if self.at_hand == 0 or now >= self.until:
            return False
        self.at_hand -= 1
        return True

    def is_in_use(self, now: float) -> bool:
        return self.asking.locked() or now < max(self.until, self.empty_until)


class RequestLimits:
    """Admits requests of keys and tenants that may send only so many in a second."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._buckets: dict[HolderId, _Bucket] = {}

    async def admit(self, holder: HolderId, per_second: int) -> Quota:
        """Take one request of a key or tenant; return what is left. Raises RateLimited, or one of UNAVAILABLE."""
        bucket = self._bucket_of(holder)
        if not bucket.take(time.monotonic()):
            _refuse_while_empty(bucket, holder, per_second)
            async with bucket.asking:
                # Another request may have asked meanwhile.
                while not bucket.take(time.monotonic()):
                    _refuse_while_empty(bucket, holder, per_second)
                    await self._ask(bucket, holder, per_second)
        return _quota(holder, per_second, remaining=min(per_second, bucket.at_hand + bucket.left))

    async def _ask(self, bucket: _Bucket, holder: HolderId, per_second: int) -> None:
        wanted = max(1, round(per_second * TAKEN_SECONDS))
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            of, number = holder
            taken = await take_requests(connection, number, per_second=per_second, wanted=wanted, of=of)
        now = time.monotonic()
        bucket.at_hand, bucket.left, bucket.until = taken.requests, taken.left, now + KEPT_SECONDS
        if taken.requests < wanted:  # the bucket is empty now; what was given is used before anybody is refused
            bucket.empty_until = now + max(taken.next_seconds, TAKEN_SECONDS)

    def _bucket_of(self, holder: HolderId) -> _Bucket:
        if (bucket := self._buckets.get(holder)) is None:
            if len(self._buckets) >= MOST_BUCKETS:
                now = time.monotonic()
                self._buckets = {other: kept for other, kept in self._buckets.items() if kept.is_in_use(now)}
            bucket = self._buckets[holder] = _Bucket()
        return bucket


@dataclass(slots=True)
class _Told:
    limited: Sequence[Limited]
    quotas: dict[str, Quota] = field(default_factory=dict)
    """By their labels."""


async def admit(request: Request, caller: Caller, limits: RequestLimits) -> None:
    """Let a request pass, and have its response tell the limits of its key and tenant.

    What its key refuses doesn't count on its tenant. Raises as `RequestLimits.admit`.
    """
    if not caller.limited:
        return
    request.scope["state"][_STATE] = _Told(caller.limited)
    for limited in caller.limited:
        if limited.limits.requests_per_second is not None:
            tell(request, [await limits.admit(limited.id, limited.limits.requests_per_second)])


def tell(request: Request, quotas: Iterable[Quota]) -> None:
    """Have the response tell how much is used of these limits too."""
    told: _Told | None = request.scope["state"].get(_STATE)
    if told is not None:
        told.quotas.update({quota.label: quota for quota in quotas})


def told_quotas(request: Request) -> Iterable[Quota]:
    """Return what the response is to tell."""
    told: _Told | None = request.scope["state"].get(_STATE)
    return () if told is None else told.quotas.values()


def limit_fields(state: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the fields of the response to a request with this state; none if nothing limits it."""
    told: _Told | None = state.get(_STATE)
    if told is None:
        return []
    policies = (
        f'"{label_of(each.of, name)}";q={limit}{PARAMETERS[name]}'
        for each in told.limited
        for name, limit in each.limits.given().items()
    )
    fields = [(b"ratelimit-policy", ", ".join(policies).encode())]
    if told.quotas:
        fields.append((b"ratelimit", ", ".join(map(_item, told.quotas.values())).encode()))
    return fields


def _item(quota: Quota) -> str:
    seconds = quota.reset_seconds
    return f'"{quota.label}";r={quota.remaining}' + ("" if seconds is None else f";t={math.ceil(seconds)}")


def _refuse_while_empty(bucket: _Bucket, holder: HolderId, per_second: int) -> None:
    if time.monotonic() < bucket.empty_until:
        who = "This API key" if holder[0] is Holder.KEY else "Your tenant, over all its keys and access tokens,"
        detail = f"{who} may send {per_second} requests in a second; repeat this after a second."
        raise RateLimited(detail, _quota(holder, per_second, remaining=0), retry_after_seconds=1)


def _quota(holder: HolderId, per_second: int, *, remaining: int) -> Quota:
    now = datetime.now(UTC)
    resets_at = now + timedelta(seconds=1)
    return Quota(REQUESTS_PER_SECOND, per_second, per_second - remaining, resets_at, now, holder[0])
