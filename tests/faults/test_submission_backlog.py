"""Past the backlog new jobs are refused for now; what is there already is still joined, replayed and refused.

Where tenants share it, one that fills its part is refused before the others are.
"""

import asyncio
from collections import Counter

from tests.support.access import AsKey, make_key, make_tenant
from tests.support.service import StartProcess, api_client, unique

BACKLOG = 5
CANCEL_QUEUED_OF = """
UPDATE jobs AS j
SET status = 'cancelled', cancelled = j.planned, finished_at = now()
FROM tenants AS t
WHERE t.tenant_no = j.tenant_no AND t.name = $1 AND j.status = 'queued'
"""


async def test_only_new_jobs_are_refused_for_now(database_url: str, redis_url: str, start_api: StartProcess) -> None:
    async with api_client(start_api(database_url, redis_url, backlog=BACKLOG), database_url) as client:
        bodies = [unique(id=f"mine-{n}") if n else unique() for n in range(BACKLOG)]
        for n, body in enumerate(bodies):
            assert (await client.post(body, key=f"key-{n}")).status_code == 202

        refused = await client.post(unique())
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Content-Type"] == "application/problem+json"
        (row,) = await client.ledger(refused)
        assert (row["outcome"], row["reason"], row["status_code"], row["job"]) == ("rejected", "overloaded", 503, None)

        assert [(await client.post(body)).json()["outcome"] for body in bodies] == ["joined"] * BACKLOG
        replays = [await client.post(body, key=f"key-{n}") for n, body in enumerate(bodies)]
        assert [answer.headers.get("Idempotent-Replayed") for answer in replays] == ["true"] * BACKLOG
        assert (await client.post({**bodies[0], "on_duplicate": "reject"})).status_code == 409
        assert (await client.post(unique(models=[]))).status_code == 422

        await client.end("mine-1")
        assert (await client.post(unique())).status_code == 202
        assert await client.database.fetchval("SELECT count(*) FROM jobs") == BACKLOG + 1


async def test_many_at_once_do_not_exceed_the_backlog(
    database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    async with api_client(start_api(database_url, redis_url, backlog=BACKLOG), database_url) as client:
        answers = await asyncio.gather(*(client.post(unique()) for _ in range(40)))
        counted = Counter(answer.status_code for answer in answers)
        assert counted == {202: BACKLOG, 503: 40 - BACKLOG}
        assert await client.database.fetchval("SELECT count(*) FROM jobs") == BACKLOG


async def posted(tenant: AsKey, count: int) -> Counter[int]:
    answers = await asyncio.gather(*(tenant.post("/jobs", unique()) for _ in range(count)))
    for refused in (answer for answer in answers if answer.status_code == 503):
        assert (refused.json()["code"], refused.headers["Retry-After"]) == ("overloaded", "5")
    return Counter(answer.status_code for answer in answers)


async def test_a_tenant_that_fills_the_backlog_leaves_room_for_others(
    database_url: str, redis_url: str, start_api: StartProcess
) -> None:
    async with api_client(start_api(database_url, redis_url, backlog=40, auth="keys"), database_url) as client:
        tenants = []
        for name in ("a", "b", "c"):
            await make_tenant(client.database, name)
            tenants.append(AsKey(client.http, await make_key(client.database, tenant=name)))
        first, second, third = tenants
        assert await posted(first, 60) == {202: 30, 503: 30}
        assert await posted(second, 60) == {202: 8, 503: 52}
        refused = await first.post("/jobs", unique())
        assert refused.json()["detail"].startswith("30 of your jobs wait to be planned")
        assert await posted(third, 10) == {202: 2, 503: 8}
        assert await posted(first, 10) == {503: 10}
        await client.database.execute(CANCEL_QUEUED_OF, "a")
        assert await posted(second, 40) == {202: 21, 503: 19}
