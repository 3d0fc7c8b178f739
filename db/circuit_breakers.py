"""Circuit breakers: open while a provider takes no calls in a region; a call that succeeds closes them again.

Columns and API call them gates; a gate is closed while the circuit breaker is open.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement
from domain.outcome import BREAKER_BASE_SECONDS, BREAKER_CAP_SECONDS, BREAKER_LEAST_SECONDS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's answer that it takes no calls in a region, for `seconds` (None: it gave no time).

    `by_probe` if it answers the probe of an open circuit breaker. Any other refusal during that time answers an earlier
    call.
    """

    provider: str
    region: str
    code: str
    detail: str
    seconds: float | None
    by_probe: bool = False


def longer_refusal(first: Refusal | None, second: Refusal | None) -> Refusal | None:
    """Return the refusal that asks for more time, of two by the same pool; the `second` if they are equal."""
    if first is None or second is None:
        return first or second
    return first if (first.seconds or 0.0) > (second.seconds or 0.0) else second


async def trip(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Open the circuit breakers of these pools, for the longest refusal by each. Locks the pools."""
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
