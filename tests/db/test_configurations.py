"""Configurations: numbered, never changed, and named by every statement that takes work or accepts it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from configuration.applying import apply_first
from configuration.content import Content, read_configuration, registry_of
from db import batches, claiming, configurations, coordination, import_coordination, retrying, submissions
from db.batches import Claimant
from db.configurations import ConfigurationChanged
from db.controls import Actor
from db.engine import Connection, Engine, create_engine, in_transaction
from db.import_coordination import Served
from db.kinds import RetryFilter
from db.submissions import NewJob
from db.tenants import DEFAULT_TENANT_NO
from domain.errors import SpecRejected
from domain.normalize import normalize
from tests.support.configurations import CONFIGURATION_NO, IDENTITY_NOS, POOLS, SIMULATED, commit, content_of
from tests.support.import_bodies import import_body, listed, store_import, table_type
from tests.support.jobs import job_body, store_jobs
from tests.support.planned_batches import plan_queued, plan_under

A, B = "http://127.0.0.1:9001/v1", "http://127.0.0.1:9002/v1"


def hybrid(url: str = A, **settings: Any) -> Content:
    """A configuration of one provider in one region."""
    return content_of({"providers": {"hybrid": {"type": "openai", "base_urls": {"us-east": url}, **settings}}})


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = create_engine(database_url, size=10)
    yield engine
    await engine.dispose()


async def ready(connection: Connection) -> int:
    """A job whose three batches are due, accepted under the configuration that databases start with."""
    async with connection.transaction():
        (job_no,) = await store_jobs(connection, [job_body(questions=3)])
        await plan_queued(connection, batch_cells=1, is_claimed=False)
    return job_no


async def claim(engine: Engine, configuration_no: int, pools: batches.Pools) -> int:
    """Claim as a worker that serves these pools under this configuration; return how many batches it got."""
    claimant = Claimant(secrets.randbits(60), 1, 60, configuration_no)
    claimed = await in_transaction(engine, lambda c: claiming.claim_cells(c, pools, claimant, cells=100))
    return len(claimed.batches)


async def identity_nos(connection: Connection) -> list[int]:
    found: list[int] = await connection.fetchval("SELECT identity_nos FROM current_configuration")
    return found


async def test_rolling_back_brings_a_new_number_and_the_same_identities(engine, connection) -> None:
    first = await commit(engine, hybrid(A))
    before = await identity_nos(connection)
    await commit(engine, hybrid(B))
    assert not set(before) & set(await identity_nos(connection))
    back = await commit(engine, hybrid(A))
    assert (first.configuration.number, back.configuration.number) == (2, 4)
    assert await identity_nos(connection) == before


async def test_the_same_again_changes_nothing(engine, connection) -> None:
    await commit(engine, hybrid(A))
    again = await commit(engine, hybrid(A))
    assert (again.is_new, again.configuration.number) == (False, 2)
    assert await connection.fetchval("SELECT count(*) FROM configurations") == 2


@pytest.mark.parametrize(
    "settings",
    [{"timeout_seconds": 7}, {"max_concurrent": 3}, {"api_key_env": "K"}, {"paused": True}],
    ids=lambda case: next(iter(case)),
)
async def test_limits_time_limits_keys_and_pauses_apply_at_once_and_hold_nothing(engine, connection, settings) -> None:
    await commit(engine, hybrid(A))
    before = await identity_nos(connection)
    await store_jobs(connection, [job_body()])
    applied = await commit(engine, hybrid(A, **settings))
    assert applied.is_new
    assert applied.held.count == 0
    assert applied.change.settings == [f"providers.hybrid.{next(iter(settings))}"]
    assert await identity_nos(connection) == before
    limit = await connection.fetchval("SELECT max_concurrent FROM pools WHERE provider = 'hybrid'")
    assert limit == settings.get("max_concurrent", 10)


async def test_work_is_held_for_a_changed_type_address_query_or_root(engine, connection) -> None:
    file: dict[str, Any] = {
        "providers": {"hybrid": {"type": "openai", "base_urls": {"us-east": A}}},
        "connections": {
            "ns": {"type": "suiteql", "url_env": "NS_URL", "token_env": "T", "queries": {"q": "SELECT 1"}},
            "erp": {"url_env": "ERP_URL"},
        },
        "imports": {"root": "/srv/data"},
    }
    await commit(engine, content_of(file))
    changed = orjson.loads(orjson.dumps(file))
    changed["providers"]["hybrid"]["type"] = "hybrid_router"
    changed["connections"]["ns"]["queries"]["q"] = "SELECT 2"
    changed["connections"]["ns"]["token_env"] = "ANOTHER"  # noqa: S105 - a name
    changed["connections"]["erp"]["url_env"] = "OTHER_URL"
    changed["imports"]["root"] = "/srv/other"
    applied = await commit(engine, content_of(changed))
    assert {str(key) for key in applied.change.changed} == {
        "provider hybrid in us-east",
        "connection ns",
        "connection erp",
        "the root of imports",
    }
    only_token = orjson.loads(orjson.dumps(changed))
    only_token["connections"]["ns"]["token_env"] = "A_THIRD"  # noqa: S105 - likewise
    assert (await commit(engine, content_of(only_token))).change.changed == []


@pytest.mark.parametrize("table", ["configurations", "identities"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
async def test_a_committed_configuration_is_never_changed(connection, table: str, statement: str) -> None:
    column = "is_simulated"
    with pytest.raises(asyncpg.CheckViolationError, match="never changed"):
        await connection.execute(statement.format(table, column, column))


async def test_of_many_that_bring_a_file_where_nothing_is_committed_one_commits_it(unconfigured_database_url) -> None:
    engine = create_engine(unconfigured_database_url, size=8)
    contents = [hybrid(f"http://127.0.0.1:{9000 + number}/v1") for number in range(8)]

    async def start(content: Content) -> tuple[int, dict[str, Any]]:
        found = await in_transaction(engine, lambda c: apply_first(c, content, by="a test"))
        return found.number, found.content.to_json()

    started = await asyncio.gather(*map(start, contents))
    await engine.dispose()
    assert {number for number, _ in started} == {1}
    assert len({orjson.dumps(content) for _, content in started}) == 1


async def test_a_submission_understood_under_another_configuration_is_not_stored(engine, connection) -> None:
    await commit(engine, hybrid())
    job = NewJob(
        tenant_no=DEFAULT_TENANT_NO,
        id="late",
        kind="inference",
        name="late",
        spec_hash="h1:late",
        submitted="{}",
        spec="{}",
        normalization="[]",
        configuration_no=CONFIGURATION_NO,
        identity_nos=[1],
    )
    with pytest.raises(ConfigurationChanged):
        await in_transaction(engine, lambda c: submissions.insert_jobs(c, [job]))
    assert await connection.fetchval("SELECT count(*) FROM jobs") == 0


async def test_no_submission_may_be_stored_while_a_configuration_is_applied(engine, connection) -> None:
    async with connection.transaction():
        await configurations.lock(connection)
        tried = await in_transaction(engine, lambda c: submissions.try_locks(c, [7], "2s"))
        assert not tried.is_configuration_kept
    tried = await in_transaction(engine, lambda c: submissions.try_locks(c, [7], "2s"))
    assert (tried.is_configuration_kept, tried.free) == (True, {7})


async def test_applying_waits_for_submissions_under_way(engine, connection) -> None:
    async with connection.transaction():
        assert (await submissions.try_locks(connection, [7], "2s")).free == {7}
        applying = asyncio.create_task(commit(engine, hybrid()))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(10):
            while not await connection.fetchval(waiting):
                assert not applying.done()
        assert await connection.fetchval("SELECT max(configuration_no) FROM configurations") == CONFIGURATION_NO
    assert (await applying).configuration.number == 2


async def test_a_worker_under_another_number_plans_nothing_and_learns_of_it(engine, connection) -> None:
    await store_jobs(connection, [job_body()])
    await commit(engine, content_of({"providers": {"more": {"type": "echo"}}}))
    numbers = list(IDENTITY_NOS.values())
    with pytest.raises(ConfigurationChanged):
        await in_transaction(
            engine,
            lambda c: coordination.lock_queued_jobs(c, 10, configuration_no=CONFIGURATION_NO, identity_nos=numbers),
        )


async def test_only_a_job_accepted_under_removed_identities_is_passed_over(engine, connection) -> None:
    await commit(engine, hybrid(A))
    (held,) = await store_jobs(connection, [job_body()])
    await commit(engine, hybrid(B))
    (job_no,) = await store_jobs(connection, [job_body()])
    current = await identity_nos(connection)
    jobs = await in_transaction(
        engine, lambda c: coordination.lock_queued_jobs(c, 10, configuration_no=3, identity_nos=current)
    )
    assert [job.job_no for job in jobs] == [job_no]
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", held) == "queued"


@pytest.mark.parametrize("counts_calls", [False, True])
async def test_a_worker_under_another_number_claims_nothing_and_learns_of_it(engine, connection, counts_calls) -> None:
    await ready(connection)
    await commit(engine, Content(content_of({"questions": {"q": "Why?"}}).file, is_simulated=True))
    claimant = Claimant(1, 1, 60, CONFIGURATION_NO)

    async def take(c: Connection) -> batches.Claim:
        if counts_calls:
            return await claiming.claim_calls(c, POOLS, claimant, calls=10)
        return await claiming.claim_cells(c, POOLS, claimant, cells=10)

    with pytest.raises(ConfigurationChanged):
        await in_transaction(engine, take)
    assert await connection.fetchval("SELECT count(*) FROM batches WHERE status <> 'pending'") == 0
    assert await claim(engine, CONFIGURATION_NO + 1, POOLS) == 3


@pytest.mark.parametrize("counts_calls", [False, True])
async def test_a_batch_is_found_only_by_workers_that_serve_its_identity(engine, connection, counts_calls) -> None:
    await ready(connection)
    pool = ("echo", "us-east")
    claimant = Claimant(1, 1, 60, CONFIGURATION_NO)

    async def take(c: Connection, numbers: list[int]) -> int:
        claim = claiming.claim_calls(c, {pool: numbers}, claimant, calls=10)
        if not counts_calls:
            claim.close()
            claim = claiming.claim_cells(c, {pool: numbers}, claimant, cells=10)
        return len((await claim).batches)

    assert await in_transaction(engine, lambda c: take(c, [2, 3])) == 0
    assert await in_transaction(engine, lambda c: take(c, [1])) == 3


async def test_held_work_does_not_hold_up_the_virtual_time_of_configured_work(engine, connection) -> None:
    await ready(connection)
    await connection.execute("UPDATE ready SET turn = 5")
    await commit(engine, hybrid())
    assert await connection.fetchval("SELECT virtual_time(1)") == 5
    assert await connection.fetchval("SELECT virtual_time(identity_nos[1]) FROM current_configuration") == 0


async def test_an_import_is_coordinated_only_by_workers_that_serve_all_its_sources(engine, connection) -> None:
    await commit(engine, content_of({"connections": {"erp": {"url_env": "E"}, "crm": {"url_env": "C"}}}))
    job_no = await store_import(connection, import_body(table_type("t")))
    numbers = dict((await configurations.read_current(connection)).identity_nos)
    by_name = {key.name: number for key, number in numbers.items()}

    async def begin(served: Served) -> import_coordination.Coordination | None:
        return await in_transaction(
            engine, lambda c: import_coordination.begin(c, job_no, served, holder=1, worker_no=1, lease_seconds=60)
        )

    for served in (Served(2, [by_name["crm"]]), Served(1, list(by_name.values()))):
        assert await import_coordination.find_imports(connection, served, limit=5) == []
        assert await begin(served) is None
    right = Served(2, [by_name["erp"]])
    assert [found for found, _ in await import_coordination.find_imports(connection, right, limit=5)] == [job_no]
    assert (await begin(right)).identity_nos == [by_name["erp"]]


async def as_before_configurations(connection: Connection) -> None:
    """Leave everything as a migration finds it."""
    for table in ("jobs", "batches", "ready", "executions"):
        column = ", identity_nos = NULL, former_identity_nos = NULL" if table == "jobs" else ", identity_no = NULL"
        await connection.execute(f"UPDATE {table} SET job_no = job_no{column}")
    await connection.execute("UPDATE jobs SET configuration_no = NULL")


async def test_work_from_before_the_first_configuration_runs_under_it(engine, connection) -> None:
    planned = await ready(connection)
    (queued,) = await store_jobs(connection, [job_body(regions=2)])
    await as_before_configurations(connection)
    assert await claim(engine, CONFIGURATION_NO, POOLS) == 0
    assert await configurations.read_held_jobs(connection) == configurations.HeldJobs(
        2, [row["id"] for row in await connection.fetch("SELECT id FROM jobs ORDER BY job_no")]
    )
    applied = await commit(engine, SIMULATED)
    assert (applied.is_new, applied.adopted, applied.held.count) == (False, 2, 0)
    rows = await connection.fetch("SELECT job_no, identity_nos FROM jobs ORDER BY job_no")
    assert {row["job_no"]: row["identity_nos"] for row in rows} == {planned: [1], queued: [1, 2]}
    assert await claim(engine, CONFIGURATION_NO, POOLS) == 3


async def test_a_failed_job_from_before_runs_again_under_the_first_configuration_when_it_is_retried(
    engine, connection
) -> None:
    job_no = await ready(connection)
    await as_before_configurations(connection)
    await connection.execute("DELETE FROM ready")
    await connection.execute(
        "UPDATE executions SET status = 'failed', error_code = 'x', finished_at = now(), attempts = 0"
    )
    await connection.execute(
        "UPDATE batches SET status = 'running', holder = 1, fence = 1, lease_until = now(), started_at = now()"
    )
    await connection.execute(
        "UPDATE batches SET status = 'completed', holder = NULL, lease_until = NULL, open_cells = 0,"
        " finished_at = now()"
    )
    await connection.execute("UPDATE waves SET status = 'completed', open_batches = 0, finished_at = now()")
    await connection.execute("UPDATE jobs SET failed = 3, status = 'failed', finished_at = now()")
    job_id = await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
    actor = Actor("a test", None, 1)
    wanted = RetryFilter()
    retried = await in_transaction(engine, lambda c: retrying.retry_job(c, DEFAULT_TENANT_NO, job_id, wanted, actor))
    assert retried.retried == 3
    assert await claim(engine, CONFIGURATION_NO, POOLS) == 3


async def test_jobs_are_accepted_anew_only_where_all_they_ask_for_is_still_configured(engine, connection) -> None:
    two = {"a": {"type": "openai", "base_urls": {"us-east": A}}, "b": {"type": "openai", "base_urls": {"us-east": A}}}
    await commit(engine, content_of({"providers": two}))
    models = [{"id": "x", "provider": "a"}], [{"id": "x", "provider": "a"}, {"id": "y", "provider": "b"}]
    movable, stays = await store_jobs(connection, [{**job_body(), "models": model} for model in models])
    changed = {"a": {"type": "openai", "base_urls": {"us-east": B}}}
    applied = await commit(engine, content_of({"providers": changed}), moves_jobs=True)
    ids = {row["job_no"]: row["id"] for row in await connection.fetch("SELECT job_no, id FROM jobs")}
    assert (applied.moved, applied.held.count, applied.held.ids) == (1, 1, [ids[stays]])
    row = await connection.fetchrow("SELECT * FROM jobs WHERE job_no = $1", movable)
    assert row["identity_nos"] == await identity_nos(connection)
    assert row["former_identity_nos"]
    (event,) = await connection.fetch("SELECT type, source, data FROM events")
    assert (event["type"], event["source"]) == ("accepted_anew", "a test")
    assert event["data"]["changed"] == [{"kind": "provider", "name": "a", "region": "us-east"}]


@pytest.mark.parametrize("kind", ["echo", "openai"])
async def test_a_simulated_job_is_held_under_a_provider_that_is_called_echo_and_is_never_its(
    engine, connection, kind: str
) -> None:
    """The stand-in of a simulation answers for every name; a provider called echo for its own."""
    await store_jobs(connection, [job_body()])
    urls = {} if kind == "echo" else {"base_urls": {"us-east": A}}
    named_echo = content_of({"providers": {"echo": {"type": kind, **urls}}})
    applied = await commit(engine, named_echo, moves_jobs=True)
    assert (applied.moved, applied.held.count) == (0, 1)
    async with connection.transaction():
        assert not await coordination.lock_queued_jobs(
            connection, 9, configuration_no=2, identity_nos=await identity_nos(connection)
        )
    assert (await commit(engine, SIMULATED)).held.count == 0


async def test_a_running_batch_ends_under_its_identity_and_its_open_cells_follow_the_job(engine, connection) -> None:
    await commit(engine, hybrid(A))
    async with connection.transaction():
        await store_jobs(connection, [job_body(questions=2)])
    old, pool = (await identity_nos(connection))[0], ("hybrid", "us-east")
    await plan_under(connection, 2, old)
    claimed = await in_transaction(
        engine,
        lambda c: claiming.claim_calls(c, {pool: [old]}, Claimant(7, 1, 60, 2), calls=1),
    )
    (batch,) = claimed.batches
    assert (await commit(engine, hybrid(B), moves_jobs=True)).moved == 1
    new = (await identity_nos(connection))[0]
    assert await connection.fetchval("SELECT identity_no FROM batches WHERE batch_no = $1", batch.batch_no) == old
    assert await connection.fetchval("SELECT array_agg(DISTINCT identity_no) FROM ready") == [new]
    await batches.release_all(connection, 1)
    assert await connection.fetchval("SELECT count(*) FROM ready WHERE identity_no = $1", old) == 1
    assert await configurations.move_released_batches(connection) == [(batch.job_no, batch.batch_no)]
    assert await connection.fetchval("SELECT array_agg(DISTINCT identity_no) FROM ready") == [new]


async def test_a_list_of_tables_is_a_limit_that_holds_no_job(engine, connection) -> None:
    before = await commit(engine, content_of({"connections": {"erp": {"url_env": "E", "tables": ["public.t"]}}}))
    await store_import(connection, import_body(table_type("t")))
    after = await commit(engine, content_of({"connections": {"erp": {"url_env": "E", "tables": ["public.s"]}}}))
    assert (after.change.settings, after.change.changed, after.held.count) == (["connections.erp.tables"], [], 0)
    assert after.configuration.identity_nos == before.configuration.identity_nos
    assert registry_of(after.configuration.content, max_cells=1).connections["erp"].tables == listed("public.s")


async def test_a_configuration_that_was_committed_without_lists_of_tables_loads_and_lets_nothing_be_read(
    engine, connection
) -> None:
    await commit(engine, content_of({"connections": {"erp": {"url_env": "E"}}}))
    stored = await connection.fetchval("SELECT content FROM current_configuration")
    assert "tables" not in stored["connections"]["erp"]
    found = await read_configuration(connection)
    registry = registry_of(found.content, max_cells=1)
    with pytest.raises(SpecRejected) as refused:
        normalize(import_body(table_type("t")), registry)
    (error,) = refused.value.errors
    assert (error.code, error.extra) == ("unknown_table", {"allowed": []})
    assert "add '<schema>.t' to `tables` of [connections.erp], which lists none" in error.detail
