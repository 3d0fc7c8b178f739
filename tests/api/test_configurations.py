"""The configuration as clients see it: applied at once, under one number; simulated work is marked, held work named."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.routes import pages
from broker import notices
from broker.envelopes import Client as Redis
from broker.notices import Notice
from configuration.applying import apply
from configuration.content import Configuration, read_configuration
from configuration.in_force import InForce
from db.configurations import ConfigurationChanged
from db.engine import Connection, Engine, in_transaction
from db.tenants import DEFAULT_TENANT_NO
from domain.normalize import normalize
from domain.tenant_names import DEFAULT_TENANT
from submissions.backlog import Backlog
from submissions.submission import Sender, Submission
from submissions.transaction import Stored, SubmissionTransaction
from tests.support.configurations import REGISTRY, SIMULATED, commit, commit_at, content_of
from tests.support.job_seeds import Seeds
from tests.support.reading_app import reading_app
from tests.support.service import Client, Process, api_client, unique
from tests.support.waiting import eventually_async

URL = "http://127.0.0.1:9/v1"
HYBRID = content_of({"providers": {"hybrid": {"type": "openai", "base_urls": {"us-east": URL}}}})
FIRST_EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("0[1-3]*.json"))


async def notes(client: Client, body: Any) -> list[Any]:
    answer = await client.post(body, dry_run=True)
    assert answer.status_code == 200, answer.text
    return [note for note in answer.json()["normalization"] if note["action"] == "simulated"]


async def test_while_simulating_each_model_says_that_no_provider_is_asked(client: Client) -> None:
    models = ["a", {"id": "b", "provider": "openai"}, {"id": "c", "provider": "no-such-provider-xyz"}]
    found = await notes(client, unique(models=models))
    assert [(note["path"], note["value"], note["to"]) for note in found] == [
        ("/models/0", "hybrid", "echo"),
        ("/models/1/provider", "openai", "echo"),
        ("/models/2/provider", "no-such-provider-xyz", "echo"),
    ]


async def test_a_post_is_normalized_under_the_configuration_in_force_even_if_this_api_had_read_an_older_one(
    own_client: Client, database_url: str
) -> None:
    """No notice comes and no heartbeat: the insert itself finds another number, and the body is read again."""
    assert (await own_client.post(unique())).status_code == 202
    commit_at(database_url, HYBRID)
    taken = await own_client.post(unique())
    assert taken.status_code == 202
    assert [note["action"] for note in taken.json()["normalization"]] == ["defaulted"]
    row = await own_client.database.fetchrow(
        "SELECT j.configuration_no, i.name, i.content FROM jobs AS j JOIN identities AS i"
        " ON i.identity_no = ANY (j.identity_nos) ORDER BY j.job_no DESC LIMIT 1"
    )
    assert (row["configuration_no"], row["name"]) == (2, "hybrid")
    assert URL in row["content"]
    commit_at(database_url, content_of({"providers": {"chat": {"type": "echo"}}}))
    refused = await own_client.post(unique())
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unknown_provider")
    assert [row["outcome"] for row in await own_client.ledger(refused)] == ["rejected"]


async def test_a_recent_echo_job_is_not_joined_once_a_provider_is_configured(
    own_client: Client, database_url: str
) -> None:
    body = unique()
    first = (await own_client.post(body)).json()["job"]["id"]
    await own_client.complete(first)
    assert (await own_client.post(body)).json()["outcome"] == "joined"
    commit_at(database_url, HYBRID)
    again = (await own_client.post(body)).json()
    assert (again["outcome"], again["dedup"]["previous"]["job_id"]) == ("created", first)
    await own_client.complete(again["job"]["id"])
    joined = (await own_client.post(body)).json()
    assert (joined["outcome"], joined["job"]["id"]) == ("joined", again["job"]["id"])
    commit_at(database_url, SIMULATED)
    back = (await own_client.post(body)).json()
    assert (back["outcome"], back["job"]["id"]) == ("joined", first)


async def test_many_posts_beside_many_applications_are_each_stored_under_a_number_that_had_their_identities(
    own_client: Client, database_url: str
) -> None:
    others = [
        content_of({"providers": {"hybrid": {"type": "openai", "base_urls": {"us-east": f"http://127.0.0.1:{n}/v1"}}}})
        for n in range(1, 9)
    ]
    posting = asyncio.gather(*(own_client.post(unique()) for _ in range(60)))
    for content in others:
        await asyncio.to_thread(commit_at, database_url, content)
    answers = await posting
    assert {answer.status_code for answer in answers} == {202}
    strangers = await own_client.database.fetchval(
        "SELECT count(*) FROM jobs AS j JOIN configurations AS c USING (configuration_no)"
        " WHERE NOT j.identity_nos <@ c.identity_nos OR j.created_at < c.applied_at - interval '1 ms'"
    )
    assert strangers == 0


@pytest.mark.parametrize(
    "changes",
    [{"on_duplicate": "create"}, {}, {"id": "mine"}],
    ids=["without a lock of its own", "by content", "by id"],
)
async def test_nothing_is_stored_while_a_configuration_is_applied_and_then_only_under_the_number_in_force(
    engine: Engine, changes: dict[str, Any]
) -> None:
    async def read(connection: Connection) -> Configuration:
        found = await read_configuration(connection)
        assert found is not None
        return found

    before = InForce(await in_transaction(engine, read), REGISTRY)
    body = unique(**changes)
    submission = Submission(
        DEFAULT_TENANT_NO,
        body,
        normalize(body, REGISTRY),
        before,
        None,
        Sender("r", None, None),
        tenant=DEFAULT_TENANT,
    )

    async def worker_no() -> int:
        return 1

    transaction = SubmissionTransaction(
        engine, worker_no=worker_no, keep_hours=1, recent_seconds=60, backlog=Backlog(10, is_shared=False)
    )

    async def while_applying(connection: Connection) -> Stored:
        await apply(connection, HYBRID, by="a test")
        return await transaction.store([submission], lock_timeout="2s", waits={})

    assert await in_transaction(engine, while_applying) == Stored(answered=[], to_retry=[submission])
    with pytest.raises(ConfigurationChanged):
        await transaction.store([submission], lock_timeout="2s", waits={})


async def test_a_recent_job_of_another_address_is_named_but_not_joined(own_client: Client, database_url: str) -> None:
    """A simulation that just ended is no answer to a spec that is sent again once a provider is configured."""
    body = unique()
    simulated = (await own_client.post(body)).json()["job"]
    await own_client.complete(simulated["id"])
    assert (await own_client.post(body)).json()["dedup"]["reason"] == "same_spec_recent"
    commit_at(database_url, HYBRID)
    anew = (await own_client.post(body)).json()
    assert (anew["outcome"], anew["dedup"]["previous"]["job_id"]) == ("created", simulated["id"])
    commit_at(database_url, SIMULATED)
    joined = (await own_client.post(body)).json()
    assert (joined["outcome"], joined["job"]["id"]) == ("joined", anew["job"]["id"])


async def test_a_configuration_of_another_version_stops_new_jobs_until_it_is_replaced_and_ends_no_api(
    start_api: Callable[..., Process], redis_client: Redis, database_url: str, redis_url: str
) -> None:
    api = start_api(database_url, redis_url)

    async def says_so() -> bool:
        return bool(api.events("pauses_delayed"))

    async with api_client(api, database_url) as client:
        job = (await client.post(unique())).json()["job"]
        await client.database.execute(
            "INSERT INTO configurations SELECT configuration_no + 1, '{\"of_the_next\": 1}', is_simulated,"
            " identity_nos, now(), 'the next version' FROM current_configuration"
        )
        await notices.publish(redis_client, Notice(about="configuration"))
        await eventually_async(says_so)
        refused = await client.post(unique())
        assert refused.status_code == 503, refused.text
        assert "doesn't understand configuration 2" in refused.json()["detail"]
        assert (await client.http.get(f"/jobs/{job['id']}")).status_code == 200
        commit_at(database_url, HYBRID)
        assert (await client.post(unique())).status_code == 202


async def test_without_providers_models_are_refused_with_the_remedy_and_imports_are_accepted(
    own_client: Client, database_url: str, tmp_path: Path
) -> None:
    commit_at(database_url, content_of({"imports": {"root": str(tmp_path)}}))
    refused = await own_client.post(unique())
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["code"]) == (422, "provider_not_configured")
    assert "[providers.NAME]" in error["detail"]
    source = {"type": "file", "path": "a.csv"}
    taken = await own_client.post(
        {"kind": "import", "name": "i", "record_types": [{"id": "a", "key": ["id"], "source": source}]}
    )
    assert taken.status_code == 202, taken.text


@pytest.mark.parametrize(
    "example", [path.read_bytes() for path in FIRST_EXAMPLES], ids=[p.stem for p in FIRST_EXAMPLES]
)
async def test_the_examples_run_under_any_configuration_with_a_default_provider(
    own_client: Client, database_url: str, example: bytes
) -> None:
    regions = ["us-east", "eu-west", "asia-pacific"]
    file = {
        "default_provider": "chat",
        "providers": {"chat": {"type": "openai", "base_urls": dict.fromkeys(regions, URL)}},
    }
    commit_at(database_url, content_of(file))
    answer = await own_client.http.post("/jobs", content=example, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    assert {model["provider"] for model in answer.json()["spec"]["models"]} == {"chat"}


async def test_a_held_job_shows_since_when_the_reason_and_the_remedy(
    reader: httpx2.AsyncClient, seeds: Seeds, engine: Engine, rows: Any
) -> None:
    job = await seeds.submit()
    planned = await seeds.submit()
    assert (await reader.get(f"/jobs/{job.id}")).json()["held"] is None
    applied = await commit(engine, HYBRID)
    found = (await reader.get(f"/jobs/{job.id}")).json()
    assert found["held"]["reason"] == "configuration_changed"
    assert found["held"]["since"][:19] == applied.configuration.applied_at.isoformat()[:19]
    assert "provider echo in us-east" in found["held"]["detail"]
    assert "--move-jobs" in found["held"]["detail"]
    await rows.execute("UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour'")
    queue = (await reader.get("/queue")).json()
    assert {entry["reason"] for entry in queue["stuck"]} == {"configuration_changed"}
    assert queue["oldest_owed_seconds"] is None
    await commit(engine, SIMULATED)
    assert (await reader.get(f"/jobs/{planned.id}")).json()["held"] is None


async def test_a_job_from_before_any_configuration_is_held_since_the_first_that_lacks_its_identities(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    job = await seeds.submit()
    await rows.execute("UPDATE jobs SET identity_nos = NULL, configuration_no = NULL")
    just_queued = (await reader.get(f"/jobs/{job.id}")).json()
    assert just_queued["held"]["since"] == just_queued["created_at"]
    await rows.execute("UPDATE jobs SET created_at = now() - interval '1 hour', queued_at = now() - interval '1 hour'")
    first = await rows.fetchval("SELECT applied_at FROM configurations")
    held = (await reader.get(f"/jobs/{job.id}")).json()["held"]
    assert held["reason"] == "configuration_changed"
    assert datetime.fromisoformat(held["since"]) == first


async def test_cells_answered_by_echo_are_simulated_in_executions_jobs_and_the_audit(
    reader: httpx2.AsyncClient, seeds: Seeds
) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.run_all()
    cells = (await reader.get(f"/jobs/{job.id}/executions")).json()["items"]
    assert [cell["simulated"] for cell in cells] == [True, True]
    assert (await reader.get(f"/jobs/{job.id}")).json()["simulated"] is True
    audit = (await reader.get(f"/jobs/{job.id}/audit")).json()
    assert (audit["simulated"], audit["config_mismatches"], audit["unknown_configuration"]) == (2, 0, 0)
    assert audit["external_calls"] == 0
    assert (await reader.get("/audit")).json()["totals"]["simulated"] == 2


async def test_a_provider_that_calls_itself_echo_is_no_simulation(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any, engine: Engine
) -> None:
    job = await seeds.submit()
    await seeds.run_all()
    await commit(engine, HYBRID)
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        number = await rows.fetchval("SELECT identity_nos[1] FROM current_configuration")
        await rows.execute("UPDATE executions SET identity_no = $1", number)
        await rows.execute("UPDATE jobs SET identity_nos = $1", [number])
    [cell] = (await reader.get(f"/jobs/{job.id}/executions")).json()["items"]
    audit = (await reader.get(f"/jobs/{job.id}/audit")).json()
    assert (cell["provider_used"], cell["simulated"]) == ("echo", False)
    assert (audit["simulated"], audit["external_calls"], audit["holds"]) == (0, 1, True)


async def test_tries_from_before_any_configuration_are_counted_separately(
    reader: httpx2.AsyncClient, seeds: Seeds, rows: Any
) -> None:
    job = await seeds.submit(questions=["One?", "Two?"])
    await seeds.run_all()
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        await rows.execute("UPDATE executions SET identity_no = NULL")
        await rows.execute("UPDATE jobs SET identity_nos = NULL, configuration_no = NULL")
    audit = (await reader.get(f"/jobs/{job.id}/audit")).json()
    assert (audit["unknown_configuration"], audit["config_mismatches"], audit["holds"]) == (2, 0, True)
    assert audit["simulated"] == 2


async def test_the_queue_and_the_metrics_name_the_workers_of_each_provider(
    start_api: Callable[..., Process],
    start_worker: Callable[..., Process],
    database_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[questions]\nq = "Why?"\n')
    text = {"providers": {"chat": {"type": "openai", "base_urls": {"us-east": URL}, "api_key_env": "NOT_THERE"}}}
    api = start_api(database_url, redis_url)
    commit_at(database_url, content_of(text))
    quick = {"heartbeat_seconds": 0.3, "lease_seconds": 2, "reconcile_seconds": 1}
    start_worker(database_url, redis_url, **quick)
    async with api_client(api, database_url) as client:
        await client.http.get("/regions")

        async def look() -> Any:
            queue = (await client.http.get("/queue")).json()
            return queue if queue["workers"] else None

        queue = await eventually_async(look, seconds=30, what="the worker is shown")
        [worker] = queue["workers"]
        assert worker["configuration"] == {
            "number": 2,
            "is_current": True,
            "file": "none",
            "not_served": [{"name": "providers.chat", "reason": "NOT_THERE isn't in the environment: set NOT_THERE."}],
        }
        assert (worker["role"], worker["version"]) == ("worker", "0.1.0")
        metrics = (await client.http.get("/metrics")).text
        assert 'breakwater_configuration_number{scope="fleet"} 2.0' in metrics
        assert 'breakwater_simulating{scope="fleet"} 0.0' in metrics
        assert 'breakwater_not_served{role="worker",scope="fleet"} 1.0' in metrics
        assert 'breakwater_configuration_differs{role="worker",scope="fleet"} 0.0' in metrics


async def test_the_home_page_says_that_it_is_a_simulation(engine: Engine, redis_client: Redis) -> None:
    for content, says in ((SIMULATED, True), (HYBRID, False)):
        async with reading_app(engine, redis_client, 1, content=content) as reader:
            reader.app.include_router(pages.router)  # type: ignore[attr-defined]
            assert ("This is a simulation." in (await reader.get("/")).text) is says
