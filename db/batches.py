"""Batches: claiming what is due under a lease and a fence, renewing, handing back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from db.engine import Connection, statement


@dataclass(slots=True)
class ClaimedBatch:
    """A batch this process holds: fence and holder name its lease; the lists hold its open cells, in plan order.

    `claimed_at` is the database's clock at the claim, seconds since the epoch; `waited_seconds` how long it was due;
    `planned_us` when it was planned, microseconds since the epoch.
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
    turn: int
    waited_seconds: float
    claimed_at: float
    model_nos: list[int]
    question_nos: list[int]
    attempts: list[int]
    lost_leases: int = 0
    was_lost: bool = False
    planned_us: int = 0

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What names this lease: job, batch, fence and holder."""
        return self.job_no, self.batch_no, self.fence, self.holder


async def claim(
    connection: Connection,
    pools: Sequence[tuple[str, str]],
    *,
    cells: int,
    holder: int,
    worker_no: int,
    lease_seconds: float,
    in_hand: Collection[int] = (),
) -> tuple[list[ClaimedBatch], int]:
    """Claim due batches of these (provider, region) pools by turns, `cells` open cells or one batch more at most.

    Return them, and how many hints were cleared away: while there are any, more may be due behind them.

    What the holders `in_hand` hold isn't taken, though its lease may have run out.

    Locks ready and batch rows, passing over locked ones. Runs in the caller's transaction, whose commit may be
    asynchronous: `holder`, random for each claim, tells apart a fence number that was issued again after a crash.
    """
    rows = await connection.fetch(
        statement("claim_batches"),
        [provider for provider, _ in pools],
        [region for _, region in pools],
        cells,
        max(1, min(cells, 64)),
        holder,
        worker_no,
        lease_seconds,
        list(in_hand),
    )
    claimed = [
        ClaimedBatch(
            job_no=row["job_no"],
            batch_no=row["batch_no"],
            wave_no=row["wave_no"],
            next_batch_no=row["next_batch_no"],
            provider=row["provider"],
            region=row["region"],
            region_no=row["region_no"],
            fence=row["fence"],
            holder=holder,
            turn=row["turn"],
            waited_seconds=row["waited_seconds"],
            claimed_at=row["claimed_at"],
            planned_us=round(row["planned_at"] * 1_000_000),
            model_nos=row["model_nos"] or [],
            question_nos=row["question_nos"] or [],
            attempts=row["attempts"] or [],
            lost_leases=row["lost_leases"],
            was_lost=row["was_lost"],
        )
        for row in rows
        if row["job_no"] is not None
    ]
    return claimed, rows[0]["cleared"]


async def first_due(connection: Connection, pools: Sequence[tuple[str, str]]) -> tuple[int, int] | None:
    """Return (job_no, batch_no) of a batch of these pools that is due and unclaimed, or None."""
    providers, regions = zip(*pools, strict=True)
    row = await connection.fetchrow(statement("first_due"), providers, regions)
    return (row["job_no"], row["batch_no"]) if row else None


async def next_due_seconds(connection: Connection) -> float | None:
    """Return in how many seconds a waiting batch becomes due, or None where none waits for its time."""
    seconds: float | None = await connection.fetchval(statement("next_due"))
    return seconds


async def renew(
    connection: Connection, batches: Sequence[ClaimedBatch], lease_seconds: float
) -> set[tuple[int, int, int]]:
    """Renew the leases of these batches; return (job_no, batch_no, fence) of those still held."""
    rows = await connection.fetch(statement("renew_leases"), *_lease_columns(batches), lease_seconds)
    return {(row["job_no"], row["batch_no"], row["fence"]) for row in rows}


async def hand_back(connection: Connection, worker_no: int) -> list[tuple[int, int]]:
    """Give back all that this worker holds, due at once and no attempt; return (job_no, batch_no) of each."""
    rows = await connection.fetch(statement("hand_back_batches"), worker_no)
    return [(row["job_no"], row["batch_no"]) for row in rows]


def _lease_columns(batches: Sequence[ClaimedBatch]) -> list[list[int]]:
    ordered = sorted(batch.key for batch in batches)
    return [list(column) for column in zip(*ordered, strict=True)] or [[], [], [], []]
