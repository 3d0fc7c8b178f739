"""Gates: closed while a provider takes no calls in a region, and opened by a call that it lets through."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement
from domain.outcome import GATE_BASE_SECONDS, GATE_CAP_SECONDS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's word that it takes no calls in a region, for `seconds` (None: it didn't say how long)."""

    provider: str
    region: str
    code: str
    detail: str
    seconds: float | None


async def close_gates(connection: Connection, refusals: Sequence[Refusal]) -> None:
    """Close the gates of these pools; of several refusals by one pool the longest counts. Locks the pools."""
    longest = {(one.provider, one.region): one for one in sorted(refusals, key=lambda one: one.seconds or 0.0)}
    rows = [(*pool, one.code, one.detail, one.seconds) for pool, one in sorted(longest.items())]
    await connection.execute(statement("close_gates"), *zip(*rows, strict=True), GATE_BASE_SECONDS, GATE_CAP_SECONDS)


async def open_gates(connection: Connection, pools: Collection[tuple[str, str]]) -> None:
    """Open the gates of these pools, whose probing call was let through. Locks the pools."""
    providers, regions = zip(*sorted(pools), strict=True)
    await connection.execute(statement("open_gates"), providers, regions)
