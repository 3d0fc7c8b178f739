"""Limits of API keys at requests: how many may come in a second, and what responses tell of all limits.

A process takes requests from a key's bucket in advance, a tenth of a second's worth at a time, so that most requests
ask nobody. Responses carry the fields of the IETF's draft "RateLimit header fields for HTTP" (12).
"""

import asyncio
import math
import time
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request

from api.callers import Caller
from db.engine import QUICK_SECONDS, Engine, connect
from db.key_requests import take_requests
from domain.errors import RateLimited
from domain.key_limits import ACTIVE_JOBS, CELLS_PER_DAY, NO_LIMITS, REQUESTS_PER_SECOND, KeyLimits, Quota

TAKEN_SECONDS = 0.1
"""A process takes as many requests as a key may send in this time, and asks an empty bucket no sooner again."""
KEPT_SECONDS = 1.0
"""How long requests serve that were taken in advance."""
MOST_KEYS = 10_000
"""Keys with requests at hand; one more forgets those that have none."""
PARAMETERS = {REQUESTS_PER_SECOND: ";w=1", CELLS_PER_DAY: ';w=86400;qu="cells"', ACTIVE_JOBS: ';qu="jobs"'}
"""The window of each limit in seconds, and its unit where that isn't a request."""
_STATE = "told_limits"


@dataclass(slots=True)
class _Bucket:
    """The requests of a key that this process has at hand. Times are of the monotonic clock."""

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
    """Admits requests of keys that may send only so many in a second."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._buckets: dict[int, _Bucket] = {}

    async def admit(self, key_no: int, per_second: int) -> Quota:
        """Take one request of a key; return what is left. Raises RateLimited, or one of UNAVAILABLE."""
        bucket = self._bucket_of(key_no)
        if not bucket.take(time.monotonic()):
            self._refuse_while_empty(bucket, per_second)
            async with bucket.asking:
                # Another request may have asked meanwhile.
                while not bucket.take(time.monotonic()):
                    self._refuse_while_empty(bucket, per_second)
                    await self._ask(bucket, key_no, per_second)
        return _quota(per_second, remaining=min(per_second, bucket.at_hand + bucket.left))

    async def _ask(self, bucket: _Bucket, key_no: int, per_second: int) -> None:
        wanted = max(1, round(per_second * TAKEN_SECONDS))
        async with connect(self._engine, seconds=QUICK_SECONDS) as connection:
            taken = await take_requests(connection, key_no, per_second=per_second, wanted=wanted)
        now = time.monotonic()
        bucket.at_hand, bucket.left, bucket.until = taken.requests, taken.left, now + KEPT_SECONDS
        if taken.requests < wanted:  # the bucket is empty now; what was given is used before anybody is refused
            bucket.empty_until = now + max(taken.next_seconds, TAKEN_SECONDS)

    def _refuse_while_empty(self, bucket: _Bucket, per_second: int) -> None:
        if time.monotonic() < bucket.empty_until:
            detail = f"This API key may send {per_second} requests in a second; repeat this after a second."
            raise RateLimited(detail, _quota(per_second, remaining=0), retry_after_seconds=1)

    def _bucket_of(self, key_no: int) -> _Bucket:
        if (bucket := self._buckets.get(key_no)) is None:
            if len(self._buckets) >= MOST_KEYS:
                now = time.monotonic()
                self._buckets = {number: kept for number, kept in self._buckets.items() if kept.is_in_use(now)}
            bucket = self._buckets[key_no] = _Bucket()
        return bucket


@dataclass(slots=True)
class _Told:
    limits: KeyLimits
    quotas: dict[str, Quota] = field(default_factory=dict)


async def admit(request: Request, caller: Caller, limits: RequestLimits) -> None:
    """Let a request pass, and have its response tell the limits of its key. Raises as `RequestLimits.admit`."""
    if caller.key_no is None or caller.limits == NO_LIMITS:
        return
    request.scope["state"][_STATE] = _Told(caller.limits)
    if caller.limits.requests_per_second is not None:
        tell(request, [await limits.admit(caller.key_no, caller.limits.requests_per_second)])


def tell(request: Request, quotas: Iterable[Quota]) -> None:
    """Have the response tell how much is used of these limits too."""
    told: _Told | None = request.scope["state"].get(_STATE)
    if told is not None:
        told.quotas.update({quota.name: quota for quota in quotas})


def told_quotas(request: Request) -> Iterable[Quota]:
    """Return what the response is to tell."""
    told: _Told | None = request.scope["state"].get(_STATE)
    return () if told is None else told.quotas.values()


def limit_fields(state: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the fields of the response to a request with this state; none if its key has no limits."""
    told: _Told | None = state.get(_STATE)
    if told is None:
        return []
    policies = (f'"{name}";q={limit}{PARAMETERS[name]}' for name, limit in told.limits.given().items())
    fields = [(b"ratelimit-policy", ", ".join(policies).encode())]
    if told.quotas:
        fields.append((b"ratelimit", ", ".join(map(_item, told.quotas.values())).encode()))
    return fields


def _item(quota: Quota) -> str:
    seconds = quota.reset_seconds
    return f'"{quota.name}";r={quota.remaining}' + ("" if seconds is None else f";t={math.ceil(seconds)}")


def _quota(per_second: int, *, remaining: int) -> Quota:
    now = datetime.now(UTC)
    return Quota(REQUESTS_PER_SECOND, per_second, per_second - remaining, now + timedelta(seconds=1), now)
