"""The series of imports move with batches and rows, and agree with the database, to the row."""

import pytest

from db.engine import create_engine
from tests.support.import_bodies import csv_type, import_body
from tests.support.import_steps import ImportSteps, plan_of
from tests.support.imports_over_http import wait_until_ended
from tests.support.metrics import Series, scrape
from tests.support.service import Client, api_client

BATCHES = "breakwater_import_batches_total"
ROWS = "breakwater_import_rows_total"
ENDED = """
    SELECT b.status, count(*) FROM import_batches JOIN batches AS b USING (job_no, batch_no)
    WHERE b.finished_at IS NOT NULL GROUP BY b.status
"""
COUNTED = """
    SELECT sum(rows_inserted) AS inserted, sum(rows_updated) AS updated, sum(rows_unchanged) AS unchanged,
        sum(rows_rejected) AS rejected
    FROM import_batches
"""


async def recounted(client: Client) -> tuple[Series, Series]:
    """The current batches, counted by end, and the sums of their rows."""
    rows = await client.database.fetchrow(COUNTED)
    batches = dict(tuple(row) for row in await client.database.fetch(ENDED))
    return batches, {name: float(count) for name, count in rows.items() if count}


async def scraped(client: Client) -> tuple[Series, Series]:
    samples = await scrape(client.http)
    return samples.get(BATCHES, {}), samples.get(ROWS, {})


@pytest.fixture
async def client(start_api, start_worker, database_url, redis_url, import_settings):
    start_worker(database_url, redis_url, **import_settings)
    async with api_client(start_api(database_url, redis_url, **import_settings), database_url) as client:
        yield client


def customers(**policy: int) -> dict:
    return import_body(csv_type("customer"), on_duplicate="create", policy={"batch_size": 100, **policy})


async def test_every_result_of_a_row_and_every_end_of_a_batch_is_counted(client, import_settings) -> None:
    assert await scraped(client) == ({}, {})
    path = import_settings["config"].parent / "data" / "customer.csv"
    lines = path.read_text().splitlines()

    async def run(**policy: int) -> None:
        answer = await client.post(customers(**policy))
        await wait_until_ended(client, answer.json()["job"]["id"])
        assert await scraped(client) == await recounted(client)

    await run()
    assert await scraped(client) == ({"completed": 12}, {"inserted": 1200})
    path.write_text("\n".join([*lines[:1], *(f"{line}!" for line in lines[1:301]), *lines[301:]]))
    await run()
    assert await scraped(client) == ({"completed": 24}, {"inserted": 1200, "updated": 300, "unchanged": 900})
    path.write_text("\n".join([*lines[:101], ",nobody", *lines[101:]]))
    await run(max_rejects=1)
    batches, rows = await scraped(client)
    assert (batches["completed"], rows["rejected"], rows["updated"]) == (37, 1, 600)
    await run(max_rejects=0)
    batches, rows = await scraped(client)
    assert (batches["failed"], rows["rejected"]) == (1, 2)


async def test_a_retried_batch_counts_only_its_new_results(client) -> None:
    await client.database.execute(
        "CREATE TABLE line AS SELECT n AS id, md5(n::text) AS memo FROM generate_series(1, 250) n"
    )
    await client.database.execute("INSERT INTO line VALUES (NULL, 'nobody')")
    source = {"type": "sql", "connection": "erp", "table": "line"}
    given = import_body({"id": "line", "key": ["id"], "source": source}, policy={"batch_size": 100})
    job_id = (await client.post(given)).json()["job"]["id"]
    assert (await wait_until_ended(client, job_id))["status"] == "failed"
    batches, rows = before = await scraped(client)
    assert before == await recounted(client)
    assert (batches["failed"], rows["inserted"], rows["rejected"]) == (1, 250, 1)
    await client.database.execute("DELETE FROM line WHERE id IS NULL")
    assert (await client.http.post(f"/jobs/{job_id}/retry")).json()["retried"] == 1
    assert (await wait_until_ended(client, job_id))["status"] == "partial"
    after, kept = await recounted(client)
    assert (after, kept) == ({"completed": batches["completed"] + 1}, {"inserted": 250})
    assert await scraped(client) == ({**after, "failed": 1}, {**kept, "rejected": 1})


async def test_batches_that_are_cancelled_are_counted(start_api, database_url, redis_url) -> None:
    engine = create_engine(database_url, size=4, pinned_plans=True)
    ledger = ImportSteps(engine)
    async with api_client(start_api(database_url, redis_url), database_url) as client:
        job_no = await ledger.coordinate(plan_of([2], [3]))
        job_id = await client.database.fetchval("SELECT id FROM jobs WHERE job_no = $1", job_no)
        for _ in range(2):
            assert (await client.http.post(f"/jobs/{job_id}/cancel")).status_code in (200, 202)
            assert await scraped(client) == await recounted(client) == ({"cancelled": 5}, {})
    await engine.dispose()
