"""Workers serve what is committed, whatever they were started with: each cell is answered by its own provider."""

import asyncio
from functools import partial
from pathlib import Path

from broker import notices
from configuration.applying import JOBS_AT_ONCE
from db.engine import Connection
from tests.support.configurations import commit_at, commit_file, content_of
from tests.support.connections import broker_client, publish_envelopes
from tests.support.erp_source import Erp
from tests.support.import_bodies import import_body, store_import, table_type
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit, counter_total
from tests.support.planned_batches import plan_under
from tests.support.processes import run_command
from tests.support.provider_server import ProviderServer
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

WHO = "SELECT DISTINCT provider_used FROM executions"


def write(fleet: Fleet, text: str, name: str = "breakwater") -> str:
    path = fleet.folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


async def who_answered(connection: Connection) -> set[str]:
    return {row["provider_used"] for row in await connection.fetch(WHO)}


async def test_a_worker_without_the_file_asks_the_provider_and_not_echo(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    config = write(fleet, provider.config(max_concurrent=50))
    fleet.start(1, CONFIG=config)
    fleet.start(1)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=4)] * 24))
    await all_ended(connection)
    assert await who_answered(connection) == {"hybrid"}
    assert len(provider.calls) == 96
    await assert_audit(connection)


async def test_a_worker_with_another_file_serves_the_committed_one_and_says_so(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    committed = write(fleet, provider.config(max_concurrent=2))
    other = write(fleet, '[providers.hybrid]\ntype = "echo"\nmax_concurrent = 7\n', "other")
    commit_file(fleet.database_url, committed)
    fleet.applies_config = False
    [worker] = fleet.start(1, CONFIG=other)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body(questions=4)] * 6))
    await all_ended(connection)
    assert await who_answered(connection) == {"hybrid"}
    assert provider.peak <= 2
    [warning] = worker.events("configuration_differs")
    assert set(warning["differs"]) == {
        "providers.hybrid.type",
        "providers.hybrid.max_concurrent",
        "providers.hybrid.base_urls",
    }
    row = await connection.fetchrow("SELECT version, configuration_no, config_file FROM workers WHERE role = 'worker'")
    assert (row["version"], row["configuration_no"], row["config_file"]) == ("0.1.0", 2, "differs")
    worker.stop()
    assert await connection.fetchval("SELECT max_concurrent FROM pools WHERE provider = 'hybrid'") == 2


async def test_a_worker_without_the_key_leaves_a_provider_to_those_that_have_it(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    text = provider.config(api_key_env="HYBRID_KEY") + '[providers.trial]\ntype = "echo"\n'
    commit_file(fleet.database_url, write(fleet, text))
    [keyless] = fleet.start(1)
    reason = "HYBRID_KEY isn't in the environment: set HYBRID_KEY."
    assert keyless.wait_for("not_served", name="providers.hybrid")["reason"] == reason
    trial = {**job_body(), "models": [{"id": "m", "provider": "trial"}]}
    trial_no, job_no = await store_jobs(connection, [trial, job_body()])
    await publish_envelopes(fleet.redis_url, [trial_no, job_no])
    planned = "SELECT status = 'running' FROM jobs WHERE job_no = $1"
    await eventually_async(lambda: connection.fetchval(planned, job_no), what="it is planned all the same")
    await eventually_async(
        lambda: connection.fetchval("SELECT finished_at IS NOT NULL FROM jobs WHERE job_no = $1", trial_no),
        what="its own",
    )
    assert provider.calls == []
    fleet.environment = {"HYBRID_KEY": "sk-geheim"}
    fleet.start(1)
    await all_ended(connection)
    assert [call.headers["authorization"] for call in provider.calls] == ["Bearer sk-geheim"]
    not_served = await connection.fetchval(
        "SELECT not_served FROM workers WHERE role = 'worker' ORDER BY worker_no LIMIT 1"
    )
    assert not_served == [{"name": "providers.hybrid", "reason": reason}]


async def test_a_worker_reads_a_key_from_a_file(
    fleet: Fleet, connection: Connection, provider: ProviderServer, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-geheim\n")
    commit_file(fleet.database_url, write(fleet, provider.config(api_key_env="HYBRID_KEY")))
    fleet.environment = {"HYBRID_KEY_FILE": str(tmp_path / "key")}
    fleet.start(1)
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    await all_ended(connection)
    assert [call.headers["authorization"] for call in provider.calls] == ["Bearer sk-geheim"]


async def test_a_change_is_followed_without_a_restart_and_without_redis(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    [worker] = fleet.start(
        1, REDIS_URL="redis://127.0.0.1:1/0", HEARTBEAT_SECONDS=0.3, LEASE_SECONDS=1, RECONCILE_SECONDS=1
    )
    commit_file(fleet.database_url, write(fleet, provider.config()))
    worker.wait_for("configuration_followed", configuration=2, before=1)
    await store_jobs(connection, [job_body(questions=2)])
    await all_ended(connection)
    assert await who_answered(connection) == {"hybrid"}


async def test_a_notice_is_followed_at_once(fleet: Fleet, connection: Connection, provider: ProviderServer) -> None:
    [worker] = fleet.start(1, HEARTBEAT_SECONDS=10, LEASE_SECONDS=30)
    commit_file(fleet.database_url, write(fleet, provider.config()))
    async with broker_client(fleet.redis_url) as client:
        await notices.publish(client, notices.Notice(about="configuration"))
    worker.wait_for("configuration_followed", seconds=5)


async def test_moved_jobs_go_on_page_by_page_and_wait_for_no_reconciler(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    first = write(fleet, provider.config().replace(provider.url, "http://127.0.0.1:1"), "first")
    second = write(fleet, provider.config(max_concurrent=50))
    stores = {"BREAKWATER_DATABASE_URL": fleet.database_url, "BREAKWATER_REDIS_URL": fleet.redis_url}
    commit_file(fleet.database_url, first)
    await store_jobs(connection, [job_body(questions=2)])
    [identity_no] = await connection.fetchval("SELECT current_identities()")
    await plan_under(connection, 2, identity_no)
    last_no = (await store_jobs(connection, [job_body()] * JOBS_AT_ONCE))[-1]
    run_command("config", "apply", second, environment=stores)
    fleet.start(2, RECONCILE_SECONDS=600, LEASE_SECONDS=600)
    (other_no,) = await store_jobs(connection, [job_body()])
    await publish_envelopes(fleet.redis_url, [other_no])
    ended = "SELECT finished_at IS NOT NULL FROM jobs WHERE job_no = $1"
    await eventually_async(lambda: connection.fetchval(ended, other_no), what="the workers are at work")
    async with connection.transaction():
        await connection.execute("SELECT FROM jobs WHERE job_no = $1 FOR UPDATE", last_no)
        command = partial(run_command, "config", "apply", second, "--move-jobs", environment=stores)
        moving = asyncio.create_task(asyncio.to_thread(command))
        others = "SELECT bool_and(finished_at IS NOT NULL) FROM jobs WHERE job_no <> $1"
        await eventually_async(lambda: connection.fetchval(others, last_no), seconds=40, what="the first page's end")
        assert not moving.done()
    moved = await moving
    assert f"\n{JOBS_AT_ONCE + 1} open jobs were accepted anew.\n" in moved.stdout, moved
    await all_ended(connection)
    assert len(provider.calls) == JOBS_AT_ONCE + 3
    assert await counter_total(connection, "breakwater_reconciled", reason="unannounced") == 0
    await assert_audit(connection)


async def test_work_for_an_address_that_this_worker_never_served_is_left_to_its_lease(
    fleet: Fleet, connection: Connection, provider: ProviderServer
) -> None:
    """Whatever wrote it there: a batch that is found under this worker's identity and asks for another is not begun."""
    commit_file(fleet.database_url, write(fleet, provider.config()))
    await connection.execute("ALTER TABLE batches ADD CONSTRAINT only_here CHECK (true)")
    [worker] = fleet.start(1, LEASE_SECONDS=1, HEARTBEAT_SECONDS=0.3, RECONCILE_SECONDS=0.5)
    await connection.execute(
        """
        CREATE FUNCTION misdirect() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.status = 'running' THEN NEW.identity_no := 1; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER misdirect BEFORE UPDATE ON batches FOR EACH ROW EXECUTE FUNCTION misdirect()
        """
    )
    await publish_envelopes(fleet.redis_url, await store_jobs(connection, [job_body()]))
    worker.wait_for("identity_not_served", identity_no=1)
    assert worker.is_alive
    assert provider.calls == []


async def test_an_import_reads_the_connection_that_it_was_accepted_for_and_is_held_when_that_is_another(
    erp: Erp, fleet: Fleet, connection: Connection
) -> None:
    await erp.table("customer", 30)
    job_no = await store_import(connection, import_body(table_type("erp.customer")))
    held = commit_at(
        fleet.database_url, content_of({"connections": {"erp": {"url_env": "OTHER_URL", "tables": ["erp.customer"]}}})
    )
    assert held.held.count == 1
    fleet.environment = {"ERP_URL": fleet.database_url, "OTHER_URL": fleet.database_url}
    fleet.applies_config = False
    fleet.start(1)
    later = await store_import(connection, import_body(table_type("erp.customer"), dataset="later"))
    await publish_envelopes(fleet.redis_url, [job_no, later])
    ended = "SELECT finished_at IS NOT NULL FROM jobs WHERE job_no = $1"
    await eventually_async(lambda: connection.fetchval(ended, later), seconds=20, what="the later one ends")
    assert await connection.fetchval("SELECT status FROM jobs WHERE job_no = $1", job_no) == "queued"
    commit_at(
        fleet.database_url,
        content_of({"connections": {"erp": {"url_env": "OTHER_URL", "tables": ["erp.customer"]}}}),
        moves_jobs=True,
    )
    await all_ended(connection)
    statuses = await connection.fetch("SELECT DISTINCT status FROM jobs")
    assert [row["status"] for row in statuses] == ["completed"]
    read = "SELECT array_agg(DISTINCT i.identity_no) = current_identities() FROM import_batches AS i"
    assert await connection.fetchval(read)
