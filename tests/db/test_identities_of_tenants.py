"""What is kept for tenants: no job of another is planned, claimed or seen under its identity, whatever a job says."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from configuration.applying import apply
from configuration.content import Content, read_configuration
from db import claiming, configurations, coordination, import_coordination
from db.batches import Claimant
from db.engine import Connection, Engine, connect, create_engine, for_tenant, in_transaction
from db.import_coordination import Served
from domain.identities import IdentityKey
from tests.support.access import make_tenant
from tests.support.configurations import commit, content_of
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.jobs import job_body, store_jobs
from tests.support.planned_batches import plan_under

A, B = "http://127.0.0.1:9001/v1", "http://127.0.0.1:9002/v1"
POOL = ("hybrid", "us-east")


def hybrid(*tenants: str, url: str = A) -> Content:
    """A configuration of one provider in one region, and one connection, kept for these tenants if there are any."""
    kept = {"tenants": tenants} if tenants else {}
    provider = {"type": "openai", "base_urls": {"us-east": url}, **kept}
    connection = {"url_env": "E", "tables": ["erp.customer"], **kept}
    return content_of({"providers": {"hybrid": provider}, "connections": {"erp": connection}})


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=10)
    yield engine
    await engine.dispose()


@pytest.fixture
async def tenants(connection: Connection) -> dict[str, int]:
    return {name: await make_tenant(connection, name) for name in ("acme", "globex")}


async def numbers(connection: Connection) -> dict[IdentityKey, int]:
    found = await read_configuration(connection)
    assert found is not None
    return dict(found.identity_nos)


async def of_provider(connection: Connection, tenant: str = "") -> int:
    """The number of the provider's identity: a tenant's, or all's."""
    (number,) = [no for key, no in (await numbers(connection)).items() if (key.name, key.tenant) == ("hybrid", tenant)]
    return number


async def planned(engine: Engine, connection: Connection, configuration_no: int) -> list[int]:
    """The jobs that a worker would plan now, which serves everything."""
    served = list((await numbers(connection)).values())

    async def lock(inner: Connection) -> list[int]:
        jobs = await coordination.lock_queued_jobs(inner, 10, configuration_no=configuration_no, identity_nos=served)
        return [job.job_no for job in jobs]

    return await in_transaction(engine, lock)


async def keep_for(connection: Connection, tenant: str, identity_no: int) -> None:
    """Make an identity another tenant's; no rule lets that be written."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE identities SET tenant = $1 WHERE identity_no = $2", tenant, identity_no)


async def held(connection: Connection) -> list[int]:
    return [row[0] for row in await connection.fetch(
        "SELECT job_no FROM jobs WHERE NOT identity_nos <@ current_identities() ORDER BY job_no"
    )]  # fmt: skip


async def test_a_job_with_the_identity_of_another_tenant_isnt_planned(engine, connection, tenants) -> None:
    await commit(engine, hybrid())
    own, other = [
        (await store_jobs(connection, [job_body()], tenant_no=number))[0]
        for number in (tenants["acme"], tenants["globex"])
    ]
    await commit(engine, hybrid("acme"))
    kept = await of_provider(connection, "acme")
    await connection.execute("UPDATE jobs SET identity_nos = ARRAY[$1::int]", kept)
    assert await planned(engine, connection, 3) == [own]
    await keep_for(connection, "globex", kept)
    assert await planned(engine, connection, 3) == [other]


async def test_a_batch_with_the_identity_of_another_tenant_isnt_claimed(engine, connection, tenants) -> None:
    await commit(engine, hybrid())
    (job_no,) = await store_jobs(connection, [job_body()], tenant_no=tenants["acme"])
    await commit(engine, hybrid("acme"))
    kept = await of_provider(connection, "acme")
    await plan_under(connection, 3, kept)

    async def claim() -> list[int]:
        claimant = Claimant(secrets.randbits(60), 1, 60, 3)
        claimed = await in_transaction(engine, lambda c: claiming.claim_calls(c, {POOL: [kept]}, claimant, calls=1))
        return [batch.job_no for batch in claimed.batches]

    await keep_for(connection, "globex", kept)
    assert await claim() == []
    assert await connection.fetchval("SELECT count(*) FROM ready") == 1
    await keep_for(connection, "acme", kept)
    assert await claim() == [job_no]


async def test_an_import_with_the_identity_of_another_tenant_isnt_coordinated(engine, connection, tenants) -> None:
    await commit(engine, hybrid())
    job_no = await store_import(connection, import_body(table_type("erp.customer")))
    await commit(engine, hybrid("acme"))
    served = Served(3, list((await numbers(connection)).values()))
    (kept,) = [no for key, no in (await numbers(connection)).items() if key.name == "erp"]
    await connection.execute("UPDATE jobs SET identity_nos = ARRAY[$1::int]", kept)
    assert await import_coordination.find_imports(connection, served, limit=5) == []
    await keep_for(connection, "default", kept)
    assert [found for found, _ in await import_coordination.find_imports(connection, served, limit=5)] == [job_no]


async def test_only_jobs_of_tenants_that_lost_it_are_held_and_they_go_on_when_it_is_given_back(
    engine, connection, tenants
) -> None:
    """What is kept for others has another identity, so jobs of those that keep it are moved by `apply` itself."""
    await commit(engine, hybrid())
    acme, globex = [
        (await store_jobs(connection, [job_body()], tenant_no=number))[0]
        for number in (tenants["acme"], tenants["globex"])
    ]
    steps = [
        (hybrid("acme"), [globex]),
        (hybrid("acme", "globex"), []),
        (hybrid("globex"), [acme]),
        (hybrid(), []),
        (hybrid("initech"), [acme, globex]),
        (hybrid("acme", "initech"), [globex]),
        (hybrid("globex", url=B), [acme, globex]),
        (hybrid("globex"), [acme]),
        (hybrid(url=B), [acme, globex]),
        (hybrid(), []),
    ]
    for step, (content, expected) in enumerate(steps):
        applied = await commit(engine, content)
        assert await held(connection) == expected, step
        assert applied.held.count == len(expected), step
        served = sorted({acme, globex} - set(expected))
        assert await planned(engine, connection, applied.configuration.number) == served, step


async def test_jobs_move_to_another_address_only_if_that_is_asked_for_and_each_to_its_own_tenants(
    engine, connection, tenants
) -> None:
    await commit(engine, hybrid("acme", "globex"))
    by_tenant = {name: await of_provider(connection, name) for name in tenants}
    await commit(engine, hybrid())
    for name, number in tenants.items():
        await store_jobs(connection, [job_body()], tenant_no=number)
        await connection.execute(
            "UPDATE jobs SET identity_nos = ARRAY[$1::int] WHERE tenant_no = $2", by_tenant[name], number
        )
    assert (await commit(engine, hybrid("globex", "acme", url=B), moves_jobs=True)).moved == 2
    found = {row[0]: row[1] for row in await connection.fetch("SELECT tenant_no, identity_nos FROM jobs")}
    assert found == {number: [await of_provider(connection, name)] for name, number in tenants.items()}


async def test_other_tenants_reset_no_circuit_breaker_and_another_address_does(engine, connection) -> None:
    async def gate(content: Content) -> Any:
        await connection.execute(
            "UPDATE pools SET gate_until = now() + interval '1 hour', gate_code = 'busy', gate_times = 1"
            " WHERE provider = 'hybrid'"
        )
        await commit(engine, content)
        return await connection.fetchval("SELECT gate_code FROM pools WHERE provider = 'hybrid'")

    await commit(engine, hybrid())
    assert await gate(hybrid("acme")) == "busy"
    assert await gate(hybrid("acme", "globex")) == "busy"
    assert await gate(hybrid("acme", "globex", url=B)) is None


async def test_jobs_from_before_any_configuration_adopt_their_own_tenants_identities(
    engine, connection, tenants
) -> None:
    await commit(engine, hybrid("acme"))
    kept = await of_provider(connection, "acme")
    own, other = [
        (await store_jobs_without_identities(connection, number)) for number in (tenants["acme"], tenants["globex"])
    ]
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("DELETE FROM configurations WHERE configuration_no = 1")
    assert await configurations.adopt_jobs(connection, [own, other]) == 1
    rows = await connection.fetch("SELECT job_no, identity_nos FROM jobs ORDER BY job_no")
    assert [tuple(row) for row in rows] == [(own, [kept]), (other, None)]


async def store_jobs_without_identities(connection: Connection, tenant_no: int) -> int:
    """A job as a release before configurations stored it."""
    number: int = await connection.fetchval(
        """
        INSERT INTO jobs (job_no, tenant_no, id, kind, name, spec_hash, turn, planned, min_success_rate)
        SELECT coalesce(max(job_no), 0) + 1, $1::int, 'old-' || $1::int, 'inference', 'old', 'h1:old', 0, 1, 1 FROM jobs
        RETURNING job_no
        """,
        tenant_no,
    )
    await connection.execute(
        """
        INSERT INTO specs (
            job_no, tenant_no, name, spec_hash, model_ids, region_ids, question_ids, pairs, submitted, spec,
            normalization
        )
        VALUES ($1, $2, 'old', 'h1:old', '{m}', '{us-east}', '{q}', '{0}', '{}', $3, '[]')
        """,
        number,
        tenant_no,
        '{"models": [{"id": "m", "provider": "hybrid", "regions": ["us-east"]}]}',
    )
    return number


async def test_a_tenants_requests_see_its_identities_and_those_of_all(engine, connection, tenants) -> None:
    await commit(engine, content_of({"providers": {"free": {"type": "echo"}}}))
    async with connection.transaction():
        await apply(connection, hybrid("acme", "globex"), by="a test")

    async def seen(tenant_no: int) -> set[Any]:
        async with connect(for_tenant(engine, tenant_no)) as inner:
            return {row[0] for row in await inner.fetch("SELECT DISTINCT tenant FROM identities")}

    assert await seen(tenants["acme"]) == {None, "acme"}
    assert await seen(tenants["globex"]) == {None, "globex"}
    assert await seen(1) == {None}
