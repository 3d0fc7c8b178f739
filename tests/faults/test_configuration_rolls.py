"""Two configurations in one fleet: no cell is answered by another address or type than its job was accepted under."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from db.engine import Connection
from tests.support.configurations import commit_file
from tests.support.jobs import job_body
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, after, answer, held, provider_server
from tests.support.service import Client, Process, api_client
from tests.support.waiting import eventually_async
from tests.support.workers import Fleet

JOBS = 200
QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.5}
ACCEPTED = """
SELECT s.model_ids[1] AS model, array_agg(i.content::json ->> 'url') AS urls
FROM jobs AS j
JOIN specs AS s USING (job_no)
JOIN identities AS i ON i.identity_no = ANY (j.identity_nos || coalesce(j.former_identity_nos, '{}'))
GROUP BY s.model_ids
"""
ANSWERED = """
SELECT s.model_ids[1] AS model, i.content::json ->> 'url' AS url
FROM executions AS e
JOIN specs AS s USING (job_no)
JOIN identities AS i USING (identity_no)
"""


@pytest.fixture
def other_provider() -> Iterator[ProviderServer]:
    """A second address for the same name."""
    with provider_server() as server:
        yield server


@pytest.fixture
def wrong_provider() -> Iterator[ProviderServer]:
    """An address that stands only in a file that was never applied."""
    with provider_server() as server:
        yield server


def file_of(folder: Path, name: str, server: ProviderServer) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(server.config(max_concurrent=6))
    return path


async def post(client: Client, numbers: range, **members: Any) -> None:
    """Submit jobs of two cells each, whose model's name is the job's own."""
    for number in numbers:
        sent = job_body(models=[f"model-{number}"], questions=2, **members)
        taken = await client.post(sent)
        assert taken.status_code == 202, taken.text


def models_asked(server: ProviderServer) -> set[str]:
    return {call.model for call in server.calls}


async def test_a_fleet_rolled_forward_and_back_asks_each_job_only_at_the_address_it_was_accepted_under(
    *,
    fleet: Fleet,
    connection: Connection,
    start_api: Callable[..., Process],
    provider: ProviderServer,
    other_provider: ProviderServer,
    wrong_provider: ProviderServer,
    tmp_path: Path,
) -> None:
    first, second = file_of(tmp_path, "first", provider), file_of(tmp_path, "second", other_provider)
    wrong = file_of(tmp_path, "wrong", wrong_provider)
    provider.behave, other_provider.behave = held(answer()), after(0.01, answer())
    fleet.settings, fleet.applies_config = QUICK, False
    commit_file(fleet.database_url, first)
    api = start_api(fleet.database_url, fleet.redis_url, **QUICK)
    fleet.start(2, CONFIG=str(first))
    async with api_client(api, fleet.database_url) as client:
        await post(client, range(60))
        await eventually_async(lambda: calls_of(provider, 1), what="the first address is asked")
        [joined] = fleet.start(1, CONFIG=str(wrong))

        commit_file(fleet.database_url, second)  # forward, under load; nobody hears of it but by looking
        await post(client, range(60, 120))
        await eventually_async(lambda: ended_of(connection, range(60, 120)), seconds=30, what="the second's end")
        provider.release()
        open_before = await open_jobs(connection)
        assert open_before >= 50
        assert models_asked(other_provider) == {f"model-{n}" for n in range(60, 120)}

        commit_file(fleet.database_url, first)  # and back: what was held goes on by itself
        await post(client, range(120, 160))
        joined.stop()
        await eventually_async(lambda: ended_of(connection, range(160)), seconds=30, what="the first's end")
        assert not models_asked(provider) & models_asked(other_provider)

        await client.http.post("/providers/hybrid/pause")
        await post(client, range(160, JOBS), policy={"on_paused": "wait"})
        assert commit_file(fleet.database_url, second).held.count == JOBS - 160
        held_job = await client.http.get(f"/jobs/{await id_of(connection, 160)}")
        assert held_job.json()["held"]["reason"] == "configuration_changed"
        await client.http.post("/providers/hybrid/resume")
        moved = commit_file(fleet.database_url, second, moves_jobs=True).moved
        assert moved == JOBS - 160
        await all_ended(connection, seconds=30)
        totals = (await client.http.get("/audit")).json()["totals"]
    await assert_audit(connection)
    assert (totals["holds"], totals["config_mismatches"], totals["unknown_configuration"]) == (True, 0, 0)
    assert await connection.fetchval("SELECT count(*) FROM jobs WHERE status = 'completed'") == JOBS
    await agree_with_the_logs(connection, (provider, other_provider))
    assert wrong_provider.calls == []
    assert joined.events("configuration_differs")
    assert await connection.fetchval("SELECT count(*) FROM events WHERE type = 'accepted_anew'") == moved
    assert models_asked(other_provider) >= {f"model-{number}" for number in range(160, JOBS)}


async def agree_with_the_logs(connection: Connection, servers: tuple[ProviderServer, ...]) -> None:
    """Compare the providers' logs with the identities of jobs and with the recorded results, cell by cell."""
    accepted = {row["model"]: set(row["urls"]) for row in await connection.fetch(ACCEPTED)}
    logged: dict[str, Counter[str]] = defaultdict(Counter)
    for server in servers:
        for call in server.calls:
            logged[call.model][f"{server.url}/{call.region}/v1"] += 1
    assert {model for model, urls in logged.items() if not set(urls) <= accepted[model]} == set()
    recorded: dict[str, Counter[str]] = defaultdict(Counter)
    for row in await connection.fetch(ANSWERED):
        recorded[row["model"]][row["url"]] += 1
    assert recorded == logged


async def calls_of(server: ProviderServer, count: int) -> bool:
    return len(server.calls) >= count


async def id_of(connection: Connection, number: int) -> str:
    found: str = await connection.fetchval(
        "SELECT id FROM jobs JOIN specs AS s USING (job_no) WHERE s.model_ids = $1", [f"model-{number}"]
    )
    return found


async def ended_of(connection: Connection, numbers: range) -> bool:
    open_ = await connection.fetchval(
        "SELECT count(*) FROM jobs JOIN specs AS s USING (job_no) WHERE finished_at IS NULL AND s.model_ids && $1",
        [f"model-{number}" for number in numbers],
    )
    return bool(open_ == 0)


async def open_jobs(connection: Connection) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL")
    return found
