"""Whether a spec is new is decided from the jobs themselves: by id, or by content while a job is active or recent."""

import secrets

import pytest

from tests.support.service import Client, StartProcess, api_client, unique

DAY_SECONDS = 86_400


def own_id() -> str:
    return f"mine-{secrets.token_hex(6)}"


async def test_an_id_with_the_same_body_joins(client: Client) -> None:
    body = unique(id=own_id())
    created = await client.post(body)
    joined = await client.post(body)
    assert created.json()["job"]["id"] == body["id"]
    assert (joined.status_code, joined.json()["outcome"]) == (200, "joined")
    assert joined.headers["Location"] == f"/jobs/{body['id']}"
    assert joined.json()["dedup"] == {
        "layer": "submission",
        "reason": "same_id",
        "matched_on": "id",
        "spec_hash": created.json()["dedup"]["spec_hash"],
        "times_seen": 2,
        "detail": None,
        "previous": None,
    }


async def test_an_id_with_the_same_normalized_spec_joins(client: Client) -> None:
    body = unique(id=own_id(), metadata={"team": "a"})
    await client.post(body)
    other = {**body, "regions": ["USA", "us-east"], "models": ["llama3.2-1b", {"id": "llama3.2-1b"}], "metadata": {}}
    joined = await client.post(other)
    assert (joined.status_code, joined.json()["dedup"]["matched_on"]) == (200, "id")
    assert joined.json()["spec"]["metadata"] == {"team": "a"}


async def test_an_id_joins_however_old_its_job_is(client: Client) -> None:
    body = unique(id=own_id())
    await client.post(body)
    await client.end(body["id"])
    await client.age(body["id"], DAY_SECONDS)
    joined = await client.post(body)
    assert (joined.status_code, joined.json()["job"]["status"]) == (200, "failed")


async def test_an_id_with_another_spec_is_a_conflict(client: Client) -> None:
    body = unique(id=own_id())
    created = await client.post(body)
    (before,) = await client.jobs(body["name"])
    refused = await client.post({**body, "questions": ["What is 3+3?"], "policy": {"max_attempts": 5}})
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "job_id_conflict")
    assert problem["job"] == created.json()["job"]
    assert problem["differences"] == ["/policy/max_attempts", "/questions/0/id", "/questions/0/text"]
    assert await client.jobs(body["name"]) == [before]
    (row,) = await client.ledger(refused)
    assert (row["outcome"], row["reason"], row["matched_on"], row["status_code"], row["job"]) == (
        "rejected",
        "job_id_conflict",
        "id",
        409,
        body["id"],
    )


@pytest.mark.parametrize(("stored", "sent"), [(1, True), (True, 1), (0, False)])
async def test_one_and_true_are_two_bodies(client: Client, stored: object, sent: object) -> None:
    body = unique(id=own_id(), parameters={"echo": stored})
    await client.post(body)
    refused = await client.post({**body, "parameters": {"echo": sent}})
    assert (refused.status_code, refused.json()["differences"]) == (409, ["/parameters/echo"])


async def test_a_new_id_is_created_though_the_content_is_active(client: Client) -> None:
    body = unique()
    await client.post(body)
    first, second = own_id(), own_id()
    for name in (first, second):
        answer = await client.post({**body, "id": name, "on_duplicate": "reject"})
        assert (answer.status_code, answer.json()["dedup"]["reason"]) == (202, "new")
    assert [row["id"] for row in await client.jobs(body["name"])][1:] == [first, second]


async def test_the_same_spec_joins_an_active_job(client: Client) -> None:
    body = unique()
    created = await client.post(body)
    await client.age(created.json()["job"]["id"], DAY_SECONDS)
    joined = await client.post({**body, "regions": ["US"], "metadata": {"team": "b"}})
    assert (joined.status_code, joined.json()["outcome"]) == (200, "joined")
    assert joined.json()["job"]["id"] == created.json()["job"]["id"]
    assert joined.json()["spec"] == created.json()["spec"]
    assert joined.json()["dedup"]["reason"] == "same_spec_active"


async def test_the_same_spec_joins_a_job_that_completed_a_moment_ago(client: Client) -> None:
    body = unique()
    created = await client.post(body)
    await client.complete(created.json()["job"]["id"])
    joined = await client.post(body)
    assert (joined.status_code, joined.json()["dedup"]["reason"]) == (200, "same_spec_recent")
    assert joined.json()["job"] == {**created.json()["job"], "status": "completed"}


async def test_the_same_spec_is_new_once_its_job_completed_and_is_not_recent(client: Client) -> None:
    body = unique()
    created = await client.post(body)
    job_id = created.json()["job"]["id"]
    await client.complete(job_id)
    await client.age(job_id, 61)
    again = await client.post(body)
    assert (again.status_code, again.json()["dedup"]["times_seen"]) == (202, 1)
    assert [row["id"] for row in await client.jobs(body["name"])] == [job_id, again.json()["job"]["id"]]


async def test_without_dedup_seconds_only_active_jobs_are_joined(
    database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    async with api_client(start_api(database_url, redis_url, dedup_seconds=0), database_url) as client:
        body = unique()
        created = await client.post(body)
        assert (await client.post(body)).status_code == 200
        await client.complete(created.json()["job"]["id"])
        assert (await client.post(body)).status_code == 202


@pytest.mark.parametrize("reason", ["same_spec_active", "same_spec_recent"])
async def test_a_duplicate_is_refused_for_clients_that_ask_for_it(client: Client, reason: str) -> None:
    body = unique()
    created = (await client.post(body)).json()["job"]
    if reason == "same_spec_recent":
        await client.complete(created["id"])
    refused = await client.post({**body, "on_duplicate": "reject"})
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["reason"]) == (409, "duplicate_job", reason)
    assert problem["job"]["id"] == created["id"]
    (row,) = await client.ledger(refused)
    assert (row["outcome"], row["reason"], row["matched_on"], row["status_code"], row["job"]) == (
        "rejected",
        "duplicate_job",
        "spec_hash",
        409,
        created["id"],
    )


async def test_a_duplicate_is_created_for_clients_that_ask_for_it(client: Client) -> None:
    body = unique()
    await client.post(body)
    created = await client.post({**body, "on_duplicate": "create"})
    assert (created.status_code, created.json()["dedup"]["reason"]) == (202, "new")
    assert len(await client.jobs(body["name"])) == 2


@pytest.mark.parametrize("ended", [0, 1])
async def test_of_two_equal_jobs_the_one_that_is_active_is_joined(client: Client, ended: int) -> None:
    """A mark that the first of them held would be gone with it, or would name a job that has ended."""
    body = unique()
    jobs = [(await client.post(sent)).json()["job"]["id"] for sent in (body, {**body, "on_duplicate": "create"})]
    await client.end(jobs[ended])
    joined = await client.post(body)
    assert (joined.status_code, joined.json()["job"]["id"]) == (200, jobs[1 - ended])
    assert joined.json()["dedup"]["reason"] == "same_spec_active"


async def test_a_job_that_runs_again_is_joined_again(client: Client) -> None:
    body = unique()
    job_id = (await client.post(body)).json()["job"]["id"]
    await client.database.execute("UPDATE jobs SET status = 'coordinating' WHERE id = $1", job_id)
    await client.database.execute("UPDATE jobs SET status = 'running', started_at = now() WHERE id = $1", job_id)
    await client.end(job_id)
    await client.age(job_id, DAY_SECONDS)
    await client.database.execute(
        "UPDATE jobs SET status = 'running', finished_at = NULL, error_code = NULL WHERE id = $1", job_id
    )
    joined = await client.post(body)
    assert (joined.status_code, joined.json()["job"]["id"]) == (200, job_id)


async def test_times_seen_counts_the_ledger(client: Client) -> None:
    body = unique()
    await client.post(body)
    await client.post(body, key=f"{body['name']}-key")
    await client.post(body, key=f"{body['name']}-key")
    await client.post({**body, "on_duplicate": "reject"})
    await client.post(body, dry_run=True)
    assert (await client.post(body)).json()["dedup"]["times_seen"] == 4


async def test_another_kind_of_work_is_another_spec(client: Client) -> None:
    body = unique()
    hashes = {(await client.post(body)).json()["dedup"]["spec_hash"]}
    for change in ({"questions": ["Why?"]}, {"parameters": {"seed": 1}}, {"policy": {"max_attempts": 1}}):
        answer = await client.post({**body, **change})
        assert answer.status_code == 202
        hashes.add(answer.json()["dedup"]["spec_hash"])
    assert len(hashes) == 4


async def test_two_schemas_whose_order_a_provider_sees_are_two_jobs(client: Client) -> None:
    properties = {"reason": {"type": "string"}, "answer": {"type": "string"}}
    turned = dict(reversed(properties.items()))
    body = unique()
    bodies = [{**body, "parameters": {"response_format": {"properties": schema}}} for schema in (properties, turned)]
    first, second = [await client.post(body) for body in bodies]
    assert (first.status_code, second.status_code) == (202, 202)
    (_, stored) = await client.jobs(body["name"])
    spec = await client.database.fetchval("SELECT spec FROM specs WHERE job_no = $1", stored["job_no"])
    assert spec.index('"answer"') < spec.index('"reason"')


async def test_an_id_with_a_schema_in_another_order_is_a_conflict_that_names_it(client: Client) -> None:
    body = unique(id=own_id(), parameters={"response_format": {"a": 1, "b": 2}})
    await client.post(body)
    refused = await client.post({**body, "parameters": {"response_format": {"b": 2, "a": 1}}})
    assert (refused.status_code, refused.json()["differences"]) == (409, ["/parameters/response_format"])


async def test_a_seed_that_is_null_joins_no_seed(client: Client) -> None:
    body = unique()
    created = await client.post(body)
    joined = await client.post({**body, "parameters": {"seed": None}})
    assert (joined.status_code, joined.json()["job"]["id"]) == (200, created.json()["job"]["id"])
