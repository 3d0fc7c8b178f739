"""Gates: closed while a provider takes no calls in a region, and opened by a call that it lets through."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement
from domain.outcome import GATE_BASE_SECONDS, GATE_CAP_SECONDS, GATE_LEAST_SECONDS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's word that it takes no calls in a region, for `seconds` (None: it didn't say how long).

    `by_probe`: in answer to the call that tried a closed gate. Any other that comes while the gate is closed answers a
    call from before that.
    """

    provider: str
    region: str
    code: str
    detail: str
    seconds: float | None
    by_probe: bool = False


def longer_refusal(one: Refusal | None, other: Refusal | None) -> Refusal | None:
    """Return which of two refusals by one pool asks for more time; the later one, `other`, if neither does."""
    if one is None or other is None:
        return one or other
    return one if (one.seconds or 0.0) > (other.seconds or 0.0) else other


async def close_gates(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Close the gates of these pools; of several refusals by one pool the longest counts. Locks the pools."""
    longest = {(one.provider, one.region): one for one in sorted(refusals, key=lambda one: one.seconds or 0.0)}
    probed = {(one.provider, one.region) for one in refusals if one.by_probe}
    rows = [(*pool, one.code, one.detail, one.seconds, pool in probed) for pool, one in sorted(longest.items())]
    bounds = (GATE_LEAST_SECONDS, GATE_BASE_SECONDS, GATE_CAP_SECONDS)
    await connection.execute(statement("close_gates"), *zip(*rows, strict=True), *bounds)


async def open_gates(connection: Connection, pools: Collection[tuple[str, str]]) -> None:
    """Open the gates of these pools, whose probing call was let through. Locks the pools."""
    providers, regions = zip(*sorted(pools), strict=True)
    await connection.execute(statement("open_gates"), providers, regions)


async def reset_gates(connection: Connection, pools: Collection[tuple[str, str]]) -> None:
    """Open the gates of these pools, whose provider is another one now. Locks the pools."""
    providers, regions = zip(*sorted(pools), strict=True)
    await connection.execute(statement("reset_gates"), providers, regions)
