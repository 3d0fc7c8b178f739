"""Batches: finding due batches, renewing leases and releasing them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from db.columns import columns
from db.engine import Connection, statement

PoolKey = tuple[str, str]
Pools = Mapping[PoolKey, Sequence[int]]
"""The pools that a worker serves, each with the numbers of the served identities."""
MAX_BATCHES_PER_CLAIM = 64
"""Batches of a pool that a claim looks at."""


@dataclass(slots=True)
class ClaimedBatch:
    """A batch that this process holds: fence and holder name its lease, the lists its open cells that are due.

    The lists are in plan order and have the same length; `virtual_finish_time` orders due batches. `claimed_at` is the
    database's time of the claim, seconds since the epoch; `waited_seconds` is how long it was due, `planned_us` when it
    was planned, microseconds since the epoch. `permits` calls of it may be in flight. Cells that wait for a later try
    aren't listed; the first of them is due in `next_due_seconds`. `marked` cells were started under an earlier, lost
    lease, whose holder served `identity_before`; this holder must serve `identity_no`.
    """

    job_no: int
    batch_no: int
    wave_no: int
    next_batch_no: int | None
    provider: str
    region: str
    region_no: int
    fence: int
    holder: int
    virtual_finish_time: int
    waited_seconds: float
    claimed_at: float
    model_nos: list[int]
    question_nos: list[int]
    attempts: list[int]
    forgiven: list[int]
    key_nos: list[int]
    marked: list[bool]
    lost_leases: int = 0
    was_lost: bool = False
    planned_us: int = 0
    permits: int = 0
    next_due_seconds: float | None = None
    is_probe: bool = False
    is_overdue: bool = False
    identity_no: int | None = None
    identity_before: int | None = None

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The name of its lease: job, batch, fence and holder."""
        return self.job_no, self.batch_no, self.fence, self.holder

    @property
    def pool(self) -> PoolKey:
        """Its provider and region."""
        return self.provider, self.region


@dataclass(frozen=True, slots=True)
class Claimant:
    """A worker that claims. `holder`, random for each claim, distinguishes fences that were issued twice after a crash.

    It serves configuration `configuration_no`. Batches of the holders `in_hand` are passed over even if their lease has
    run out: this worker will renew it. Batches of `but_not_jobs` are passed over, too.
    """

    holder: int
    worker_no: int
    lease_seconds: float
    configuration_no: int
    in_hand: Collection[int] = ()
    but_not_jobs: Collection[int] = ()


@dataclass(slots=True)
class Claim:
    """The due batches that a claim took at `looked_at`, by the database's clock.

    `grown` are batches held before, each with its number of new permits. Another claim may take more if stale ready
    rows hid batches, or this claim took every batch that it looked at.
    """

    batches: list[ClaimedBatch] = field(default_factory=list)
    grown: list[tuple[ClaimedBatch, int]] = field(default_factory=list)
    may_take_more: bool = False
    looked_at: datetime | None = None


async def find_first_due(connection: Connection, pools: Pools) -> tuple[int, int] | None:
    """Return (job_no, batch_no) of a batch of these pools that is due and unclaimed, or None."""
    row = await connection.fetchrow(statement("find_first_due"), *served_columns(pools))
    return (row["job_no"], row["batch_no"]) if row else None


async def next_due_seconds(connection: Connection, looked_at: datetime | None) -> float | None:
    """Return in how many seconds the next work becomes due that wasn't due at `looked_at` (None: now), or None.

    Without `looked_at`, work that became due between the claim and this query would never be noticed.
    """
    seconds: float | None = await connection.fetchval(statement("find_next_due"), looked_at)
    return seconds


async def renew(
    connection: Connection, batches: Sequence[ClaimedBatch], lease_seconds: float
) -> set[tuple[int, int, int]]:
    """Renew the leases of these batches; return (job_no, batch_no, fence) of those still held."""
    rows = await connection.fetch(statement("renew_leases"), *lease_columns(batches), lease_seconds)
    return {(row["job_no"], row["batch_no"], row["fence"]) for row in rows}


async def find_held_leases(connection: Connection, batches: Sequence[ClaimedBatch]) -> set[tuple[int, int, int]]:
    """Return (job_no, batch_no, fence) of the leases that still hold: not taken over, batch not ended."""
    rows = await connection.fetch(statement("find_held_leases"), *lease_columns(batches))
    return {(row["job_no"], row["batch_no"], row["fence"]) for row in rows}


async def release_all(connection: Connection, worker_no: int) -> list[tuple[int, int]]:
    """Release all batches of this worker, due at once and without an attempt; return (job_no, batch_no) of each."""
    rows = await connection.fetch(statement("release_batches"), worker_no)
    return [(row["job_no"], row["batch_no"]) for row in rows]


async def enter_pools(connection: Connection, limits: Mapping[PoolKey, int | None]) -> None:
    """Enter the pools with counted calls, with their limits (None: only the workers bound them)."""
    await connection.execute(statement("enter_pools"), *columns([(*pool, n) for pool, n in limits.items()], 3))


def lease_columns(batches: Iterable[ClaimedBatch]) -> list[Sequence[object]]:
    """Return the columns (job_no, batch_no, fence, holder) of the leases of these batches."""
    return columns(sorted(batch.key for batch in batches), 4)


def served_columns(pools: Pools) -> list[Sequence[object]]:
    """Return the columns (identity_no, provider, region) of the served identities."""
    return columns([(number, *pool) for pool, numbers in pools.items() for number in numbers], 3)
