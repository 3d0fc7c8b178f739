"""Answers kept whole, cut answers marked, and calls that show since when they are out.

A real server answers a real worker; what a person sees of it comes through the routes.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from broker import envelopes
from db.engine import create_engine
from tests.support.connections import publish_envelopes
from tests.support.jobs import job_body, store_jobs
from tests.support.outcomes import all_ended, assert_audit
from tests.support.provider_server import ProviderServer, answer, by_question, held, in_turn, refuse, reset
from tests.support.reading_app import reading_app
from tests.support.waiting import eventually, eventually_async
from tests.support.workers import Fleet

KEY = "sk-geheim-1234567890"
QUICK = {"LEASE_SECONDS": 3, "HEARTBEAT_SECONDS": 0.5, "RECONCILE_SECONDS": 0.5}


@pytest.fixture
async def reader(database_url: str, redis_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The routes that read, on the fleet's stores."""
    engine, redis = create_engine(database_url, size=2), envelopes.connect(redis_url)
    async with reading_app(engine, redis, 1) as client:
        yield client
    await redis.aclose()
    await engine.dispose()


def said(text: str, finish_reason: str | None, **members: Any) -> Any:
    """An answer that ended for this reason."""
    message = {"role": "assistant", "content": text}
    return answer(choices=[{"index": 0, "message": message, "finish_reason": finish_reason, **members}])


def start(fleet: Fleet, provider: ProviderServer, workers: int = 1, **settings: Any) -> None:
    config = fleet.folder / "breakwater.toml"
    config.write_text(provider.config(**settings))
    fleet.start(workers, CONFIG=config, **QUICK)


async def run(fleet: Fleet, connection: Any, **members: Any) -> str:
    """Run one job to its end; return its id."""
    [job_no] = await store_jobs(connection, [job_body(**members)])
    await publish_envelopes(fleet.redis_url, [job_no])
    await all_ended(connection)
    await assert_audit(connection)
    return await connection.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)


async def cells_of(reader: httpx2.AsyncClient, job_id: str) -> list[Any]:
    return (await reader.get(f"/jobs/{job_id}/executions")).json()["items"]


async def shown(reader: httpx2.AsyncClient, job_id: str) -> Any:
    [cell] = await cells_of(reader, job_id)
    return (await reader.get(f"/executions/{cell['id']}")).json()


async def test_a_cut_answer_is_kept_and_counted(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = by_question({"What is 0 plus 0?": said("It", "length")}, said("It is 2.", "stop"))
    start(fleet, provider)
    job_id = await run(fleet, connection, questions=3)
    cells = await cells_of(reader, job_id)
    assert [(cell["status"], cell["finish_reason"], cell["is_complete"]) for cell in cells] == [
        ("completed", "length", False),
        ("completed", "stop", True),
        ("completed", "stop", True),
    ]
    job = (await reader.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["incomplete"], job["progress"]["completed"]) == ("completed", 1, 3)
    assert [item["incomplete"] for item in (await reader.get("/jobs")).json()["items"]] == [1]
    audit = (await reader.get(f"/jobs/{job_id}/audit")).json()
    assert (audit["incomplete"], audit["holds"]) == (1, True)


async def test_the_audit_says_of_how_many_cells_the_region_is_unconfirmed(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = by_question({"What is 0 plus 0?": answer(region="us-east")}, answer())
    start(fleet, provider)
    job_id = await run(fleet, connection, questions=3)
    assert [cell["region_served"] for cell in await cells_of(reader, job_id)] == ["us-east", None, None]
    audit = (await reader.get(f"/jobs/{job_id}/audit")).json()
    assert (audit["unconfirmed_region"], audit["holds"]) == (2, True)
    assert (await reader.get("/audit")).json()["totals"]["unconfirmed_region"] == 2


async def test_a_cut_answer_fails_where_the_policy_says_so_and_isnt_lost(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = said("It", "length")
    start(fleet, provider)
    job_id = await run(fleet, connection, policy={"incomplete": "fail", "max_attempts": 3})
    cell = await shown(reader, job_id)
    assert (cell["status"], cell["attempts"], cell["error"]["code"]) == ("failed", 1, "incomplete_answer")
    assert (cell["finish_reason"], cell["is_complete"], cell["error"]["retryable"]) == ("length", False, False)
    assert cell["usage"] == {"prompt_tokens": 5, "completion_tokens": 7}
    assert cell["response"]["choices"][0]["message"]["content"] == "It"
    assert "length" in cell["error"]["detail"]
    assert len(provider.calls) == 1
    assert (await reader.get(f"/jobs/{job_id}")).json()["incomplete"] == 1


async def test_a_refused_answer_is_asked_for_again_and_each_one_that_was_paid_is_kept(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    refusal = answer(choices=[{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}])
    provider.behave = in_turn(refusal, said("It", "content_filter"), said("It is 0.", "stop"))
    start(fleet, provider)
    job_id = await run(fleet, connection, policy={"incomplete": "retry", "max_attempts": 3})
    cell = await shown(reader, job_id)
    assert (cell["status"], cell["attempts"], cell["output"]) == ("completed", 3, "It is 0.")
    assert (await reader.get(f"/jobs/{job_id}")).json()["incomplete"] == 0
    history = cell["attempt_history"]
    assert [attempt["error"] and attempt["error"]["code"] for attempt in history] == ["incomplete_answer"] * 2 + [None]
    messages = [attempt["response"]["choices"][0]["message"] for attempt in history]
    assert [message.get("refusal") or message["content"] for message in messages] == ["No.", "It", "It is 0."]
    assert len(set(provider.keys())) == 3


async def test_retrying_a_cut_answer_takes_it_out_of_the_count(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = in_turn(said("It", "length"), said("It is 0.", "stop"))
    start(fleet, provider)
    job_id = await run(fleet, connection, policy={"incomplete": "fail"})
    retried = await reader.post(f"/jobs/{job_id}/retry")
    assert retried.status_code == 200, retried.text
    await all_ended(connection)
    await assert_audit(connection)
    assert (await reader.get(f"/jobs/{job_id}")).json()["incomplete"] == 0
    cell = await shown(reader, job_id)
    kept = [attempt["response"]["choices"][0]["message"]["content"] for attempt in cell["attempt_history"]]
    assert (kept, cell["is_complete"]) == (["It", "It is 0."], True)


async def test_three_answers_that_were_paid_are_three_answers_kept(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    three = [
        {"index": n, "message": {"content": text}, "finish_reason": "stop"} for n, text in enumerate(("a", "b", "c"))
    ]
    provider.behave = answer(choices=three, model="m-17", system_fingerprint="fp_1")
    start(fleet, provider)
    cell = await shown(reader, await run(fleet, connection, parameters={"n": 3}))
    assert (cell["output"], cell["model_used"]) == ("a", "m-17")
    assert cell["response"]["choices"] == three
    assert cell["response"]["system_fingerprint"] == "fp_1"


async def test_an_answer_from_elsewhere_is_refused_and_yet_kept(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = answer("four", region="eu-west")
    start(fleet, provider)
    cell = await shown(reader, await run(fleet, connection))
    assert (cell["error"]["code"], cell["output"]) == ("region_mismatch", None)
    assert cell["response"]["choices"][0]["message"]["content"] == "four"


async def test_a_large_answer_is_kept_by_its_beginning(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = answer("ä\0" * 300_000)
    start(fleet, provider)
    cell = await shown(reader, await run(fleet, connection))
    assert cell["output"] == "ä\ufffd" * 300_000
    response = cell["response"]
    assert (response["truncated"], response["bytes"] > 3_000_000) == (True, True)
    assert 2**20 - 10 < len(response["text"].encode()) <= 2**20
    assert response["text"].startswith('{"id":"chatcmpl-1"')


async def test_the_providers_key_is_in_nothing_that_is_kept_of_its_answer(
    fleet: Fleet, connection: Any, provider: ProviderServer
) -> None:
    provider.behave = answer(
        f"Your key is {KEY}.",
        model=KEY,
        **{KEY: [KEY.replace("g", "\\u0067")], "echo": {"Authorization": f"Bearer {KEY}"}},
    )
    fleet.environment = {"THE_KEY": KEY}
    start(fleet, provider, api_key_env="THE_KEY")
    await run(fleet, connection)
    assert provider.calls[0].headers["authorization"] == f"Bearer {KEY}"
    cell = await connection.fetchrow("SELECT output, model_used FROM executions")
    assert tuple(cell) == ("Your key is [redacted].", "[redacted]")
    kept = await connection.fetchval("SELECT body FROM responses")
    assert kept["echo"] == {"Authorization": "Bearer [redacted]"}
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        assert await connection.fetchval(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{KEY}%'") == 0, table


async def test_no_row_is_kept_where_nothing_was_answered(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = in_turn(refuse(500), reset(), refuse(400))
    start(fleet, provider)
    cell = await shown(reader, await run(fleet, connection))
    assert [attempt["response"] for attempt in cell["attempt_history"]] == [None, None, None]
    assert (cell["response"], cell["finish_reason"], cell["is_complete"]) == (None, None, None)
    assert await connection.fetchval("SELECT count(*) FROM responses") == 0


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
async def test_a_call_that_is_out_shows_since_when_and_of_whom(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient, delivery: str
) -> None:
    provider.behave = held(answer())
    start(fleet, provider)
    before = datetime.now(UTC)
    [job_no] = await store_jobs(connection, [job_body(policy={"delivery": delivery})])
    await publish_envelopes(fleet.redis_url, [job_no])
    job_id = await connection.fetchval("SELECT id FROM jobs")
    eventually(lambda: provider.in_flight == 1, what="the call is out")
    asked_at = datetime.now(UTC)

    async def look() -> Any:
        [cell] = await cells_of(reader, job_id)
        return cell if cell["started_at"] else None

    cell = await eventually_async(look, seconds=5)
    assert (cell["status"], cell["provider_used"], cell["finished_at"]) == ("running", "hybrid", None)
    started_at = datetime.fromisoformat(cell["started_at"])
    assert before - timedelta(seconds=0.1) <= started_at <= asked_at + timedelta(seconds=0.1)
    provider.release()
    await all_ended(connection)
    [ended] = await cells_of(reader, job_id)
    assert abs(datetime.fromisoformat(ended["started_at"]) - started_at) < timedelta(seconds=0.1)
    await assert_audit(connection)


async def test_a_cell_that_waits_for_its_next_try_shows_no_call(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = in_turn(held(refuse(503, headers={"Retry-After": "3600"})), answer())
    start(fleet, provider)
    [job_no] = await store_jobs(connection, [job_body()])
    await publish_envelopes(fleet.redis_url, [job_no])
    job_id = await connection.fetchval("SELECT id FROM jobs")
    await eventually_async(lambda: cells_of(reader, job_id), what="the job is planned")

    async def look(*, is_out: bool) -> bool:
        [cell] = await cells_of(reader, job_id)
        shown = (cell["started_at"] is not None, cell["provider_used"] is not None)
        return shown == (is_out, is_out) and cell["attempts"] == (not is_out)

    await eventually_async(lambda: look(is_out=True), seconds=5)
    provider.release()
    await eventually_async(lambda: look(is_out=False), seconds=5)


async def test_after_a_crash_only_calls_of_the_worker_that_took_over_are_shown(
    fleet: Fleet, connection: Any, provider: ProviderServer, reader: httpx2.AsyncClient
) -> None:
    provider.behave = held(answer())
    start(fleet, provider)
    [job_no] = await store_jobs(connection, [job_body(questions=2)])
    await publish_envelopes(fleet.redis_url, [job_no])
    job_id = await connection.fetchval("SELECT id FROM jobs")

    async def starts() -> list[str]:
        return [cell["started_at"] for cell in await cells_of(reader, job_id) if cell["started_at"]]

    async def both() -> list[str]:
        return found if len(found := await starts()) == 2 else []

    before = await eventually_async(both, seconds=5)
    fleet.workers[0].kill()
    fleet.start(CONFIG=fleet.folder / "breakwater.toml", WORKER_CONCURRENCY=1, **QUICK)
    eventually(lambda: len(provider.calls) == 3, what="another worker asks, one call at a time")

    async def anew() -> bool:
        found = await starts()
        return len(found) == 1 and found[0] not in before

    await eventually_async(anew, seconds=5)
    provider.release()
    await all_ended(connection)
    await assert_audit(connection)
