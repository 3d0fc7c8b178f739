"""Tenants take turns, whatever each of them has queued: counted in claims of one cell, and in plans of one job."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from db import batches, claiming, coordination, import_coordination, results
from db.batches import Claim, Claimant
from db.engine import Connection, Engine, connect, create_engine, in_transaction
from db.tenants import DEFAULT_TENANT_NO
from db.turns import charge
from tests.support.access import make_tenant
from tests.support.configurations import CONFIGURATION_NO, IDENTITY_NOS, POOLS
from tests.support.import_steps import SERVED, ImportSteps, import_steps
from tests.support.jobs import job_body, store_jobs
from tests.support.planned_batches import answered, plan_queued

POOL = ("echo", "us-east")
CLAIMANT = Claimant(1, 1, 60, CONFIGURATION_NO)


class Tenants(NamedTuple):
    """The numbers of three tenants."""

    a: int
    b: int
    c: int


@pytest.fixture
async def tenants(connection: Connection) -> Tenants:
    return Tenants(DEFAULT_TENANT_NO, await make_tenant(connection, "b"), await make_tenant(connection, "c"))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=4, pinned_plans=True)
    yield engine
    await engine.dispose()


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[ImportSteps]:
    """Imports written straight through the stores."""
    async with import_steps(database_url) as imports:
        yield imports


async def ready(
    connection: Connection, tenant_no: int, *, jobs: int = 1, cells: int, batch_cells: int = 1, **policy: int
) -> list[int]:
    """Jobs of a tenant in one pool, all of them planned; return their numbers."""
    async with connection.transaction():
        job_nos = await store_jobs(connection, [job_body(questions=cells, policy=policy)] * jobs, tenant_no=tenant_no)
        await plan_queued(connection, batch_cells=batch_cells, is_claimed=False)
    return job_nos


async def claim(engine: Engine, *, cells: int = 1) -> Claim:
    return await in_transaction(engine, lambda c: claiming.claim_cells(c, {POOL: POOLS[POOL]}, CLAIMANT, cells=cells))


async def run(engine: Engine, connection: Connection, claims: int, *, cells: int = 1) -> list[int]:
    """Claim so often, and end what was claimed; return the tenant of each claimed cell, in order."""
    job_nos: list[int] = []
    for _ in range(claims):
        claimed = (await claim(engine, cells=cells)).batches
        job_nos += [batch.job_no for batch in claimed for _ in batch.model_nos]
        await in_transaction(engine, lambda c, b=claimed: results.record(c, map(answered, b), source="a test"))
    rows = await connection.fetch("SELECT job_no, tenant_no FROM jobs WHERE job_no = ANY ($1)", job_nos)
    tenant_by_job = {row["job_no"]: row["tenant_no"] for row in rows}
    return [tenant_by_job[job_no] for job_no in job_nos]


async def test_a_job_of_n_cells_ends_within_2n_claims_of_its_arrival_behind_200_jobs_of_another_tenant(
    engine: Engine, connection: Connection, tenants: Tenants
) -> None:
    await ready(connection, tenants.a, jobs=200, cells=20)
    await run(engine, connection, 7)
    (job,) = await ready(connection, tenants.b, cells=15)
    assert Counter(await run(engine, connection, 31))[tenants.b] == 15
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job) == "completed"


async def test_tenants_with_1_10_and_100_jobs_get_a_third_each(
    engine: Engine, connection: Connection, tenants: Tenants
) -> None:
    await ready(connection, tenants.a, jobs=100, cells=2)
    await ready(connection, tenants.b, jobs=10, cells=8)
    await ready(connection, tenants.c, cells=60)
    assert Counter(await run(engine, connection, 90)) == dict.fromkeys(tenants, 30)


async def test_shares_are_of_cells_whatever_the_sizes_of_batches(
    engine: Engine, connection: Connection, tenants: Tenants
) -> None:
    await ready(connection, tenants.a, jobs=30, cells=10, batch_cells=10)
    await ready(connection, tenants.b, jobs=100, cells=3, batch_cells=3)
    served = Counter(await run(engine, connection, 60))
    assert abs(served[tenants.a] - served[tenants.b]) <= 10


async def test_workers_with_much_room_share_too(engine: Engine, connection: Connection, tenants: Tenants) -> None:
    await ready(connection, tenants.a, jobs=100, cells=8)
    await ready(connection, tenants.b, jobs=10, cells=40)
    served = Counter(await run(engine, connection, 10, cells=20))
    assert served == dict.fromkeys((tenants.a, tenants.b), 100)


async def test_an_idle_tenant_saves_nothing_up(engine: Engine, connection: Connection, tenants: Tenants) -> None:
    for tenant_no in tenants:
        await ready(connection, tenant_no, cells=6)
    assert Counter(await run(engine, connection, 18)) == dict.fromkeys(tenants, 6)
    await ready(connection, tenants.a, jobs=10, cells=10)
    await ready(connection, tenants.b, jobs=10, cells=10)
    await run(engine, connection, 60)  # meanwhile c has no work
    await ready(connection, tenants.c, jobs=10, cells=10)
    assert Counter(await run(engine, connection, 30)) == dict.fromkeys(tenants, 10)


async def test_no_tenant_starves_behind_others_that_always_bring_small_new_jobs(
    engine: Engine, connection: Connection, tenants: Tenants
) -> None:
    await ready(connection, tenants.a, cells=40)
    served: list[int] = []
    for _ in range(30):
        await ready(connection, tenants.b, cells=1)
        await ready(connection, tenants.c, cells=1)
        served += await run(engine, connection, 1)
    assert served.count(tenants.a) == 10


async def test_the_order_of_a_tenants_own_jobs_isn_t_that_of_another(
    engine: Engine, connection: Connection, tenants: Tenants
) -> None:
    """A tenant's virtual time is its own: a small job goes before a large one that came with it, and not before all."""
    await ready(connection, tenants.b, cells=100, batch_cells=100)
    assert await connection.fetchval("SELECT max(turn) FROM ready") == 100
    await ready(connection, tenants.a, cells=3, batch_cells=3)
    assert await connection.fetchval("SELECT turn FROM ready WHERE tenant_no = $1", tenants.a) == 3
    await ready(connection, tenants.b, cells=2, batch_cells=2)
    assert await connection.fetchval("SELECT max(turn) FROM ready WHERE cells = 2") == 102


async def test_a_tenant_whose_jobs_are_at_their_limit_keeps_nobody_waiting(
    engine: Engine, connection: Connection, tenants: Tenants
) -> None:
    """Nor do many of its jobs hide a limited job of another tenant, whose limit has to be locked before."""
    await batches.enter_pools(connection, {POOL: None})
    await ready(connection, tenants.a, cells=30, max_concurrent=1)
    await ready(connection, tenants.a, jobs=100, cells=1, max_concurrent=1)
    (other,) = await ready(connection, tenants.b, cells=2, max_concurrent=1)
    await connection.execute("UPDATE ready SET turn = turn + 1000 WHERE job_no = $1", other)

    async def take() -> list[int]:
        claimed = await in_transaction(
            engine, lambda c: claiming.claim_calls(c, {POOL: POOLS[POOL]}, CLAIMANT, calls=1)
        )
        return [batch.job_no for batch in claimed.batches]

    taken = [await take() for _ in range(2)]
    assert [other] in taken


@pytest.mark.parametrize("is_of_calls", [True, False])
async def test_a_claim_looks_once_for_the_tenants_of_each_identity(
    engine: Engine, connection: Connection, tenants: Tenants, *, is_of_calls: bool
) -> None:
    """Which takes a look at an index for each tenant."""
    for tenant_no in tenants:
        await ready(connection, tenant_no, cells=1)
    await batches.enter_pools(connection, dict.fromkeys(POOLS, 3))

    async def unit(connection: Connection) -> tuple[Claim, int]:
        await connection.execute("SET LOCAL track_functions = 'pl'")
        if is_of_calls:
            claimed = await claiming.claim_calls(connection, POOLS, CLAIMANT, calls=3)
        else:
            claimed = await claiming.claim_cells(connection, POOLS, CLAIMANT, cells=3)
        looks = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'tenants_with_batches'"
        return claimed, await connection.fetchval(looks)

    claimed, looks = await in_transaction(engine, unit)
    assert len(claimed.batches) == 3
    assert looks == (1 if is_of_calls else len({number for numbers in POOLS.values() for number in numbers}))


async def test_a_claim_is_planned_once(engine: Engine, connection: Connection, tenants: Tenants) -> None:
    """To plan it takes longer than to run it; the driver prepares it once, and PostgreSQL would plan it each time."""
    for tenant_no in tenants:
        await ready(connection, tenant_no, cells=10)
    async with connect(engine) as lent:
        for _ in range(8):
            async with lent.transaction():
                await claiming.claim_cells(lent, {POOL: POOLS[POOL]}, CLAIMANT, cells=1)
        plans = await lent.fetch(
            """
            SELECT generic_plans, custom_plans
            FROM pg_prepared_statements
            WHERE statement LIKE '%batches%' AND statement NOT LIKE '%pg_prepared_statements%'
            """
        )
    assert plans
    assert {tuple(row) for row in plans} == {(8, 0)}


async def test_a_single_tenant_is_charged_nothing(engine: Engine, connection: Connection, tenants: Tenants) -> None:
    await ready(connection, tenants.a, jobs=3, cells=5)
    await run(engine, connection, 10)
    assert await connection.fetchval("SELECT count(*) FROM tenant_turns") == 0


async def plan_one(connection: Connection) -> int:
    """Plan one job, as a worker does; return its tenant."""
    async with connection.transaction():
        (job, *_) = await coordination.lock_queued_jobs(
            connection, 1, configuration_no=CONFIGURATION_NO, identity_nos=IDENTITY_NOS.values()
        )
        await charge(connection, [(job.turn, job.planned)])
        planned = "UPDATE jobs SET status = 'running', started_at = now() WHERE job_no = $1 RETURNING tenant_no"
        tenant_no: int = await connection.fetchval(planned, job.job_no)
    return tenant_no


async def test_jobs_are_planned_in_turn_by_their_cells(connection: Connection, tenants: Tenants) -> None:
    await store_jobs(connection, [job_body(questions=1)] * 100, tenant_no=tenants.a)
    await store_jobs(connection, [job_body(questions=5)] * 10, tenant_no=tenants.b)
    assert Counter([await plan_one(connection) for _ in range(36)]) == {tenants.a: 30, tenants.b: 6}


async def test_imports_are_coordinated_in_turn(ledger: ImportSteps, connection: Connection, tenants: Tenants) -> None:
    first, *_ = [await ledger.submit() for _ in range(5)]
    other = await replace(ledger, tenant_no=tenants.b).submit()
    coordinated = []
    for _ in range(2):
        ((job_no, _),) = await import_coordination.find_imports(connection, SERVED, limit=1)
        begun = await ledger.begin(job_no)
        assert begun is not None
        await ledger.fail(begun, "source_invalid", "The source is invalid.")
        coordinated.append(job_no)
    assert coordinated == [first, other]
