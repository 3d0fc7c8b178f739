"""Idempotency-Key: the same request gets the first answer again, another is refused; keys outlive payloads."""

import secrets
from hashlib import sha256

import pytest

from domain.fingerprint import canonical_json
from tests.support.service import Client, StartProcess, unique
from tests.support.waiting import eventually_async

COMPOSED, APART = "caf\u00e9", "cafe\u0301"


@pytest.fixture
def key() -> str:
    return f"key-{secrets.token_hex(6)}"


async def expire(client: Client, key: str) -> None:
    """Let the key have been kept for a day and a second."""
    await client.database.execute(
        "UPDATE idempotency_keys SET created_at = created_at - interval '86401 seconds' WHERE key = $1", key
    )


async def test_the_first_answer_is_replayed(client: Client, key: str) -> None:
    body = unique()
    first = await client.post(body, key=key)
    again = await client.post(body, key=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")


async def test_a_replay_is_in_the_ledger(client: Client, key: str) -> None:
    body = unique()
    first = await client.post(body, key=key)
    (row,) = await client.ledger(await client.post(body, key=key))
    assert (row["outcome"], row["reason"], row["matched_on"], row["status_code"], row["job"]) == (
        "replayed",
        "same_key",
        "idempotency_key",
        202,
        first.json()["job"]["id"],
    )


async def test_a_replay_ignores_order_and_spelling(client: Client, key: str) -> None:
    body = unique(policy={"timeout_seconds": 300}, metadata={"a": "\u00e9", "b": 1})
    first = await client.post(body, key=key)
    other = {**dict(reversed(body.items())), "policy": {"timeout_seconds": 3e2}, "metadata": {"b": 1, "a": "e\u0301"}}
    again = await client.post(other, key=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")


async def test_a_quoted_key_is_the_bare_key(client: Client, key: str) -> None:
    body = unique()
    first = await client.post(body, key=key)
    again = await client.post(body, key=f'"{key}"')
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")


async def test_the_answer_is_replayed_as_it_was_though_the_job_has_ended(client: Client, key: str) -> None:
    body = unique()
    first = await client.post(body, key=key)
    await client.end(first.json()["job"]["id"])
    again = await client.post(body, key=key)
    assert (again.status_code, again.json()) == (202, first.json())


async def test_the_answer_of_a_join_is_replayed(client: Client, key: str) -> None:
    body = unique()
    created = await client.post(body)
    joined = await client.post(body, key=key)
    await client.post(body)
    await client.end(created.json()["job"]["id"])
    again = await client.post(body, key=key)
    assert (joined.status_code, joined.json()["outcome"], joined.json()["dedup"]["times_seen"]) == (200, "joined", 2)
    assert (again.status_code, again.json()) == (200, joined.json())
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_the_key_outlives_the_payload(client: Client, key: str) -> None:
    body = unique()
    first = await client.post(body, key=key)
    await client.database.execute(
        "UPDATE specs SET spec = NULL, submitted = NULL, normalization = NULL WHERE name = $1", body["name"]
    )
    again = await client.post(body, key=key)
    assert (again.status_code, again.json()) == (202, {**first.json(), "spec": None})


async def test_a_key_with_another_body_is_refused(client: Client, key: str) -> None:
    body = unique(metadata={"team": "a"})
    first = await client.post(body, key=key)
    other = {**body, "metadata": {"team": "b"}, "questions": ["What is 2+2?", "What is 3+3?"]}
    refused = await client.post(other, key=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert refused.json()["differences"] == ["/metadata/team", "/questions/1"]
    assert "(at /metadata/team, /questions/1)" in refused.json()["detail"]
    (row,) = await client.ledger(refused)
    assert (row["outcome"], row["reason"], row["status_code"]) == ("rejected", "idempotency_key_reused", 422)
    assert row["job"] == first.json()["job"]["id"]
    assert len(await client.jobs(body["name"])) == 1


@pytest.mark.parametrize(("first", "second"), [(COMPOSED, APART), (APART, COMPOSED)])
async def test_a_key_with_a_text_that_the_provider_sees_in_another_form_is_refused(
    client: Client, key: str, first: str, second: str
) -> None:
    body = unique(parameters={"stop": [first]})
    assert (await client.post(body, key=key)).status_code == 202
    refused = await client.post({**body, "parameters": {"stop": [second]}}, key=key)
    assert (refused.status_code, refused.json()["differences"]) == (422, ["/parameters/stop"])


async def test_a_key_kept_by_the_first_release_is_still_matched_by_its_body(client: Client, key: str) -> None:
    body = unique(parameters={"logit_bias": {"a": 1, "b": 2}})
    await client.post(body, key=key)
    b1 = "b1:" + sha256(canonical_json(body).encode()).hexdigest()
    await client.database.execute("UPDATE idempotency_keys SET body_hash = $2 WHERE key = $1", key, b1)
    again = await client.post(body, key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    refused = await client.post({**body, "parameters": {"logit_bias": {"b": 2, "a": 1}}}, key=key)
    assert (refused.status_code, refused.json()["differences"]) == (422, ["/parameters/logit_bias"])


async def test_differences_from_the_joined_job_are_named(client: Client, key: str) -> None:
    body = unique(metadata={"team": "a"})
    await client.post(body)
    await client.post({**body, "metadata": {"team": "b"}}, key=key)
    refused = await client.post({**body, "metadata": {"team": "c"}}, key=key)
    assert refused.json()["differences"] == ["/metadata/team"]


async def test_a_secret_that_differs_is_named_and_not_shown(client: Client, key: str) -> None:
    """Redacted as they are stored, both bodies look the same."""
    body = unique(metadata={"signature": "first-secret"})
    await client.post(body, key=key)
    refused = await client.post({**body, "metadata": {"signature": "other-secret"}}, key=key)
    assert refused.json()["differences"] == ["/metadata/signature"]
    assert "secret" not in refused.text


async def test_a_key_that_came_with_a_refused_spec_is_free(client: Client, key: str) -> None:
    assert (await client.post(unique(models=[]), key=key)).status_code == 422
    assert (await client.post(unique(), key=key)).status_code == 202


async def test_a_key_that_came_with_a_conflict_is_free(client: Client, key: str) -> None:
    body = unique(on_duplicate="reject")
    await client.post(body)
    assert (await client.post(body, key=key)).status_code == 409
    assert (await client.post(unique(), key=key)).status_code == 202


async def test_an_expired_key_is_taken_anew(client: Client, key: str) -> None:
    body = unique()
    await client.post(body, key=key)
    await expire(client, key)
    other = unique()
    created = await client.post(other, key=key)
    assert (created.status_code, created.json()["outcome"]) == (202, "created")
    again = await client.post(other, key=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (created.json(), "true")
    assert (await client.post(body, key=key)).json()["code"] == "idempotency_key_reused"


async def test_an_expired_key_leaves_content_to_decide(client: Client, key: str) -> None:
    body = unique()
    first = await client.post(body, key=key)
    await expire(client, key)
    joined = await client.post(body, key=key)
    assert (joined.status_code, joined.json()["outcome"]) == (200, "joined")
    assert joined.json()["job"]["id"] == first.json()["job"]["id"]


async def test_the_answer_is_replayed_after_a_worker_has_run_the_job(
    client: Client, key: str, shared_database_url: str, redis_url: str, start_worker: StartProcess
) -> None:
    body = unique()
    first = await client.post(body, key=key)
    start_worker(shared_database_url, redis_url)

    async def has_ended() -> bool:
        (job,) = await client.jobs(body["name"])
        return bool(job["status"] == "completed")

    await eventually_async(has_ended, seconds=30)
    again = await client.post(body, key=key)
    assert (again.status_code, again.json()) == (202, first.json())
