"""POST /jobs answers with the decision, its reason and links, from committed rows; the ledger agrees."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.domain.bodies import submitted
from tests.support.service import Client, Json, unique

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


async def test_the_decision_on_a_new_spec_is_reported(client: Client) -> None:
    answer = await client.post(unique())
    dedup = answer.json()["dedup"]
    assert dedup.pop("spec_hash").startswith("h1:")
    assert dedup == {
        "layer": None,
        "reason": "new",
        "matched_on": None,
        "times_seen": 1,
        "detail": None,
        "previous": None,
    }


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


@pytest.mark.parametrize(
    "key",
    [
        "",
        '"',
        '""',
        '"unclosed',
        'unopened"',
        'in"side',
        '"in"side"',
        "with space",
        "a" * 256,
        "caf\u00e9",
        "tab\there",
    ],
)
async def test_a_malformed_key_is_refused(client: Client, key: str) -> None:
    headers = {b"Content-Type": b"application/json", b"Idempotency-Key": key.encode("latin-1")}
    answer = await client.http.post("/jobs", json=unique(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_malformed")
    assert [reason["parameter"] for reason in answer.json()["errors"]] == ["Idempotency-Key"]
    assert await client.ledger(answer) == []


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("dryrun=true", "unknown_parameter", "dryrun"),
        ("dry_run=true&on_duplicate=join", "unknown_parameter", "on_duplicate"),
        ("dry_run=true&dry_run=false", "repeated_parameter", "dry_run"),
    ],
)
async def test_a_parameter_that_would_be_ignored_stores_nothing(
    client: Client, query: str, code: str, parameter: str
) -> None:
    body = unique()
    answer = await client.http.post(f"/jobs?{query}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [reason["parameter"] for reason in answer.json()["errors"]] == [parameter]
    assert await client.jobs(body["name"]) == []


async def test_an_empty_spec_hears_of_everything_that_is_missing(client: Client) -> None:
    answer = await client.post({})
    assert (answer.status_code, answer.json()["code"]) == (422, "spec_rejected")
    assert [(reason["pointer"], reason["code"]) for reason in answer.json()["errors"]] == [
        ("/models", "models_missing"),
        ("/regions", "regions_missing"),
        ("/questions", "questions_missing"),
    ]


async def test_two_keys_are_refused(client: Client) -> None:
    answer = await client.http.post(
        "/jobs", json=unique(), headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_malformed")


async def test_the_ledger_adds_up(client: Client) -> None:
    """Each well-formed POST that isn't a dry run is one row, with any outcome."""
    before = await counted(client)
    body = unique()
    own_id = f"mine-{body['name']}"
    for sent in (
        body,
        body,
        unique(id=own_id),
        unique(id=own_id),
        unique(models=[]),
        {**body, "on_duplicate": "reject"},
    ):
        await client.post(sent)
    for sent in (body, body, unique()):
        await client.post(sent, key=own_id)
    await client.post(unique(), dry_run=True)
    await client.http.post("/jobs", content=b"{", headers={"Content-Type": "application/json"})
    added = Counter({"created": 2, "joined": 2, "replayed": 1, "rejected": 4, "jobs": 2, "keys": 1})
    assert await counted(client) - before == added


async def counted(client: Client) -> Counter[str]:
    """How many submissions there are by outcome, and how many jobs and keys."""
    rows = await client.database.fetch(
        """
        SELECT outcome AS what, count(*) AS n FROM submissions GROUP BY outcome
        UNION ALL SELECT 'jobs', count(*) FROM jobs
        UNION ALL SELECT 'keys', count(*) FROM idempotency_keys
        """
    )
    return Counter({row["what"]: row["n"] for row in rows})


async def test_secrets_are_not_stored(client: Client) -> None:
    secret = "0x5ec2e7" + unique()["name"].removeprefix("job-")
    given: Json = submitted("03")
    body = {
        **given,
        "id": unique()["name"],
        "signature": secret,
        "public_key": secret,
        "wallet_auth": {"address": secret, "signature": secret, "message": "sign in"},
    }
    body["metadata"] = {**given["metadata"], "wallet_address": secret}
    answer = await client.post(body, key=f"key-{body['id']}")
    assert answer.status_code == 202
    assert secret not in answer.text
    stored = await client.database.fetchrow("SELECT * FROM specs JOIN jobs USING (job_no) WHERE id = $1", body["id"])
    kept = await client.database.fetchrow("SELECT * FROM idempotency_keys WHERE key = $1", f"key-{body['id']}")
    assert stored is not None
    assert "[redacted]" in stored["submitted"]
    assert secret not in f"{stored} {kept}"
