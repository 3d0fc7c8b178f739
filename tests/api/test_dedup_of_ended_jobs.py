"""A submission joins only a job that gives, or just gave, a result; the answer names the previous job."""

import pytest

from tests.domain.bodies import file_type, importing
from tests.support.service import Client, Json, StartProcess, api_client, unique

LONG_AGO = 61
"""Seconds; past the default of DEDUP_SECONDS."""


async def job_of(client: Client, body: Json) -> str:
    answer = await client.post(body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job"]["id"])


@pytest.mark.parametrize("on_duplicate", ["join", "reject"])
async def test_a_cancelled_job_runs_when_it_is_sent_again(client: Client, on_duplicate: str) -> None:
    body = unique(on_duplicate=on_duplicate)
    first = await job_of(client, body)
    await client.cancel(first)
    again = await client.post(body)
    assert (again.status_code, again.json()["outcome"], again.json()["job"]["status"]) == (202, "created", "queued")
    assert again.json()["job"]["id"] != first


@pytest.mark.parametrize("on_duplicate", ["join", "reject"])
async def test_a_failed_job_runs_when_it_is_sent_again(client: Client, on_duplicate: str) -> None:
    body = unique(on_duplicate=on_duplicate)
    first = await job_of(client, body)
    await client.end(first)
    again = await client.post(body)
    assert (again.status_code, again.json()["job"]["status"]) == (202, "queued")


async def test_an_import_that_was_cancelled_runs_when_it_is_sent_again(
    tmp_path: object, database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    config = tmp_path / "breakwater.toml"  # type: ignore[operator]
    config.write_text(f'[imports]\nroot = "{tmp_path}"\n')
    async with api_client(start_api(database_url, redis_url, config=config), database_url) as client:
        body = importing(file_type("customer"))
        first = await job_of(client, body)
        assert (await client.post(body)).json()["job"]["id"] == first
        await client.cancel(first)
        assert await job_of(client, body) != first


async def test_a_partial_job_is_joined_as_long_as_a_completed_one(client: Client) -> None:
    body = unique(models=["a", "b", "c"])
    first = await job_of(client, body)
    await client.complete(first, failed=1)
    joined = await client.post(body)
    assert (joined.status_code, joined.json()["job"]["status"]) == (200, "partial")
    await client.age(first, LONG_AGO)
    assert await job_of(client, body) != first


async def test_the_seconds_count_from_the_end_of_a_job_not_from_its_start(client: Client) -> None:
    body = unique()
    first = await job_of(client, body)
    await client.age(first, LONG_AGO)
    await client.complete(first)
    joined = await client.post(body)
    assert (joined.status_code, joined.json()["job"]["id"]) == (200, first)


async def test_of_a_done_and_a_newer_failed_job_the_done_one_is_joined(client: Client) -> None:
    body = unique()
    done = await job_of(client, body)
    failed = await job_of(client, {**body, "on_duplicate": "create"})
    await client.complete(done)
    await client.end(failed)
    joined = (await client.post(body)).json()
    assert (joined["outcome"], joined["job"]["id"], joined["dedup"]["previous"]["job_id"]) == ("joined", done, failed)


@pytest.mark.parametrize("status", ["cancelled", "failed", "completed", "partial"])
async def test_a_new_job_names_the_one_that_ran_before(client: Client, status: str) -> None:
    body = unique(models=["a", "b"])
    first = await job_of(client, body)
    match status:
        case "cancelled":
            await client.cancel(first)
        case "failed":
            await client.end(first)
        case _:
            await client.complete(first, failed=1 if status == "partial" else 0)
            await client.age(first, LONG_AGO)
    finished_at = (await client.http.get(f"/jobs/{first}")).json()["finished_at"]
    previous = {"job_id": first, "status": status, "finished_at": finished_at}
    assert (await client.post(body, dry_run=True)).json()["dedup"]["previous"] == previous
    again = (await client.post(body)).json()
    assert (again["outcome"], again["dedup"]["reason"], again["dedup"]["previous"]) == ("created", "new", previous)


async def test_the_last_of_several_is_named(client: Client) -> None:
    body = unique()
    first = await job_of(client, body)
    await client.end(first)
    await client.age(first, 5)
    second = await job_of(client, body)
    await client.cancel(second)
    assert (await client.post(body)).json()["dedup"]["previous"]["job_id"] == second


async def test_nothing_ran_before_a_first_job(client: Client) -> None:
    assert (await client.post(unique())).json()["dedup"]["previous"] is None


@pytest.mark.parametrize("changes", [{"on_duplicate": "create"}, {"id": "mine"}])
async def test_a_job_with_on_duplicate_create_names_the_previous_job_too(client: Client, changes: Json) -> None:
    body = unique()
    first = await job_of(client, body)
    await client.end(first)
    changes = {name: f"{value}-{body['name']}" if name == "id" else value for name, value in changes.items()}
    assert (await client.post({**body, **changes})).json()["dedup"]["previous"]["job_id"] == first


async def test_the_joined_job_is_not_named_as_the_previous_job(client: Client) -> None:
    body = unique()
    first = await job_of(client, body)
    await client.complete(first)
    assert (await client.post(body)).json()["dedup"]["previous"] is None


async def test_a_replay_names_the_previous_job_of_its_first_answer(client: Client) -> None:
    body = unique()
    await client.end(await job_of(client, body))
    first = await client.post(body, key=body["name"])
    await client.cancel(first.json()["job"]["id"])
    assert (await client.post(body, key=body["name"])).json() == first.json()


@pytest.mark.parametrize(("status", "remedy"), [("cancelled", "another id"), ("failed", "/retry")])
async def test_an_id_whose_job_gives_no_result_names_the_remedy(client: Client, status: str, remedy: str) -> None:
    body = unique()
    body["id"] = body["name"]
    await job_of(client, body)
    await (client.cancel(body["id"]) if status == "cancelled" else client.end(body["id"]))
    joined = (await client.post(body)).json()
    assert (joined["outcome"], joined["job"]["status"], joined["dedup"]["previous"]) == ("joined", status, None)
    assert remedy in joined["dedup"]["detail"]


async def test_a_job_shows_the_hash_that_its_submission_was_answered_with(client: Client) -> None:
    created = (await client.post(unique())).json()
    shown = (await client.http.get(f"/jobs/{created['job']['id']}")).json()
    assert shown["spec_hash"] == created["dedup"]["spec_hash"]
