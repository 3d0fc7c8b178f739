"""?dry_run=true gives the answer of a POST, by the same steps, and stores nothing."""

import secrets

import httpx2
import pytest

from tests.support.service import Client, Json, unique


async def counts(client: Client) -> list[int]:
    tables = ("jobs", "specs", "submissions", "idempotency_keys")
    return [await client.database.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


def planned(answer: httpx2.Response) -> Json:
    """The decision of a preview, once its frame is as it must be."""
    assert answer.status_code == 200, answer.text
    assert (answer.json()["outcome"], answer.json()["job"]) == ("planned", None)
    assert "Location" not in answer.headers
    dedup: Json = answer.json()["dedup"]
    return dedup


async def test_a_preview_plans_a_new_spec(client: Client) -> None:
    body = unique(regions=["US", "EU"], models=["a", "a"])
    preview = await client.post(body, dry_run=True)
    assert planned(preview)["reason"] == "new"
    created = (await client.post(body)).json()
    assert {**created, "outcome": "planned", "job": None, "dedup": preview.json()["dedup"]} == preview.json()
    assert created["dedup"]["spec_hash"] == preview.json()["dedup"]["spec_hash"]


async def test_a_preview_stores_nothing(client: Client) -> None:
    body = unique()
    await client.post(body)
    before = await counts(client)
    for sent in (body, unique(), unique(id="x" * 9), unique(models=[])):
        await client.post(sent, key=f"{body['name']}-key", dry_run=True)
    assert await counts(client) == before


async def test_a_preview_reports_a_join(client: Client) -> None:
    body = unique()
    first = (await client.post(body)).json()
    dedup = planned(await client.post(body, dry_run=True))
    assert (dedup["layer"], dedup["reason"], dedup["matched_on"]) == ("submission", "same_spec_active", "spec_hash")
    await client.complete(first["job"]["id"])
    assert planned(await client.post(body, dry_run=True))["reason"] == "same_spec_recent"


async def test_a_preview_reports_a_join_by_id(client: Client) -> None:
    body = unique(id=f"mine-{secrets.token_hex(6)}")
    await client.post(body)
    assert planned(await client.post(body, dry_run=True))["matched_on"] == "id"


async def test_a_preview_reports_a_replay(client: Client) -> None:
    body = unique()
    key = f"{body['name']}-key"
    await client.post(body, key=key)
    dedup = planned(await client.post(body, key=key, dry_run=True))
    assert (dedup["layer"], dedup["reason"], dedup["matched_on"]) == ("submission", "same_key", "idempotency_key")


@pytest.mark.parametrize("is_keyed", [False, True])
async def test_a_preview_counts_itself_as_the_post_would(client: Client, is_keyed: bool) -> None:  # noqa: FBT001
    body = unique()
    key = f"{body['name']}-key" if is_keyed else None
    await client.post(body, key=key)
    await client.post(body, key=key)
    assert planned(await client.post(body, key=key, dry_run=True))["times_seen"] == 3


async def test_a_preview_and_the_post_after_it_tell_one_count(client: Client) -> None:
    body = unique()
    for _ in range(2):
        preview = planned(await client.post(body, dry_run=True))
        assert (await client.post(body)).json()["dedup"]["times_seen"] == preview["times_seen"]


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        ({}, {"on_duplicate": "reject"}, (409, "duplicate_job")),
        ({"id": "?"}, {"id": "?", "questions": ["Why?"]}, (409, "job_id_conflict")),
        ({}, {"models": []}, (422, "models_missing")),
    ],
)
async def test_a_preview_is_refused_as_a_post_would_be(
    client: Client, first: Json, then: Json, expected: tuple[int, str]
) -> None:
    body = unique()
    own_id = f"mine-{secrets.token_hex(6)}"
    first, then = ({**body, **change, **({"id": own_id} if "id" in change else {})} for change in (first, then))
    await client.post(first)
    preview = await client.post(then, dry_run=True)
    assert (preview.status_code, preview.json()["code"]) == expected
    refused = await client.post(then)
    assert {**refused.json(), "request_id": ""} == {**preview.json(), "request_id": ""}


async def test_a_preview_with_a_key_that_came_with_another_body_is_refused(client: Client) -> None:
    body = unique()
    key = f"{body['name']}-key"
    await client.post(body, key=key)
    preview = await client.post(unique(), key=key, dry_run=True)
    assert (preview.status_code, preview.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("value", ["maybe", ""])
async def test_a_flag_that_says_neither_is_refused(client: Client, value: str) -> None:
    answer = await client.http.post("/jobs", params={"dry_run": value}, json=unique())
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "dry_run")
