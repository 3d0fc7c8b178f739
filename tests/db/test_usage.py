"""What keys and tenants have used: whoever counts on it waits for the others and sees what they counted."""

import asyncio

import pytest

from db.engine import Connection
from db.usage import count_retry, lock_usage, spend_cells
from domain.errors import QuotaExceeded
from domain.key_limits import Holder, KeyLimits, Limited
from tests.support.access import make_key
from tests.support.connections import database_connections
from tests.support.controls import waits_for_a_lock

LIMITS = KeyLimits(cells_per_day=10, active_jobs=10)


@pytest.fixture
async def limited(connection: Connection) -> dict[Holder, Limited]:
    await make_key(connection)
    key_no = await connection.fetchval("SELECT key_no FROM api_keys")
    return {
        Holder.KEY: Limited(Holder.KEY, key_no, LIMITS),
        Holder.TENANT: Limited(Holder.TENANT, 1, LIMITS),
    }


@pytest.mark.parametrize("of", Holder)
async def test_whoever_counts_waits_for_the_others_and_sees_what_they_counted(
    database_url: str, connection: Connection, limited: dict[Holder, Limited], of: Holder
) -> None:
    wanted = [limited[of]]

    async def count(session: Connection) -> int:
        async with session.transaction():
            return (await lock_usage(session, wanted))[wanted[0].id].cells

    async with database_connections(database_url, 2) as (first, second):
        async with first.transaction():
            await lock_usage(first, wanted)
            await spend_cells(first, {wanted[0].id: 7})
            waiting = asyncio.create_task(count(second))
            await waits_for_a_lock(connection, waiting)
        assert await waiting == 7


async def test_transactions_of_one_tenant_that_lock_different_keys_never_end_in_a_deadlock(
    database_url: str, connection: Connection, limited: dict[Holder, Limited]
) -> None:
    for _ in range(3):
        await make_key(connection)
    key_nos = [row["key_no"] for row in await connection.fetch("SELECT key_no FROM api_keys ORDER BY key_no")]
    keys = [Limited(Holder.KEY, key_no, LIMITS) for key_no in key_nos]

    async def count(session: Connection, turn: int) -> None:
        for step in range(20):
            wanted = [limited[Holder.TENANT], *(keys[(turn + step + n) % len(keys)] for n in (0, 1))]
            async with session.transaction():
                await lock_usage(session, wanted if turn % 2 else wanted[::-1])
                await spend_cells(session, {each.id: 1 for each in wanted})

    async with database_connections(database_url, 6) as sessions:
        await asyncio.gather(*(count(session, turn) for turn, session in enumerate(sessions)))
    assert await connection.fetchval("SELECT cells FROM tenant_usage") == 6 * 20
    assert await connection.fetchval("SELECT sum(cells) FROM key_usage") == 2 * 6 * 20


async def test_of_two_refusals_the_one_that_lasts_longer_is_told(
    connection: Connection, limited: dict[Holder, Limited]
) -> None:
    by_jobs = Limited(Holder.KEY, limited[Holder.KEY].number, KeyLimits(active_jobs=1))
    by_cells = Limited(Holder.TENANT, 1, KeyLimits(cells_per_day=1))
    await connection.execute("INSERT INTO active_jobs (job_no, key_no) VALUES (1, $1)", by_jobs.number)
    with pytest.raises(QuotaExceeded) as refused:
        async with connection.transaction():
            await count_retry(connection, [by_jobs, by_cells], 2, cells=2)
    assert refused.value.quota.label == "tenant_cells_per_day"
    assert await connection.fetchval("SELECT count(*) FROM tenant_usage") == 0
