"""POST /jobs answers what was decided, why and where to look on, from committed rows; the ledger says the same."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.domain.bodies import submitted
from tests.service import Client, StartApi, connected, unique

PROBLEM = "application/problem+json"


async def test_a_new_spec_becomes_a_queued_job(client: Client) -> None:
    body = unique()
    answer = await client.post(body)
    job = answer.json()["job"]
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    assert (job["kind"], job["status"]) == ("inference", "queued")
    assert answer.json()["outcome"] == "created"
    assert answer.json()["planned"] == {"models": 1, "regions": 1, "questions": 1, "executions": 1}
    assert answer.json()["spec"]["name"] == body["name"]
    assert [row["id"] for row in await client.jobs(body["name"])] == [job["id"]]


async def test_the_decision_on_a_new_spec_is_told(client: Client) -> None:
    answer = await client.post(unique())
    dedup = answer.json()["dedup"]
    assert dedup.pop("spec_hash").startswith("h1:")
    assert dedup == {"layer": None, "reason": "new", "matched_on": None, "times_seen": 1}


async def test_the_answer_shows_the_time_that_is_stored(client: Client) -> None:
    body = unique()
    shown = datetime.fromisoformat((await client.post(body)).json()["job"]["created_at"])
    (row,) = await client.jobs(body["name"])
    assert shown == row["created_at"]
    assert datetime.now(UTC) - shown < timedelta(minutes=1)


async def test_a_created_job_is_in_the_ledger(client: Client) -> None:
    answer = await client.post(unique(), key="a-key-of-" + unique()["name"])
    assert await client.ledger(answer) == [
        {
            "outcome": "created",
            "reason": "new",
            "matched_on": None,
            "status_code": 202,
            "idempotency_key": answer.request.headers["Idempotency-Key"],
            "kind": "inference",
            "job": answer.json()["job"]["id"],
        }
    ]


async def test_a_join_is_in_the_ledger(client: Client) -> None:
    body = unique()
    first = await client.post(body)
    (row,) = await client.ledger(await client.post(body))
    assert (row["outcome"], row["reason"], row["matched_on"], row["status_code"], row["job"]) == (
        "joined",
        "same_spec_active",
        "spec_hash",
        200,
        first.json()["job"]["id"],
    )


async def test_a_spec_that_can_not_be_taken_is_in_the_ledger(client: Client) -> None:
    answer = await client.post(unique(regions=["mars"]), key="k-" + unique()["name"])
    (row,) = await client.ledger(answer)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, PROBLEM)
    assert (row["outcome"], row["reason"], row["status_code"], row["job"]) == ("rejected", "unknown_region", 422, None)
    assert row["idempotency_key"] == answer.request.headers["Idempotency-Key"]


async def test_a_malformed_body_is_not_in_the_ledger(client: Client) -> None:
    answer = await client.http.post("/jobs", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert await client.ledger(answer) == []


@pytest.mark.parametrize("key", ["", '""', "with space", "a" * 256, "caf\u00e9", "tab\there"])
async def test_a_malformed_key_is_refused(client: Client, key: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key.encode("latin-1")}
    answer = await client.http.post("/jobs", json=unique(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_malformed")
    assert await client.ledger(answer) == []


async def test_two_keys_are_refused(client: Client) -> None:
    answer = await client.http.post(
        "/jobs", json=unique(), headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_malformed")


async def test_the_ledger_adds_up(database_url: str, redis_url: str, start_api: StartApi) -> None:
    """Each POST that is well-formed and not dry is one row, whatever became of it."""
    async with connected(start_api(database_url, redis_url), database_url) as client:
        body = unique()
        for sent in (
            body,
            body,
            unique(id="mine"),
            unique(id="mine"),
            unique(models=[]),
            {**body, "on_duplicate": "reject"},
        ):
            await client.post(sent)
        for _ in range(2):
            await client.post(body, key="twice")
        await client.post(unique(), key="twice")
        await client.post(unique(), dry_run=True)
        await client.http.post("/jobs", content=b"{", headers={"Content-Type": "application/json"})
        counted = await client.database.fetch("SELECT outcome, count(*) AS n FROM submissions GROUP BY outcome")
        assert {row["outcome"]: row["n"] for row in counted} == {
            "created": 2,
            "joined": 2,
            "replayed": 1,
            "rejected": 4,
        }
        assert await client.database.fetchval("SELECT count(*) FROM jobs") == 2
        assert await client.database.fetchval("SELECT count(*) FROM idempotency_keys") == 1


async def test_secrets_are_not_stored(client: Client) -> None:
    secret = "0x5ec2e7" + unique()["name"].removeprefix("job-")
    body = {
        **submitted("03"),
        "id": unique()["name"],
        "signature": secret,
        "public_key": secret,
        "wallet_auth": {"address": secret, "signature": secret, "message": "sign in"},
    }
    body["metadata"] = {**submitted("03")["metadata"], "wallet_address": secret}
    answer = await client.post(body, key=f"key-{body['id']}")
    assert answer.status_code == 202
    assert secret not in answer.text
    stored = await client.database.fetchrow("SELECT * FROM specs JOIN jobs USING (job_no) WHERE id = $1", body["id"])
    kept = await client.database.fetchrow("SELECT * FROM idempotency_keys WHERE key = $1", f"key-{body['id']}")
    assert "[redacted]" in stored["submitted"]
    assert secret not in f"{stored} {kept}"
