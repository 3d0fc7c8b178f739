"""Claiming due batches under a lease and a fence, within the limits of pools and jobs."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import asyncpg

from db.batches import (
    MAX_BATCHES_PER_CLAIM,
    Claim,
    Claimant,
    ClaimedBatch,
    PoolKey,
    Pools,
    lease_columns,
    served_columns,
)
from db.columns import columns
from db.configurations import ConfigurationChanged, current_no
from db.engine import Connection, statement
from db.turns import TenantsInTurn, charge, find_tenants, turn_of
from domain.limits import Due, Grant, grant_calls, grant_cells


async def claim_cells(connection: Connection, pools: Pools, claimant: Claimant, *, cells: int) -> Claim:
    """Claim due batches of pools without calls, in turn, until they have `cells` open cells.

    Locks ready and batch rows, passing over locked ones. Runs in the caller's transaction, whose commit may be
    asynchronous. Raises ConfigurationChanged if the claimant doesn't serve the configuration in force.
    """
    limit = max(1, min(cells, MAX_BATCHES_PER_CLAIM))
    tenants = await find_tenants(connection, _identity_nos(pools))
    rows = await _find_due(connection, pools, claimant, tenants, limit=limit, locked_jobs=None)
    due = [_due(row) for row in rows if row["job_no"] is not None]
    granted = [Grant(batch, 0) for batch, is_taken in zip(due, grant_cells(due, cells), strict=True) if is_taken]
    taken = await _take(connection, granted, claimant)
    await _charge(connection, rows, granted, tenants)
    return Claim(taken, [], _may_take_more(rows, limit, taken), rows[0]["looked_at"])


async def claim_calls(
    connection: Connection,
    pools: Pools,
    claimant: Claimant,
    *,
    calls: int,
    growing: Sequence[tuple[ClaimedBatch, int]] = (),
) -> Claim:
    """Claim due batches of pools with calls, in turn, with at most `calls` permits together.

    Remaining permits go to the `growing` batches that this worker holds, up to the given number for each. Locks the
    pools, then the limits of jobs that have one, so that no two claims count the same room; the room of both is counted
    after locking. Then as `claim_cells`.
    """
    grown_pools = sorted({batch.pool for batch, _ in growing})
    locked = await connection.fetch(
        statement("lock_pools"), *served_columns(pools), *columns(grown_pools, 2), claimant.configuration_no
    )
    if not locked:
        await _refuse_changed(connection, claimant)
        return Claim(looked_at=await connection.fetchval("SELECT now()"))
    room_by_pool, with_expired = await _count_room(connection, locked)
    with_room = {
        pool: pools.get(pool, ())
        for pool, room in room_by_pool.items()
        if room is None or room > 0 or pool in with_expired
    }
    probed = {(row["provider"], row["region"]) for row in locked if row["is_probed"]}
    limit = max(1, min(calls, MAX_BATCHES_PER_CLAIM))
    tenants = await find_tenants(connection, _identity_nos(with_room))
    jobs = await _lock_job_limits(connection, tenants, claimant)
    rows = await _find_due(connection, with_room, claimant, tenants, limit=limit, locked_jobs=jobs)
    due = [_due(row) for row in rows if row["job_no"] is not None]
    granted, left_by_pool = grant_calls(due, room_by_pool, calls, probed=probed)
    taken = await _take(connection, granted, claimant, probed=probed)
    open_room = {pool: room for pool, room in left_by_pool.items() if pool not in probed}
    grown = await _grow(connection, growing, open_room, calls - sum(grant.permits for grant in granted))
    await _charge(connection, rows, granted, tenants)
    return Claim(taken, grown, _may_take_more(rows, limit, taken), rows[0]["looked_at"])


async def free_permits(connection: Connection, batches: Sequence[ClaimedBatch]) -> None:
    """Free the permits of import batches that were read and wait to be written."""
    await connection.execute(statement("free_permits"), *lease_columns(batches))


async def claim_overdue(connection: Connection, claimant: Claimant, kind: str, *, limit: int) -> list[ClaimedBatch]:
    """Claim batches of a kind that didn't begin within their job's queue timeout, to end their cells."""
    rows = await connection.fetch(statement("lock_overdue_batches"), limit, kind)
    found = [Grant(Due(row["job_no"], row["batch_no"], ("", ""), 0), 0) for row in rows]
    return await _take(connection, found, claimant)


async def _grow(
    connection: Connection,
    growing: Sequence[tuple[ClaimedBatch, int]],
    left_by_pool: Mapping[PoolKey, int | None],
    calls: int,
) -> list[tuple[ClaimedBatch, int]]:
    """Give held batches the remaining permits; return the batches whose lease holds, with their new permits."""
    batch_by_no = {(batch.job_no, batch.batch_no): batch for batch, _ in growing if batch.pool in left_by_pool}
    due = [
        Due(batch.job_no, batch.batch_no, batch.pool, wants) for batch, wants in growing if batch.pool in left_by_pool
    ]
    granted, _ = grant_calls(due, left_by_pool, calls)
    if not granted:
        return []
    more = [(batch_by_no[grant.due.job_no, grant.due.batch_no], grant.permits) for grant in granted]
    keys = sorted((*batch.key, permits) for batch, permits in more)
    rows = await connection.fetch(statement("grow_batches"), *columns(keys, 5))
    held = {(row["job_no"], row["batch_no"], row["fence"]) for row in rows}
    return [(batch, permits) for batch, permits in more if batch.key[:3] in held]


async def _count_room(
    connection: Connection, locked: Sequence[asyncpg.Record]
) -> tuple[dict[PoolKey, int | None], set[PoolKey]]:
    """Return the room of each locked pool, and the pools in which a lease ran out.

    A pool whose circuit breaker is being probed is left out: it has no room until the probe is answered.
    """
    lock_by_pool = {(row["provider"], row["region"]): row for row in locked}
    rows = await connection.fetch(statement("count_permits"), *columns(list(lock_by_pool), 2))
    room: dict[PoolKey, int | None] = {}
    with_expired = set()
    for row in rows:
        pool = (row["provider"], row["region"])
        if lock_by_pool[pool]["is_probed"] and row["is_being_probed"]:
            continue
        most = lock_by_pool[pool]["max_concurrent"]
        room[pool] = None if most is None else max(0, most - row["permits"])
        if row["has_expired"]:
            with_expired.add(pool)
    return room, with_expired


async def _lock_job_limits(connection: Connection, tenants: TenantsInTurn, claimant: Claimant) -> list[int]:
    """Lock the limits of the jobs whose batches come next; return the jobs."""
    rows = await connection.fetch(
        statement("lock_job_limits"),
        list(tenants),
        MAX_BATCHES_PER_CLAIM,
        list(claimant.but_not_jobs),
        [_array(each) for each in tenants.values()],
    )
    return [row["job_no"] for row in rows]


async def _find_due(
    connection: Connection,
    pools: Pools,
    claimant: Claimant,
    tenants: TenantsInTurn,
    *,
    limit: int,
    locked_jobs: list[int] | None,
) -> list[asyncpg.Record]:
    rows = await connection.fetch(
        statement("find_due_batches"),
        *served_columns(pools),
        claimant.configuration_no,
        limit,
        list(claimant.in_hand),
        locked_jobs is not None,
        locked_jobs or [],
        list(claimant.but_not_jobs),
        [_array(tenants.get(identity_no, {})) for identity_no in _identity_nos(pools)],
    )
    if rows[0]["configuration_no"] != claimant.configuration_no:
        raise ConfigurationChanged
    return rows


async def _refuse_changed(connection: Connection, claimant: Claimant) -> None:
    if await current_no(connection) != claimant.configuration_no:
        raise ConfigurationChanged


def _identity_nos(pools: Pools) -> list[int]:
    return [identity_no for identity_nos in pools.values() for identity_no in identity_nos]


def _array(numbers: Iterable[int]) -> str:
    """Return an array literal: arrays of different lengths can't be bound as one parameter."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _may_take_more(rows: Sequence[asyncpg.Record], limit: int, taken: Sequence[ClaimedBatch]) -> bool:
    return bool(rows[0]["cleared"]) or limit <= len(rows) == len(taken)


def _due(row: asyncpg.Record) -> Due:
    pool = (row["provider"], row["region"])
    return Due(row["job_no"], row["batch_no"], pool, row["open_cells"], row["job_room"], row["permits"])


async def _charge(
    connection: Connection, rows: Sequence[asyncpg.Record], granted: Sequence[Grant], tenants: TenantsInTurn
) -> None:
    """Charge tenants that share an identity with the cells of their batches, however many calls were granted."""
    turn_by_batch = {
        (row["job_no"], row["batch_no"]): turn_of(tenants, row["identity_no"], row["tenant_no"])
        for row in rows
        if row["job_no"] is not None
    }
    taken = (grant.due for grant in granted)
    await charge(connection, ((turn_by_batch[due.job_no, due.batch_no], max(due.open_cells, 1)) for due in taken))


async def _take(
    connection: Connection, granted: Sequence[Grant], claimant: Claimant, *, probed: Collection[PoolKey] = ()
) -> list[ClaimedBatch]:
    if not granted:
        return []
    wanted = sorted(
        (grant.due.job_no, grant.due.batch_no, grant.permits, grant.due.pool in probed) for grant in granted
    )
    *keys, is_probe = columns(wanted, 4)
    rows = await connection.fetch(
        statement("claim_batches"), *keys, claimant.holder, claimant.worker_no, claimant.lease_seconds, is_probe
    )
    order = {(grant.due.job_no, grant.due.batch_no): place for place, grant in enumerate(granted)}
    return sorted(
        (_claimed(row, claimant.holder) for row in rows), key=lambda batch: order[batch.job_no, batch.batch_no]
    )


def _claimed(row: asyncpg.Record, holder: int) -> ClaimedBatch:
    return ClaimedBatch(
        job_no=row["job_no"],
        batch_no=row["batch_no"],
        wave_no=row["wave_no"],
        next_batch_no=row["next_batch_no"],
        provider=row["provider"],
        region=row["region"],
        region_no=row["region_no"],
        fence=row["fence"],
        holder=holder,
        virtual_finish_time=row["turn"],
        waited_seconds=row["waited_seconds"],
        claimed_at=row["claimed_at"],
        model_nos=row["model_nos"] or [],
        question_nos=row["question_nos"] or [],
        attempts=row["attempts"] or [],
        forgiven=row["forgiven"] or [],
        key_nos=row["key_nos"] or [],
        marked=row["marked"] or [],
        lost_leases=row["lost_leases"],
        was_lost=row["was_lost"],
        planned_us=round(row["planned_at"] * 1_000_000),
        permits=row["permits"],
        is_probe=row["is_probe"],
        is_overdue=row["is_overdue"],
        next_due_seconds=row["next_due_seconds"],
        identity_no=row["identity_no"],
        identity_before=row["identity_before"],
    )
