"""Imports followed by a client of the API."""

from tests.support.service import Client, Json
from tests.support.waiting import eventually_async


async def wait_until_ended(client: Client, job_id: str) -> Json:
    """The job, once it is terminal."""

    async def look() -> Json | None:
        job = (await client.http.get(f"/jobs/{job_id}")).json()
        return job if job["finished_at"] else None

    return await eventually_async(look, seconds=30)


async def get(client: Client, path: str, **parameters: object) -> Json:
    answer = await client.http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()
