"""Incident 31: posting an id again set a finished job back, with another spec. The spec of a job never changes."""

import secrets

from tests.support.service import Client, unique


async def test_the_same_body_finds_its_finished_job_as_it_is(client: Client) -> None:
    body = unique(id=f"mine-{secrets.token_hex(6)}")
    await client.post(body)
    await client.end(body["id"])
    (before,) = await client.jobs(body["name"])
    again = await client.post(body)
    assert (again.status_code, again.json()["job"]["status"]) == (200, "failed")
    assert await client.jobs(body["name"]) == [before]


async def test_another_body_is_refused_and_the_finished_job_is_as_it_was(client: Client) -> None:
    body = unique(id=f"mine-{secrets.token_hex(6)}")
    await client.post(body)
    await client.end(body["id"])
    stored = "SELECT j.*, s.submitted, s.spec FROM jobs AS j JOIN specs AS s USING (job_no) WHERE j.id = $1"
    before = await client.database.fetchrow(stored, body["id"])
    refused = await client.post({**body, "models": ["another"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "job_id_conflict")
    assert await client.database.fetchrow(stored, body["id"]) == before
