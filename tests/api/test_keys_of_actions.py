"""Idempotency-Key on every action: sent again it is answered again, and takes effect once."""

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest

from db.engine import connect
from db.submissions import lock_key
from db.tenants import DEFAULT_TENANT_NO
from tests.support.controls import end_unknown, exhausted
from tests.support.description import api_description
from tests.support.job_seeds import WORKER_ID, Seeds, failed
from tests.support.page_sessions import open_for_subject

KEY = "pressed-once"
OTHER = "/providers/echo/pause"
RESOLUTION = {"status": "completed", "output": "four"}
ACTIONS = {
    "/jobs/cancel": None,
    "/jobs/retry": None,
    "/queue/dead/replay": None,
    "/jobs/{job_id}/cancel": None,
    "/jobs/{job_id}/retry": None,
    "/jobs/{job_id}/coordinate": None,
    "/jobs/{job_id}/batches/{batch_id}/release": None,
    "/executions/{execution_id}/retry": None,
    "/executions/{execution_id}/resolve": RESOLUTION,
    "/queue/dead/{dead_letter_id}/replay": None,
    "/queue/workers/{worker_id}/drain": None,
    "/queue/workers/{worker_id}/resume": None,
    "/regions/{name}/pause": None,
    "/regions/{name}/resume": None,
    "/providers/{name}/pause": None,
    "/providers/{name}/resume": None,
    "/tenants": {"name": "acme"},
    "/tenants/{tenant}/limits": {"cells_per_day": 7},
    "/keys": {"name": "ci", "tenant": "default", "scopes": ["jobs:read"]},
    "/keys/{key_id}/rotate": None,
    "/keys/{key_id}/revoke": None,
    "/sessions/{session_id}/end": None,
}
ANOTHER: dict[str, Any] = {
    "/tenants": {"name": "other"},
    "/tenants/{tenant}/limits": {"active_jobs": 7},
    "/keys": {"name": "other", "tenant": "default", "scopes": ["jobs:read"]},
    "/keys/{key_id}/rotate": {"overlap": "2h"},
}
"""Other bodies, where it isn't another reason."""
WITHOUT_BODY = (
    "/jobs/{job_id}/coordinate",
    "/keys/{key_id}/revoke",
    "/sessions/{session_id}/end",
    "/queue/workers/{worker_id}/drain",
    "/queue/workers/{worker_id}/resume",
)
BULK = ("/jobs/cancel", "/jobs/retry", "/queue/dead/replay")
EVERY = pytest.mark.parametrize("path", ACTIONS)
EFFECTS = """
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM triggers), (SELECT count(*) FROM operations),
    (SELECT count(*) FROM dead_letters WHERE replayed_at IS NOT NULL), (SELECT sum(fence) FROM batches),
    (SELECT count(*) FROM tenants), (SELECT count(*) FROM workers WHERE is_drained),
    (SELECT sum(cells_per_day + coalesce(active_jobs, 0)) FROM tenants),
    (SELECT count(*) FROM api_keys), (SELECT count(*) FROM api_key_secrets),
    (SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL), (SELECT count(*) FROM page_sessions)
"""


def test_every_post_is_tried_here() -> None:
    paths = api_description()["paths"]
    posts = {path for path, operations in paths.items() if "post" in operations}
    assert posts == {"/jobs", *ACTIONS}
    for path in posts:
        operation = paths[path]["post"]
        assert [parameter["in"] for parameter in operation["parameters"] if parameter["name"] == "Idempotency-Key"] == [
            "header"
        ]
        assert {"409", "422"} <= operation["responses"].keys()
        (done, *_) = (operation["responses"][status] for status in ("200", "201") if status in operation["responses"])
        assert "Idempotent-Replayed" in done["headers"]


async def ready_for(path: str, seeds: Seeds, reader: httpx2.AsyncClient) -> str:
    """Make the target of the action, and return its path."""
    if path.startswith(("/tenants", "/keys")):
        made = await reader.post("/keys", json=ACTIONS["/keys"])
        return path.format(key_id=made.json()["id"], tenant="default")
    if path.startswith("/sessions"):
        async with connect(seeds.engine) as connection:
            return path.format(session_id=await open_for_subject(connection))
    job = await seeds.submit()
    if "coordinate" not in path and "cancel" not in path:
        await seeds.plan()
        [batch] = await seeds.claim()
        if "resolve" in path:
            await end_unknown(seeds, batch)
        elif "retry" in path or "replay" in path:
            await seeds.record(exhausted(batch) if "replay" in path else failed(batch))
    name = "us-east" if "regions" in path else "echo"
    if "workers" in path and "resume" in path:
        await reader.post(f"/queue/workers/{WORKER_ID}/drain")
    elif "resume" in path:
        await reader.post(f"{path.format(name=name).removesuffix('/resume')}/pause")
    if path in BULK:
        at = f"{path}?{f'job_id={job.id}' if 'dead' in path else f'name={job.spec.name}'}"
        return f"{at}&as_of={(await reader.post(f'{at}&dry_run=true')).json()['as_of']}"
    cell = f"{job.job_no}-0-0-0"
    return path.format(job_id=job.id, batch_id=1, execution_id=cell, dead_letter_id=1, name=name, worker_id=WORKER_ID)


async def send(reader: httpx2.AsyncClient, at: str, body: Any, *, key: str = KEY) -> httpx2.Response:
    return await reader.post(at, headers={"Idempotency-Key": key}, **({} if body is None else {"json": body}))


@EVERY
async def test_a_key_of_an_action_stands_for_its_first_request_alone(
    seeds: Seeds, reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]", path: str
) -> None:
    at = await ready_for(path, seeds, reader)
    before = await rows.fetchrow(EFFECTS)
    first = await send(reader, at, ACTIONS[path])
    done = await rows.fetchrow(EFFECTS)
    assert first.status_code in {200, 201, 202}, first.text
    assert done != before
    if path.endswith("retry"):
        [batch] = await seeds.claim()
        await seeds.record(failed(batch))  # a retry that is sent twice would find something to retry
        done = await rows.fetchrow(EFFECTS)
    again = await send(reader, at, ACTIONS[path])
    # The response is repeated, but for the secret of a key: it is shown once.
    secret = {"key": None} if "key" in first.json() else {}
    assert (again.status_code, again.json()) == (first.status_code, {**first.json(), **secret})
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert await rows.fetchrow(EFFECTS) == done

    if path not in WITHOUT_BODY:
        another = ANOTHER.get(path) or {**(ACTIONS[path] or {}), "reason": "Another one."}
        refuse_reused(await send(reader, at, another))
    refuse_reused(await send(reader, OTHER if at != OTHER else "/providers/echo/resume", None))
    assert await rows.fetchrow(EFFECTS) == done


def refuse_reused(refused: httpx2.Response) -> None:
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_of_a_submission_is_no_key_of_an_action_and_the_other_way_round(
    seeds: Seeds, reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit()
    await rows.execute(
        "INSERT INTO idempotency_keys (tenant_no, key, body_hash, job_no, status_code, answer)"
        " VALUES (1, $1, 'b1:', $2, 202, '{}')",
        KEY,
        job.job_no,
    )
    refused = await send(reader, f"/jobs/{job.id}/cancel", None)
    assert (refused.status_code, refused.json()["request"]) == (422, "POST /jobs")


async def test_a_key_that_is_none_is_refused_by_every_action(
    reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    for path in ACTIONS:
        ids = dict.fromkeys(("job_id", "key_id", "tenant", "session_id", "worker_id"), "a")
        at = path.format(**ids, execution_id="1-0-0-0", name="us-east", batch_id=1, dead_letter_id=1)
        for key in ["", "two words", '"half', "k" * 256, "\u00e9"]:
            refused = await reader.post(at, headers=[(b"Idempotency-Key", key.encode())])
            assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_malformed"), (at, key)
    assert await rows.fetchval("SELECT count(*) FROM operations") == 0


async def test_a_key_whose_first_request_is_under_way_is_a_conflict(
    seeds: Seeds, reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit()
    async with rows.transaction():
        await rows.execute("SELECT pg_advisory_xact_lock($1)", lock_key("key", DEFAULT_TENANT_NO, KEY))
        refused = await send(reader, f"/jobs/{job.id}/cancel", None)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_in_flight")
    assert refused.headers["Retry-After"] == "1"
    assert (await reader.get(f"/jobs/{job.id}")).json()["status"] == "queued"


async def test_of_many_equal_requests_at_once_one_takes_effect(
    seeds: Seeds, reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit()
    answers = await asyncio.gather(*(send(reader, f"/jobs/{job.id}/coordinate", None) for _ in range(8)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == ["", *["true"] * 7]
    assert await rows.fetchval("SELECT count(*) FROM triggers WHERE job_no = $1", job.job_no) == 1


async def test_an_effect_whose_key_cannot_be_kept_does_not_take_place(
    seeds: Seeds, reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit()
    await rows.execute(f"ALTER TABLE idempotency_keys ADD CONSTRAINT no_key CHECK (key <> '{KEY}')")
    assert (await send(reader, f"/jobs/{job.id}/cancel", None)).status_code == 500
    assert (await reader.get(f"/jobs/{job.id}")).json()["status"] == "queued"
    await rows.execute("ALTER TABLE idempotency_keys DROP CONSTRAINT no_key")
    assert (await send(reader, f"/jobs/{job.id}/cancel", None)).status_code == 202


async def test_a_refusal_is_not_kept_under_the_key(seeds: Seeds, reader: httpx2.AsyncClient) -> None:
    assert (await send(reader, "/jobs/later/cancel", None)).status_code == 404
    await seeds.submit(job_id="later")
    assert (await send(reader, "/jobs/later/cancel", None)).status_code == 202


async def test_a_key_that_outlived_its_hours_is_taken_anew(
    seeds: Seeds, reader: httpx2.AsyncClient, rows: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    job = await seeds.submit()
    await send(reader, f"/jobs/{job.id}/coordinate", None)
    await rows.execute("UPDATE idempotency_keys SET created_at = created_at - interval '86401 seconds'")
    again = await send(reader, f"/jobs/{job.id}/coordinate", None)
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (202, None)
    assert await rows.fetchval("SELECT count(*) FROM triggers WHERE job_no = $1", job.job_no) == 2


async def test_a_replay_is_counted_as_a_duplicate_that_was_prevented(seeds: Seeds, reader: httpx2.AsyncClient) -> None:
    job = await seeds.submit()
    for _ in range(3):
        await send(reader, f"/jobs/{job.id}/cancel", None)
    series = 'breakwater_duplicates_prevented_total{layer="action",reason="same_key",scope="fleet"} 2.0'
    assert series in (await reader.get("/metrics")).text
