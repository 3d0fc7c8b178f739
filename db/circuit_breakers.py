"""Circuit breakers: open while a provider takes no calls in a region; a call that succeeds closes them again.

The columns and the API call them gates, which are closed while the circuit breaker is open.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement
from domain.outcome import BREAKER_BASE_SECONDS, BREAKER_CAP_SECONDS, BREAKER_LEAST_SECONDS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's answer that it takes no calls in a region, for `seconds` (None: it didn't say how long).

    `by_probe`: in answer to the call that probed an open circuit breaker. Any other refusal that comes while it is open
    answers an earlier call.
    """

    provider: str
    region: str
    code: str
    detail: str
    seconds: float | None
    by_probe: bool = False


def longer_refusal(first: Refusal | None, second: Refusal | None) -> Refusal | None:
    """Return which of two refusals by one pool asks for more time; the `second` if neither does."""
    if first is None or second is None:
        return first or second
    return first if (first.seconds or 0.0) > (second.seconds or 0.0) else second


async def trip(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Open the circuit breakers of these pools; of several refusals by one pool the longest counts. Locks the pools."""
    longest = {
        (refusal.provider, refusal.region): refusal
        for refusal in sorted(refusals, key=lambda refusal: refusal.seconds or 0.0)
    }
    probed = {(refusal.provider, refusal.region) for refusal in refusals if refusal.by_probe}
    rows = [
        (*pool, refusal.code, refusal.detail, refusal.seconds, pool in probed)
        for pool, refusal in sorted(longest.items())
    ]
    bounds = (BREAKER_LEAST_SECONDS, BREAKER_BASE_SECONDS, BREAKER_CAP_SECONDS)
    await connection.execute(statement("trip_breakers"), *zip(*rows, strict=True), *bounds)


async def reset_probed(connection: Connection, pools: Collection[tuple[str, str]]) -> None:
    """Close the circuit breakers of these pools, whose probe succeeded. Locks the pools."""
    providers, regions = zip(*sorted(pools), strict=True)
    await connection.execute(statement("reset_probed_breakers"), providers, regions)


async def reset(connection: Connection, pools: Collection[tuple[str, str]]) -> None:
    """Close the circuit breakers of these pools, whose provider was replaced. Locks the pools."""
    providers, regions = zip(*sorted(pools), strict=True)
    await connection.execute(statement("reset_breakers"), providers, regions)
